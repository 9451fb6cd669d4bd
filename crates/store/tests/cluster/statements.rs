//! What is asked of a cluster: that ClickHouse reads it, and where rows go.

use payments::{Provider, UnixMillis};
use store::{ClusterError, MigrateError, Store};

use crate::harness::{Fact, HOUR, NOW, RETENTION, Tables, facts};
use crate::stand_in::{Answer, on_cluster};

/// Each as it is sent to a cluster, not as the stand-in makes it.
#[tokio::test]
async fn clickhouse_reads_every_statement() {
    let tables = Tables::new().await;
    let stand_in = tables.stand_in.as_ref().unwrap();
    let statements: Vec<String> =
        stand_in.asked(" ON CLUSTER `tillwatch`").into_iter().map(|asked| asked.sql).collect();
    assert!(statements.len() >= 25, "{}", statements.len());
    for statement in &statements {
        let read = stand_in.engine(tables.store.database(), &format!("EXPLAIN AST {statement}")).await;
        read.unwrap_or_else(|error| panic!("{statement}: {error}"));
    }
    let replicated: Vec<&String> =
        statements.iter().filter(|sql| sql.contains("ENGINE = Replicated")).collect();
    assert!(replicated.len() >= 7, "{}", replicated.len());
    for statement in replicated {
        // All of it is understood, engine, key and settings, and then there is no Keeper.
        let here = statement.replace(" ON CLUSTER `tillwatch`", "").replacen("_local", "_tried", 1);
        let here = here.replace("schema_migrations\n", "schema_migrations_tried\n");
        let error = stand_in.engine(tables.store.database(), &here).await.unwrap_err().to_string();
        assert!(error.contains("Code: 225.") && error.contains("without ZooKeeper"), "{here}: {error}");
    }
}

#[tokio::test]
async fn what_is_there_is_left_and_what_is_asked_of_servers_has_limits() {
    let tables = Tables::new().await;
    let stand_in = tables.stand_in.as_ref().unwrap();
    let first = stand_in.asked(" ON CLUSTER ");
    for asked in &first {
        assert_eq!(asked.setting("distributed_ddl_task_timeout"), Some("30"), "{}", asked.sql);
        assert_eq!(asked.setting("distributed_ddl_output_mode"), Some("throw"), "{}", asked.sql);
    }
    let migrated = tables.store.migrate(RETENTION).await.unwrap();
    assert_eq!(
        (migrated.applied.len(), migrated.retention_changed.len(), migrated.completed.len()),
        (0, 0, 0)
    );
    assert_eq!(stand_in.asked(" ON CLUSTER ").len(), first.len(), "a server that is away holds up nobody");
    tables.store.check_tables().await.unwrap();
}

#[tokio::test]
async fn migrators_that_start_at_once_all_succeed() {
    let tables = Tables::empty();
    let stores: Vec<Store> = (0..3).map(|_| tables.another()).collect();
    let (a, b, c) = tokio::join!(
        stores[0].migrate(RETENTION),
        stores[1].migrate(RETENTION),
        stores[2].migrate(RETENTION)
    );
    for migrated in [a, b, c] {
        migrated.unwrap();
    }
    tables.store.check_tables().await.unwrap();
    assert_eq!(tables.store.migrate(RETENTION).await.unwrap().applied.len(), 0);
}

#[tokio::test]
async fn a_part_of_a_table_that_differs_is_told() {
    let tables = Tables::new().await;
    tables.sql("ALTER TABLE webhooks_stored_local MODIFY COLUMN facts UInt64").await;
    let error = tables.store.check_tables().await.unwrap_err().to_string();
    assert_eq!(error, "webhooks_stored_local.facts is of type UInt64, and must be UInt16: change it back");
}

/// Copies, moved copies and what retracts them: by the key with which the tables are really created.
#[tokio::test]
async fn all_that_is_stored_of_a_fact_goes_to_one_shard() {
    let tables = Tables::new().await;
    let facts: Vec<Fact> = facts(Provider::Adyen, 60);
    tables.store_facts(&facts, NOW).await;
    let moved: Vec<Fact> =
        (1_000..).zip(&facts).map(|(n, fact)| fact.again(n, UnixMillis(NOW.0 + HOUR))).collect();
    tables.store_facts(&moved, UnixMillis(NOW.0 + 1)).await;
    assert_eq!(tables.sql("SELECT count() FROM payment_events").await, "60");
    assert_eq!(
        tables.sql("SELECT sum(is_deleted) FROM payment_events_stored").await,
        "60",
        "each was retracted"
    );
    for (table, identity) in [("payment_events_stored", "event_id"), ("payment_event_places", "event_id")] {
        let key = sharding_key(&tables, table).await;
        let sql = format!(
            "SELECT max(shards), uniqExact(shard) FROM (SELECT {identity}, uniqExact({key} % 3) AS shards, \
             any({key} % 3) AS shard FROM {table} GROUP BY {identity})"
        );
        assert_eq!(
            tables.sql(&sql).await,
            "1\t3",
            "{table}: one shard for each fact, and facts on all shards"
        );
    }
}

async fn sharding_key(tables: &Tables, table: &str) -> String {
    let sql = format!(
        "SELECT engine_full FROM system.tables WHERE database = currentDatabase() AND name = '{table}'"
    );
    let engine = tables.sql(&sql).await;
    let start = engine.find("sipHash64(").unwrap();
    engine[start..].strip_suffix(')').unwrap().to_owned()
}

#[tokio::test]
async fn each_table_is_spread_by_what_identifies_a_row_and_not_by_its_time() {
    let tables = Tables::new().await;
    for (table, key) in [
        ("webhooks_stored", "sipHash64(webhook_id)"),
        ("parked_webhooks_stored", "sipHash64(webhook_id)"),
        ("payment_events_stored", "sipHash64(source, event_id, fact)"),
        ("payment_event_places", "sipHash64(identity, source, event_id, fact)"),
        ("heartbeats_stored", "sipHash64(instance)"),
        ("alert_transitions_stored", "sipHash64(id)"),
    ] {
        assert_eq!(sharding_key(&tables, table).await, key, "{table}");
    }
}

#[tokio::test]
async fn a_cluster_that_is_not_there_is_told_before_anything_is_created() {
    let tables = Tables::empty();
    let cluster = store::Cluster { name: "nowhere".to_owned(), insert_quorum: store::InsertQuorum::Majority };
    let error = tables.another().on_cluster(cluster).migrate(RETENTION).await.unwrap_err();
    let cause = std::error::Error::source(&error).unwrap().to_string();
    assert!(cause.contains("knows no cluster `nowhere` (it knows: tillwatch)"), "{cause}");
    assert!(tables.stand_in.as_ref().unwrap().asked(" ON CLUSTER ").is_empty());
}

#[tokio::test]
async fn a_server_that_is_away_leaves_a_migration_to_be_run_again() {
    let tables = Tables::empty();
    let stand_in = tables.stand_in.as_ref().unwrap();
    let text =
        "Distributed DDL task /clickhouse/ddl/query-1 is not finished on 1 of 2 hosts (TIMEOUT_EXCEEDED)";
    stand_in.answers(".payment_events_stored ON CLUSTER", 0, Answer::Refusal(159, text));
    let error = tables.store.migrate(RETENTION).await.unwrap_err();
    assert!(matches!(&error, MigrateError::Unfinished { migration: "payment_events", .. }), "{error}");
    assert!(error.to_string().contains("not every server of cluster `tillwatch` carried out"), "{error}");
    assert!(!error.lasts());
    let migrated = tables.store.migrate(RETENTION).await.unwrap();
    assert_eq!((migrated.already, migrated.applied.first()), (1, Some(&"payment_events")));
}

#[tokio::test]
async fn a_server_that_joined_later_gets_every_table_as_it_is_now() {
    let tables = Tables::new().await;
    let stand_in = tables.stand_in.as_ref().unwrap();
    let before = stand_in.asked(" ON CLUSTER ").len();
    // The servers are asked for twice: with their macros, which the one that joins has, and for what they lack.
    let two =
        "SELECT concat(hostName(), ':', toString(tcpPort())) AS node UNION ALL SELECT 'late:9000' AS node";
    stand_in.answers("system.one", 1, Answer::To(two));
    let migrated = tables.store.migrate(RETENTION).await.unwrap();
    assert!(stand_in.has_said_all());
    for name in
        ["schema_migrations", "webhooks_stored_local", "webhooks_stored", "webhooks", "payment_minutes"]
    {
        assert!(migrated.completed.iter().any(|completed| completed == name), "{name}: {migrated:?}");
    }
    let created: Vec<String> =
        stand_in.asked(" ON CLUSTER ").into_iter().skip(before).map(|asked| asked.sql).collect();
    assert!(created[0].starts_with("CREATE DATABASE IF NOT EXISTS"), "{}", created[0]);
    assert_eq!(created.len(), 1 + migrated.completed.len());
    let facts = created.iter().find(|sql| sql.contains(".payment_events_stored_local ON CLUSTER")).unwrap();
    // What later migrations and the retention made of it.
    assert!(facts.contains("TTL toDateTime(received_at) + toIntervalDay(400)"), "{facts}");
    assert!(facts.contains("min_bytes_for_wide_part = 268435456"), "{facts}");
}

#[tokio::test]
async fn tables_that_were_made_for_one_server_are_not_taken_for_a_clusters() {
    let tables = Tables::empty();
    let one_server =
        Store::new(&format!("http://{}", tables.address()), "default", None, tables.store.database());
    one_server.migrate(RETENTION).await.unwrap();
    let error = tables.store.migrate(RETENTION).await.unwrap_err();
    let cause = std::error::Error::source(&error).unwrap().to_string();
    assert!(cause.contains("_stored as ReplacingMergeTree, and on a cluster it is Distributed"), "{cause}");
    assert!(tables.stand_in.as_ref().unwrap().asked(" ON CLUSTER ").is_empty());
}

#[tokio::test(start_paused = true)]
async fn a_cluster_that_does_not_answer_is_not_waited_for() {
    let silent = tokio::net::TcpListener::bind("127.0.0.1:0").await.unwrap();
    let store = Store::new(&format!("http://{}", silent.local_addr().unwrap()), "default", None, "d");
    let error = on_cluster(store).migrate(RETENTION).await.unwrap_err();
    assert!(matches!(error, MigrateError::Cluster(ClusterError::TimedOut)), "{error}");
}
