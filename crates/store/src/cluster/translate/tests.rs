//! Each form that is known, and what is refused.

use super::*;
use crate::cluster::InsertQuorum;

fn on(statement: &str) -> Result<Vec<String>, Untranslatable> {
    let cluster = Cluster { name: "c-1".to_owned(), insert_quorum: InsertQuorum::Majority };
    translate(statement, &cluster, "pay")
}

fn refused(statement: &str) -> String {
    on(statement).unwrap_err().to_string()
}

#[test]
fn a_table_is_one_of_replicas_and_one_over_them() {
    let statement = "CREATE TABLE IF NOT EXISTS {database}.things_stored
(
    source   LowCardinality(String) CODEC(ZSTD(1)),
    thing_id String DEFAULT 'a, (b' CODEC(ZSTD(1)),
    at       DateTime64(3, 'UTC') CODEC(Delta(8), ZSTD(1)),
    day      Date,
    INDEX thing_bloom thing_id TYPE bloom_filter(0.01) GRANULARITY 1
)
ENGINE = ReplacingMergeTree(version, is_deleted)
PARTITION BY toDate(at)
ORDER BY (toStartOfMinute(at), day, source, thing_id)
SETTINGS
    non_replicated_deduplication_window = 1000,
    ttl_only_drop_parts = 1";
    let [stored, distributed] = on(statement).unwrap().try_into().unwrap();
    let engine = "ENGINE = ReplicatedReplacingMergeTree('/clickhouse/tables/c-1/{shard}/pay/things_stored_local', \
                  '{replica}', version, is_deleted)\nPARTITION BY toDate(at)\n";
    assert!(
        stored.starts_with("CREATE TABLE IF NOT EXISTS {database}.things_stored_local ON CLUSTER `c-1`\n(\n"),
        "{stored}"
    );
    assert!(stored.contains(engine), "{stored}");
    assert!(stored.contains("    replicated_deduplication_window = 1000,\n"), "{stored}");
    assert!(!stored.contains("non_replicated"), "{stored}");
    assert_eq!(
        distributed,
        "CREATE TABLE IF NOT EXISTS {database}.things_stored ON CLUSTER `c-1` AS {database}.things_stored_local \
         ENGINE = Distributed('c-1', 'pay', 'things_stored_local', sipHash64(source, thing_id))"
    );
}

#[test]
fn an_engine_without_arguments_and_a_key_without_parentheses() {
    let [stored, distributed] =
        on("CREATE TABLE IF NOT EXISTS {database}.t (a UInt8) ENGINE = MergeTree ORDER BY a")
            .unwrap()
            .try_into()
            .unwrap();
    assert!(
        stored.ends_with(
            "ENGINE = ReplicatedMergeTree('/clickhouse/tables/c-1/{shard}/pay/t_local', '{replica}') ORDER BY a"
        ),
        "{stored}"
    );
    assert!(distributed.ends_with("sipHash64(a))"), "{distributed}");
}

#[test]
fn every_server_has_all_records_of_migrations_under_a_name_of_its_own() {
    let statement = "CREATE TABLE IF NOT EXISTS {database}.schema_migrations (version UInt32) \
                     ENGINE = ReplacingMergeTree(applied_at) ORDER BY version";
    let [only] = on(statement).unwrap().try_into().unwrap();
    assert!(
        only.contains("'/clickhouse/tables/c-1/all/pay/schema_migrations', '{shard}-{replica}', applied_at)"),
        "{only}"
    );
}

#[test]
fn databases_and_views_are_made_on_every_server() {
    for (statement, cluster_form) in [
        (
            "CREATE DATABASE IF NOT EXISTS {database}",
            "CREATE DATABASE IF NOT EXISTS {database} ON CLUSTER `c-1`",
        ),
        (
            "CREATE VIEW IF NOT EXISTS {database}.v AS\nSELECT 1",
            "CREATE VIEW IF NOT EXISTS {database}.v ON CLUSTER `c-1` AS\nSELECT 1",
        ),
        (
            "CREATE OR REPLACE VIEW {database}.v AS SELECT a FROM {database}.t_stored FINAL",
            "CREATE OR REPLACE VIEW {database}.v ON CLUSTER `c-1` AS SELECT a FROM {database}.t_stored FINAL",
        ),
        ("DROP VIEW IF EXISTS {database}.v", "DROP VIEW IF EXISTS {database}.v ON CLUSTER `c-1`"),
    ] {
        assert_eq!(on(statement).unwrap(), [cluster_form]);
    }
}

#[test]
fn settings_and_retention_are_changed_where_rows_are() {
    for (change, cluster_form) in [
        ("MODIFY SETTING a = 1, b = 2", "MODIFY SETTING a = 1, b = 2"),
        (
            "MODIFY SETTING non_replicated_deduplication_window = 10",
            "MODIFY SETTING replicated_deduplication_window = 10",
        ),
        ("MODIFY TTL toDateTime(at) + toIntervalDay(9)", "MODIFY TTL toDateTime(at) + toIntervalDay(9)"),
        ("REMOVE TTL", "REMOVE TTL"),
    ] {
        let altered = on(&format!("ALTER TABLE {{database}}.t_stored {change}")).unwrap();
        assert_eq!(
            altered,
            [format!("ALTER TABLE {{database}}.t_stored_local ON CLUSTER `c-1` {cluster_form}")]
        );
    }
}

#[test]
fn columns_are_changed_first_where_rows_are_and_then_over_them() {
    let change = "ADD COLUMN IF NOT EXISTS zone String DEFAULT '', ADD COLUMN IF NOT EXISTS n UInt8";
    let altered = on(&format!("ALTER TABLE {{database}}.t_stored {change}")).unwrap();
    assert_eq!(
        altered,
        [
            format!("ALTER TABLE {{database}}.t_stored_local ON CLUSTER `c-1` {change}"),
            format!("ALTER TABLE {{database}}.t_stored ON CLUSTER `c-1` {change}"),
        ]
    );
}

#[test]
fn what_is_not_known_is_refused_and_says_why() {
    for (statement, why) in [
        ("RENAME TABLE {database}.a TO {database}.b", "this form of statement is not known"),
        ("INSERT INTO {database}.a VALUES (1)", "this form of statement is not known"),
        ("DROP TABLE IF EXISTS {database}.a", "this form of statement is not known"),
        (
            "CREATE MATERIALIZED VIEW IF NOT EXISTS {database}.v AS SELECT 1",
            "this form of statement is not known",
        ),
        (
            "CREATE TABLE {database}.a (a UInt8) ENGINE = MergeTree ORDER BY a",
            "this form of statement is not known",
        ),
        ("CREATE TABLE IF NOT EXISTS a (a UInt8) ENGINE = MergeTree ORDER BY a", "begin with the database"),
        (
            "CREATE TABLE IF NOT EXISTS {database}.a AS {database}.b ENGINE = MergeTree ORDER BY a",
            "columns of a",
        ),
        ("CREATE TABLE IF NOT EXISTS {database}.a (a UInt8) ENGINE = Memory", "engine Memory"),
        ("CREATE TABLE IF NOT EXISTS {database}.a (a UInt8) ENGINE = MergeTree", "no `ORDER BY`"),
        ("CREATE TABLE IF NOT EXISTS {database}.a (a DateTime) ENGINE = MergeTree ORDER BY a", "times alone"),
        (
            "CREATE TABLE IF NOT EXISTS {database}.a (a UInt8) ENGINE = MergeTree ORDER BY b",
            "none of its columns",
        ),
        ("CREATE VIEW IF NOT EXISTS {database}.v (a UInt8) AS SELECT 1", "`AS` must follow"),
        ("DROP VIEW IF EXISTS {database}.v SYNC", "nothing may follow"),
        ("ALTER TABLE {database}.a DELETE WHERE 1", "this change is not known"),
        (
            "ALTER TABLE {database}.a ADD COLUMN IF NOT EXISTS b UInt8, DROP COLUMN a",
            "this change is not known",
        ),
        ("ALTER TABLE {database}.a MODIFY SETTING a = 1, ADD COLUMN b UInt8", "one change at a time"),
        ("ALTER TABLE `d`.a REMOVE TTL", "quoted name"),
        ("ALTER TABLE {database}.a -- why\nREMOVE TTL", "comment"),
    ] {
        let error = refused(statement);
        assert!(error.contains(why), "{statement}: {error}");
    }
}
