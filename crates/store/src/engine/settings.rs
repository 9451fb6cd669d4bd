//! The engine's own configuration files, written anew at each start into the data directory.
//!
//! Why files and not arguments: only a configuration file can take rights away. Without it the
//! engine, being a library for local analysis, lets any query read and write the files of the
//! process (`file()`, `ENGINE = File`) and open connections (`url()`, `s3()`, `remote()`). And with it
//! the engine does not pick up a stray `config.xml` of the working directory or the home directory.

use std::ffi::CString;
use std::io;
use std::path::{Path, PathBuf};

use super::config::{EngineCluster, EngineConfig};

/// The table engines a query may use. All others reach outside the database.
const TABLE_ENGINES: [&str; 19] = [
    "MergeTree",
    "ReplacingMergeTree",
    "SummingMergeTree",
    "AggregatingMergeTree",
    "CollapsingMergeTree",
    "VersionedCollapsingMergeTree",
    "CoalescingMergeTree",
    "View",
    "MaterializedView",
    "WindowView",
    "Memory",
    "Null",
    "Log",
    "TinyLog",
    "StripeLog",
    "Buffer",
    "Join",
    "Set",
    "Merge",
];

/// The engine's command line for this configuration, after writing the files it names.
pub(super) fn write(config: &EngineConfig) -> io::Result<Vec<CString>> {
    // The engine joins a relative path to itself, and then finds no file of its own.
    let data_dir = std::path::absolute(&config.data_dir)?;
    let users = data_dir.join("engine-users.xml");
    let server = data_dir.join("engine.xml");
    let database = database_path(&data_dir);
    std::fs::create_dir_all(&database)?;
    std::fs::write(&users, users_xml(config))?;
    std::fs::write(&server, server_xml(config, &users)?)?;
    let argument = |name: &str, path: &Path| {
        let text = utf8(path)?;
        CString::new(format!("--{name}={text}"))
            .map_err(|_| io::Error::new(io::ErrorKind::InvalidInput, "the path holds a NUL byte"))
    };
    Ok(vec![c"tillwatch-engine".to_owned(), argument("path", &database)?, argument("config-file", &server)?])
}

/// Where the engine keeps its database.
pub(super) fn database_path(data_dir: &Path) -> PathBuf {
    data_dir.join("db")
}

fn utf8(path: &Path) -> io::Result<&str> {
    path.to_str().ok_or_else(|| io::Error::new(io::ErrorKind::InvalidInput, "the path is not UTF-8"))
}

/// Sizes follow the memory limit. The pools are small: on few cores more background threads only
/// take turns. No system log tables are configured: they cost idle CPU and disk.
fn server_xml(config: &EngineConfig, users: &Path) -> io::Result<String> {
    let memory = config.memory_bytes_max;
    let users = escaped(utf8(users)?);
    Ok(format!(
        "<clickhouse>
  <users_config>{users}</users_config>
  <max_server_memory_usage>{memory}</max_server_memory_usage>
  <mark_cache_size>{}</mark_cache_size>
  <index_mark_cache_size>{}</index_mark_cache_size>
  <primary_index_cache_size>{}</primary_index_cache_size>
  <query_condition_cache_size>{}</query_condition_cache_size>
  <compiled_expression_cache_size>{}</compiled_expression_cache_size>
  <background_pool_size>2</background_pool_size>
  <background_merges_mutations_concurrency_ratio>2</background_merges_mutations_concurrency_ratio>
  <background_common_pool_size>2</background_common_pool_size>
  <background_schedule_pool_size>4</background_schedule_pool_size>
  <background_move_pool_size>1</background_move_pool_size>
  <background_fetches_pool_size>1</background_fetches_pool_size>
  <max_thread_pool_size>256</max_thread_pool_size>
  <max_io_thread_pool_size>16</max_io_thread_pool_size>
  <access_control_improvements>
    <table_engines_require_grant>1</table_engines_require_grant>
  </access_control_improvements>
  <merge_tree>
    <number_of_free_entries_in_pool_to_execute_mutation>1</number_of_free_entries_in_pool_to_execute_mutation>
    <number_of_free_entries_in_pool_to_lower_max_size_of_merge>1</number_of_free_entries_in_pool_to_lower_max_size_of_merge>
    <number_of_free_entries_in_pool_to_execute_optimize_entire_partition>1</number_of_free_entries_in_pool_to_execute_optimize_entire_partition>
    <fsync_after_insert>1</fsync_after_insert>
    <fsync_part_directory>1</fsync_part_directory>
  </merge_tree>{}
</clickhouse>
",
        memory / 16,
        memory / 64,
        memory / 32,
        memory / 64,
        memory / 64,
        config.cluster.as_ref().map_or_else(String::new, cluster_xml),
    ))
}

/// The port makes the engine know itself. Nobody listens there, so whatever does not stay within itself fails.
fn cluster_xml(cluster: &EngineCluster) -> String {
    let name = escaped(&cluster.name);
    let shard = |host: &str, port: u16| {
        format!(
            "
    <shard><internal_replication>true</internal_replication>
      <replica><host>{host}</host><port>{port}</port><compression>false</compression></replica></shard>"
        )
    };
    let other = cluster.other_shard.map(|other| shard(&other.ip().to_string(), other.port()));
    format!(
        "
  <tcp_port>9000</tcp_port>
  <macros><shard>01</shard><replica>alone</replica></macros>
  <remote_servers><{name}>{}{}
  </{name}></remote_servers>",
        shard("127.0.0.1", 9000),
        other.unwrap_or_default()
    )
}

/// One user, without password (the front checks it), in UTC, without a way out of the database.
fn users_xml(config: &EngineConfig) -> String {
    let mut engines = TABLE_ENGINES.join("</query>\n        <query>GRANT TABLE ENGINE ON ");
    if config.cluster.is_some() {
        engines.push_str("</query>\n        <query>GRANT TABLE ENGINE ON Distributed</query>\n        ");
        engines.push_str("<query>GRANT REMOTE ON *.*");
    }
    format!(
        "<clickhouse>
  <profiles>
    <default>
      <session_timezone>UTC</session_timezone>
      <implicit_select>0</implicit_select>
      <max_execution_time>{}</max_execution_time>
    </default>
  </profiles>
  <users>
    <default>
      <password></password>
      <networks><ip>::/0</ip></networks>
      <profile>default</profile>
      <quota>default</quota>
      <grants>
        <query>GRANT ALL ON *.*</query>
        <query>REVOKE SOURCES ON *.*</query>
        <query>REVOKE TABLE ENGINE ON *</query>
        <query>GRANT TABLE ENGINE ON {engines}</query>
      </grants>
    </default>
  </users>
  <quotas><default></default></quotas>
</clickhouse>
",
        config.query_time_max.as_secs(),
    )
}

fn escaped(text: &str) -> String {
    text.replace('&', "&amp;").replace('<', "&lt;").replace('>', "&gt;")
}
