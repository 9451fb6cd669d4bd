//! `docs/tables.md` says what is so.

use crate::harness::Tables;

const DOCUMENT: &str = include_str!("../../../../docs/tables.md");

#[tokio::test]
async fn every_example_runs() {
    let tables = Tables::new().await;
    let examples: Vec<&str> =
        DOCUMENT.split("```sql\n").skip(1).filter_map(|rest| rest.split("```").next()).collect();
    assert!(examples.len() >= 6, "{}", examples.len());
    for example in examples {
        tables.sql(&example.replace("tillwatch.", "")).await;
    }
}

#[tokio::test]
async fn every_column_is_described_in_the_section_of_its_table() {
    let tables = Tables::new().await;
    for section in DOCUMENT.split("\n## ").skip(1) {
        let Some((table, _)) = section.lines().next().and_then(|title| title.split_once(':')) else {
            continue;
        };
        let columns = format!(
            "SELECT name FROM system.columns WHERE database = currentDatabase() AND table = '{table}'"
        );
        let columns = tables.sql(&columns).await;
        assert!(!columns.is_empty(), "no table {table}");
        for column in columns.lines() {
            assert!(section.contains(&format!("`{column}`")), "{table}.{column}");
        }
    }
}
