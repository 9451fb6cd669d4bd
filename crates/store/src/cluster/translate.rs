//! From a migration's statement for one server to its statements for a cluster.
//!
//! Only forms that are listed here are rewritten, and every other is refused: a migration that this module does not
//! understand must fail in a test, and not create a table on one server of many.

use super::Cluster;

/// What follows a table's name where every server keeps rows of its own.
pub(crate) const LOCAL: &str = "_local";

/// Every server has all rows of it: it is no part of any shard.
const EVERYWHERE: &str = "schema_migrations";

/// How a statement names the database.
const DATABASE: &str = "{database}.";

/// Engines that have a replicated sibling and need no columns beyond what they are told.
const FAMILIES: &[&str] = &["MergeTree", "ReplacingMergeTree", "AggregatingMergeTree", "SummingMergeTree"];

/// A statement cannot be written for a cluster.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
#[error("{0}")]
pub struct Untranslatable(String);

fn refuse<T>(why: impl Into<String>) -> Result<T, Untranslatable> {
    Err(Untranslatable(why.into()))
}

/// The statements that do on `cluster` what `statement` does on one server, in order; `{database}` is left in them.
pub(crate) fn translate(
    statement: &str,
    cluster: &Cluster,
    database: &str,
) -> Result<Vec<String>, Untranslatable> {
    let on_cluster = format!("ON CLUSTER `{}`", cluster.name);
    let statement = statement.trim();
    if statement.contains(['`', '"']) || statement.contains("--") {
        return refuse("a quoted name or a comment within a line: neither is read here");
    }
    if statement == "CREATE DATABASE IF NOT EXISTS {database}" {
        return Ok(vec![format!("{statement} {on_cluster}")]);
    }
    if let Some(rest) = statement.strip_prefix("CREATE TABLE IF NOT EXISTS ") {
        return create_table(rest, cluster, database);
    }
    if let Some(rest) = statement.strip_prefix("ALTER TABLE ") {
        return alter_table(rest, &on_cluster);
    }
    for create in ["CREATE VIEW IF NOT EXISTS ", "CREATE OR REPLACE VIEW "] {
        if let Some(rest) = statement.strip_prefix(create) {
            let (name, query) = named(rest)?;
            if !query.starts_with("AS\n") && !query.starts_with("AS ") {
                return refuse(format!("`AS` must follow the name of view {name}"));
            }
            return Ok(vec![format!("{create}{DATABASE}{name} {on_cluster} {query}")]);
        }
    }
    if let Some(rest) = statement.strip_prefix("DROP VIEW IF EXISTS ") {
        let (name, rest) = named(rest)?;
        if !rest.is_empty() {
            return refuse(format!("nothing may follow the name of view {name}"));
        }
        return Ok(vec![format!("DROP VIEW IF EXISTS {DATABASE}{name} {on_cluster}")]);
    }
    refuse("this form of statement is not known")
}

/// `{database}.name rest`, the rest without leading white space.
fn named(text: &str) -> Result<(&str, &str), Untranslatable> {
    let Some(text) = text.strip_prefix(DATABASE) else {
        return refuse("a name must begin with the database");
    };
    let end = text.find(|c: char| !c.is_ascii_alphanumeric() && c != '_').unwrap_or(text.len());
    let (name, rest) = text.split_at(end);
    if name.is_empty() || !rest.is_empty() && !rest.starts_with(|c: char| c.is_whitespace()) {
        return refuse("a name is letters, digits and `_`, and white space must follow it");
    }
    Ok((name, rest.trim_start()))
}

/// The table that holds the rows of `name` on each server.
pub(crate) fn local(name: &str) -> String {
    if name == EVERYWHERE { name.to_owned() } else { format!("{name}{LOCAL}") }
}

fn create_table(rest: &str, cluster: &Cluster, database: &str) -> Result<Vec<String>, Untranslatable> {
    let (name, body) = named(rest)?;
    let columns_end = match matching(body) {
        Some(end) if body.starts_with('(') => end,
        _ => return refuse(format!("the columns of {name} must follow its name")),
    };
    let (columns, tail) = body.split_at(columns_end);
    let Some(tail) = tail.trim_start().strip_prefix("ENGINE = ") else {
        return refuse(format!("`ENGINE = ` must follow the columns of {name}"));
    };
    let end = tail.find(|c: char| !c.is_ascii_alphanumeric()).unwrap_or(tail.len());
    let (family, tail) = tail.split_at(end);
    if !FAMILIES.contains(&family) {
        return refuse(format!("{name}: engine {family} is not known to have a replicated sibling"));
    }
    let (arguments, tail) = match matching(tail) {
        Some(end) if tail.starts_with('(') => tail.split_at(end),
        _ => ("", tail),
    };
    let arguments = match within(arguments) {
        "" => String::new(),
        arguments => format!(", {arguments}"),
    };
    let tail = tail.replace("non_replicated_deduplication_window", "replicated_deduplication_window");

    let (stored, name_quoted) = (local(name), &cluster.name);
    // The path holds no `{uuid}`: a server that joins later must find the replicas that are there.
    let (shard, replica) =
        if name == EVERYWHERE { ("all", "{shard}-{replica}") } else { ("{shard}", "{replica}") };
    let path = format!("/clickhouse/tables/{name_quoted}/{shard}/{database}/{stored}");
    let local_table = format!(
        "CREATE TABLE IF NOT EXISTS {DATABASE}{stored} ON CLUSTER `{name_quoted}`\n{columns}\n\
         ENGINE = Replicated{family}('{path}', '{replica}'{arguments}){tail}"
    );
    if name == EVERYWHERE {
        return Ok(vec![local_table]);
    }
    let key = sharding_key(name, columns, &tail)?.join(", ");
    let distributed = format!(
        "CREATE TABLE IF NOT EXISTS {DATABASE}{name} ON CLUSTER `{name_quoted}` AS {DATABASE}{stored} \
         ENGINE = Distributed('{name_quoted}', '{database}', '{stored}', sipHash64({key}))"
    );
    Ok(vec![local_table, distributed])
}

/// The columns by which rows are spread: those of the sorting key that tell no time. Rows that `FINAL` collapses are equal
/// in all of the sorting key, so they meet on one shard; without the times so does a copy that lies in another minute.
fn sharding_key<'a>(name: &str, columns: &'a str, tail: &'a str) -> Result<Vec<&'a str>, Untranslatable> {
    let Some((_, order)) = tail.split_once("ORDER BY ") else {
        return refuse(format!("{name} has no `ORDER BY`, which tells a row's identity"));
    };
    let order = match matching(order) {
        Some(end) if order.starts_with('(') => within(order.split_at(end).0),
        _ => order.split_whitespace().next().unwrap_or_default(),
    };
    let columns = split(within(columns));
    let kind_of = |column: &str| {
        columns.iter().find_map(|line| line.strip_prefix(column)?.strip_prefix(' ').map(str::trim_start))
    };
    let mut key = Vec::new();
    for expression in split(order) {
        if !expression.chars().all(|c| c.is_ascii_alphanumeric() || c == '_') {
            continue; // `toStartOfMinute(occurred_at)`
        }
        match kind_of(expression) {
            Some(kind) if kind.starts_with("Date") => {}
            Some(_) => key.push(expression),
            None => {
                return refuse(format!("{name} is ordered by {expression}, which is none of its columns"));
            }
        }
    }
    if key.is_empty() {
        return refuse(format!(
            "{name} is ordered by times alone: nothing tells which shard a row belongs to"
        ));
    }
    Ok(key)
}

/// What may be done to a table's settings: on every server, and nothing to the `Distributed` table.
const OF_STORAGE: &[&str] = &["MODIFY SETTING ", "RESET SETTING ", "MODIFY TTL ", "REMOVE TTL"];

/// What may be done to its columns: in both.
const OF_COLUMNS: &[&str] = &["ADD COLUMN IF NOT EXISTS ", "MODIFY COLUMN IF EXISTS ", "MODIFY COLUMN "];

fn alter_table(rest: &str, on_cluster: &str) -> Result<Vec<String>, Untranslatable> {
    let (name, change) = named(rest)?;
    let stored = local(name);
    let on_storage = format!(
        "ALTER TABLE {DATABASE}{stored} {on_cluster} {}",
        change.replace("non_replicated_deduplication_window", "replicated_deduplication_window")
    );
    if OF_STORAGE.iter().any(|form| change.starts_with(form)) {
        // Settings and TTLs are lists of their own; a second action would hide in one.
        let hidden = ["ADD ", "DROP ", "MODIFY ", "REMOVE ", "RESET ", "RENAME "];
        if split(change).iter().skip(1).any(|part| hidden.iter().any(|word| part.starts_with(word))) {
            return refuse(format!("{name}: one change at a time"));
        }
        return Ok(vec![on_storage]);
    }
    let of_columns = |part: &&str| OF_COLUMNS.iter().any(|form| part.starts_with(form));
    if !split(change).iter().all(of_columns) {
        return refuse(format!("{name}: this change is not known"));
    }
    if name == EVERYWHERE {
        return Ok(vec![on_storage]);
    }
    // First where rows are: nobody is shown a column that they lack.
    Ok(vec![on_storage, format!("ALTER TABLE {DATABASE}{name} {on_cluster} {change}")])
}

/// Where the parenthesis ends that `text` begins with, quoted texts passed over.
fn matching(text: &str) -> Option<usize> {
    let (mut depth, mut quoted, mut escaped) = (0_u32, false, false);
    for (index, character) in text.char_indices() {
        match character {
            _ if escaped => escaped = false,
            '\\' if quoted => escaped = true,
            '\'' => quoted = !quoted,
            '(' if !quoted => depth += 1,
            ')' if !quoted => {
                depth = depth.checked_sub(1)?;
                if depth == 0 {
                    return Some(index + 1);
                }
            }
            _ => {}
        }
    }
    None
}

/// The parts of a list that is separated by commas, those in parentheses and quotes left together.
fn split(list: &str) -> Vec<&str> {
    let (mut depth, mut quoted, mut escaped, mut start) = (0_i32, false, false, 0);
    let mut parts = Vec::new();
    for (index, character) in list.char_indices() {
        match character {
            _ if escaped => escaped = false,
            '\\' if quoted => escaped = true,
            '\'' => quoted = !quoted,
            '(' if !quoted => depth += 1,
            ')' if !quoted => depth -= 1,
            ',' if !quoted && depth == 0 => {
                parts.extend(list.get(start..index));
                start = index + 1;
            }
            _ => {}
        }
    }
    parts.extend(list.get(start..));
    parts.into_iter().map(str::trim).filter(|part| !part.is_empty()).collect()
}

/// What stands in the parentheses that are all of `text`.
fn within(text: &str) -> &str {
    text.strip_prefix('(').and_then(|text| text.strip_suffix(')')).unwrap_or(text).trim()
}

#[cfg(test)]
#[path = "translate/tests.rs"]
mod tests;
