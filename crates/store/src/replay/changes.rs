//! What a replay would change: the rows it mapped beside those that stand.

use clickhouse::Row;
use payments::Provider;
use serde::Deserialize;
use strum::VariantArray as _;

use super::{READ, ReplayError, Staging, client, query, staged};
use crate::rows::PaymentEventRow;

/// Columns that tell where a row came from and not what happened.
const NOT_COMPARED: &[&str] =
    &["event_id", "fact", "source", "received_at", "stored_at", "mapper_version", "webhook_id"];

/// What a replay changes.
#[derive(Clone, Debug, Default, PartialEq)]
pub struct Changes {
    /// Webhooks by what became of them and what becomes of them: before, after, reason if parked after, how many.
    pub webhooks: Vec<(String, String, String, u64)>,
    /// Rows of webhooks that say something else: another outcome, another number of facts.
    pub webhook_rows: u64,
    /// Facts, each counted once.
    pub facts: FactChanges,
    /// In how many facts each column changes, the most first.
    pub columns: Vec<(String, u64)>,
    /// Facts by source, kind, outcome and currency, before and after; only those that differ.
    pub groups: Vec<Group>,
}

/// Facts that a replay tells, beside those that stand.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Row, Deserialize)]
pub struct FactChanges {
    /// Not there before.
    pub added: u64,
    /// There, and told no more.
    pub withdrawn: u64,
    /// There with other contents.
    pub changed: u64,
    /// There as they are told.
    pub unchanged: u64,
    /// There by a newer mapping, or told at a later time: they stay as they are.
    pub newer: u64,
    /// Copies that stood beside each other in several minutes, and are one afterwards.
    pub merged: u64,
    /// Told, and void: a retraction of the same or a newer mapping stands over them.
    pub hidden: u64,
}

impl FactChanges {
    fn add(&mut self, other: Self) {
        self.added += other.added;
        self.withdrawn += other.withdrawn;
        self.changed += other.changed;
        self.unchanged += other.unchanged;
        self.newer += other.newer;
        self.merged += other.merged;
        self.hidden += other.hidden;
    }
}

/// Facts of one kind, before and after.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord, Row, Deserialize)]
pub struct Group {
    /// The source.
    pub source: String,
    /// What happened.
    pub kind: String,
    /// How it ended.
    pub outcome: String,
    /// ISO 4217 code, empty without an amount.
    pub currency: String,
    /// How many facts, before.
    pub facts_before: i64,
    /// How many facts, after.
    pub facts_after: i64,
    /// Their amount in minor units, before.
    pub amount_minor_before: i64,
    /// Their amount in minor units, after.
    pub amount_minor_after: i64,
}

/// Copies of facts compared at once: some 1 KB of memory each.
const FACTS_COMPARED_AT_ONCE: u64 = 1_000_000;

const HOUR_MS: i64 = 3_600_000;

/// How far apart two webhooks about one event are looked for, where no place is noted: providers try again for days.
const REPEATED_WITHIN_MS: i64 = 7 * 24 * HOUR_MS;

/// SQL: the row is of an older mapping than this build's.
fn older_mapping() -> String {
    let providers = Provider::VARIANTS.iter().map(|provider| {
        format!("(provider = '{}' AND mapper_version < {})", provider.name(), provider.mapper_version())
    });
    format!("({})", providers.collect::<Vec<_>>().join(" OR "))
}

#[derive(Row, Deserialize)]
struct Transition {
    outcome_before: String,
    outcome: String,
    reason: String,
    webhooks: u64,
}

#[derive(Row, Deserialize)]
struct Partition {
    partition_id: String,
}

fn compared() -> impl Iterator<Item = &'static str> {
    PaymentEventRow::COLUMN_NAMES.iter().copied().filter(|column| !NOT_COMPARED.contains(column))
}

impl Staging {
    /// Marks what is stored of the webhooks that were mapped and that no mapping tells any more, then compares. Nothing
    /// that is read changes.
    pub async fn compare(&self, mut progress: impl FnMut(usize, usize)) -> Result<Changes, ReplayError> {
        let hours = self.hours().await?;
        let buckets = self.buckets().await?;
        for (done, hour) in hours.iter().enumerate() {
            self.sign_of_life().await?;
            self.withdraw(*hour).await?;
            progress(done + 1, hours.len() + buckets);
        }
        let sql = format!(
            "SELECT outcome_before, outcome, reason, count() AS webhooks FROM {READ} FINAL \
             GROUP BY ALL ORDER BY webhooks DESC, outcome_before, outcome, reason"
        );
        let transitions: Vec<Transition> =
            client(&self.live).query_raw(&sql).fetch_all().await.map_err(query("count webhooks"))?;
        let mut changes = Changes {
            webhooks: transitions
                .into_iter()
                .map(|row| (row.outcome_before, row.outcome, row.reason, row.webhooks))
                .collect(),
            ..Changes::default()
        };
        let rows = format!("SELECT count() FROM {} FINAL", staged("webhooks_stored"));
        let rows = client(&self.live).query_raw(&rows).fetch_one::<u64>().await;
        changes.webhook_rows = rows.map_err(query("count webhooks"))?;
        for bucket in 0..buckets {
            self.sign_of_life().await?;
            self.compare_bucket((bucket, buckets), &mut changes).await?;
            progress(hours.len() + bucket + 1, hours.len() + buckets);
        }
        changes.groups.retain(Group::differs);
        changes.columns.sort_by(|a, b| b.1.cmp(&a.1).then_with(|| a.0.cmp(&b.0)));
        changes.groups.sort();
        Ok(changes)
    }

    /// The hours that mapped webhooks came in, as milliseconds.
    async fn hours(&self) -> Result<Vec<i64>, ReplayError> {
        #[derive(Row, Deserialize)]
        struct Hour {
            hour: i64,
        }
        let sql = format!(
            "SELECT DISTINCT toInt64(toUnixTimestamp(toStartOfHour(received_at))) * 1000 AS hour FROM {READ} ORDER BY hour"
        );
        let hours: Vec<Hour> = self
            .live
            .client()
            .query_raw(&sql)
            .fetch_all()
            .await
            .map_err(query("tell how far a replay is"))?;
        Ok(hours.into_iter().map(|row| row.hour).collect())
    }

    /// Retracts what is told no more: the facts of the webhooks of one hour that no webhook tells at their place, and older
    /// copies, whichever webhook they are of, of facts that are told at another.
    ///
    /// Only those of older mappings: a retraction stands over what the same version tells later, so it could never be
    /// taken back.
    async fn withdraw(&self, hour: i64) -> Result<(), ReplayError> {
        let table = staged("payment_events_stored");
        let within = |before: i64, behind: i64| {
            format!(
                "received_at >= fromUnixTimestamp64Milli({}) AND received_at < fromUnixTimestamp64Milli({})",
                hour - before,
                hour + HOUR_MS + behind
            )
        };
        let this_hour = within(0, 0);
        let of_webhooks = format!(
            "{this_hour} AND webhook_id IN (SELECT webhook_id FROM {READ} WHERE {this_hour}) \
             AND (toStartOfMinute(occurred_at), source, event_id, fact) NOT IN \
             (SELECT toStartOfMinute(occurred_at), source, event_id, fact FROM {table} WHERE is_deleted = 0 AND event_id IN \
             (SELECT event_id FROM payment_events_stored WHERE {this_hour}))"
        );
        let told = format!("FROM {table} WHERE is_deleted = 0 AND {this_hour}");
        let of_copies = format!(
            "{} AND (source, event_id, fact) IN (SELECT source, event_id, fact {told}) \
             AND (toStartOfMinute(occurred_at), source, event_id, fact) NOT IN \
             (SELECT toStartOfMinute(occurred_at), source, event_id, fact {told})",
            within(REPEATED_WITHIN_MS, REPEATED_WITHIN_MS)
        );
        for which in [of_webhooks, of_copies] {
            // An index on a column outside the key would skip newer copies that make an older one void; and what the
            // condition cache remembers of other questions has been wrong in several versions.
            let sql = format!(
                "INSERT INTO {table} (source, provider, event_id, fact, occurred_at, received_at, mapper_version, \
                 webhook_id, is_deleted) \
                 SELECT source, provider, event_id, fact, occurred_at, received_at, mapper_version, webhook_id, 1 \
                 FROM payment_events_stored FINAL WHERE {} AND {which} \
                 SETTINGS use_skip_indexes_if_final_exact_mode = 1, use_query_condition_cache = 0, \
                 max_partitions_per_insert_block = 0",
                older_mapping()
            );
            self.execute("find facts that are told no more", &sql).await?;
        }
        Ok(())
    }

    pub(super) async fn partitions(&self, table: &str) -> Result<Vec<String>, ReplayError> {
        let sql = "SELECT DISTINCT partition_id FROM system.parts \
                   WHERE database = currentDatabase() AND table = ? AND active ORDER BY partition_id";
        let asked = client(&self.live).query(sql).bind(staged(table)).fetch_all::<Partition>().await;
        let partitions = asked.map_err(query("tell the days of a replay"))?;
        Ok(partitions.into_iter().map(|row| row.partition_id).collect())
    }

    /// In how many pieces facts are compared, so that each fits into memory.
    async fn buckets(&self) -> Result<usize, ReplayError> {
        let sql = format!("SELECT count() FROM {}", staged("payment_events_stored"));
        let rows = client(&self.live).query_raw(&sql).fetch_one::<u64>().await;
        let rows = rows.map_err(query("count facts"))?;
        Ok(usize::try_from(rows / FACTS_COMPARED_AT_ONCE).unwrap_or(usize::MAX - 1) + 1)
    }

    async fn compare_bucket(&self, bucket: (usize, usize), changes: &mut Changes) -> Result<(), ReplayError> {
        let compared: Vec<&str> = compared().collect();
        let facts = self.facts_of(bucket, &compared);
        let action = "compare facts";
        // Column by column: two tuples that hold NULL are neither equal nor different.
        let differ: Vec<String> = (1..=compared.len())
            .map(|at| format!("contents_after.{at} IS DISTINCT FROM contents_before.{at}"))
            .collect();
        let same = format!("NOT ({})", differ.join(" OR "));
        let sql = format!(
            "SELECT countIf(NOT was AND is) AS added, countIf(was AND NOT is) AS withdrawn, \
             countIf(was AND is AND won AND NOT same) AS changed, countIf(was AND is AND won AND same) AS unchanged, \
             countIf(was AND is AND NOT won) AS newer, \
             toUInt64(sumIf(were - are, was AND is AND were > are)) AS merged, countIf(NOT is AND told) AS hidden \
             FROM (SELECT was, is, won, were, are, told, {same} AS same FROM ({facts}))"
        );
        let counted = client(&self.live).query_raw(&sql).fetch_one::<FactChanges>().await;
        changes.facts.add(counted.map_err(query(action))?);

        let differ: Vec<String> =
            differ.iter().map(|differs| format!("countIf(was AND is AND won AND {differs})")).collect();
        let sql = format!("SELECT [{}] FROM ({facts})", differ.join(", "));
        let counts =
            client(&self.live).query_raw(&sql).fetch_one::<Vec<u64>>().await.map_err(query(action))?;
        for (column, count) in compared.iter().zip(counts).filter(|(_, count)| *count > 0) {
            match changes.columns.iter_mut().find(|(name, _)| name == column) {
                Some((_, sum)) => *sum += count,
                None => changes.columns.push(((*column).to_owned(), count)),
            }
        }

        let column = |name: &str| compared.iter().position(|column| *column == name).map_or(0, |at| at + 1);
        let (kind, outcome) = (column("kind"), column("outcome"));
        let (currency, amount) = (column("currency"), column("amount_minor"));
        let of = |side: &str, there: &str, sign: &str| {
            format!(
                "(source, toString({side}.{kind}), toString({side}.{outcome}), toString({side}.{currency}), \
                 toInt64({there}), if({there}, {side}.{amount}, 0), '{sign}')"
            )
        };
        let sql = format!(
            "SELECT toString(g.1) AS source, g.2 AS kind, g.3 AS outcome, g.4 AS currency, \
             sumIf(g.5, g.7 = 'before') AS facts_before, sumIf(g.5, g.7 = 'after') AS facts_after, \
             sumIf(g.6, g.7 = 'before') AS amount_minor_before, sumIf(g.6, g.7 = 'after') AS amount_minor_after \
             FROM (SELECT arrayJoin([{}, {}]) AS g FROM ({facts})) WHERE g.5 > 0 GROUP BY ALL",
            of("contents_before", "was", "before"),
            of("contents_after", "is", "after"),
        );
        let groups: Vec<Group> =
            client(&self.live).query_raw(&sql).fetch_all().await.map_err(query(action))?;
        for group in groups {
            merge(&mut changes.groups, group);
        }
        Ok(())
    }

    /// SQL of the facts of a bucket that a replay tells or retracts, each once wherever it lies: whether it was there and
    /// is there afterwards, both contents, and whether those afterwards are the replay's.
    fn facts_of(&self, (bucket, buckets): (usize, usize), compared: &[&str]) -> String {
        let table = staged("payment_events_stored");
        let key = "toStartOfMinute(occurred_at) AS minute, source, event_id, fact";
        let contents = compared.join(", ");
        let of_bucket = format!("cityHash64(source, event_id) % {buckets} = {bucket}");
        let copies = |table: &str, replayed: u8, more: &str| {
            format!(
                "SELECT {key}, ({contents}) AS copy, version, is_deleted, {replayed} AS replayed FROM {table} \
                 WHERE {of_bucket}{more}"
            )
        };
        let told = format!(
            " AND (toStartOfMinute(occurred_at), source, event_id, fact) IN \
             (SELECT toStartOfMinute(occurred_at), source, event_id, fact FROM {table} WHERE {of_bucket})"
        );
        let by_minute = format!(
            "SELECT source, event_id, fact, argMaxIf(copy, version, replayed = 0) AS stored, \
             argMax(copy, (version, replayed)) AS stands, \
             maxIf(version, replayed = 0) AS stored_version, max(version) AS stands_version, \
             countIf(replayed = 0) > 0 AND argMaxIf(is_deleted, version, replayed = 0) = 0 AS was, \
             argMax(is_deleted, (version, replayed)) = 0 AS is, \
             argMax(replayed, (version, replayed)) AS won, \
             countIf(replayed = 1 AND is_deleted = 0) > 0 AS told \
             FROM ({} UNION ALL {}) GROUP BY minute, source, event_id, fact",
            copies("payment_events_stored", 0, &told),
            copies(&table, 1, ""),
        );
        // Nested, since a name that is given in a question is known in all of it.
        format!(
            "SELECT source, argMaxIf(stored, stored_version, was_here) AS contents_before, \
             argMaxIf(stands, stands_version, is_here) AS contents_after, max(was_here) AS was, max(is_here) AS is, \
             argMaxIf(won_here, stands_version, is_here) AS won, \
             countIf(was_here) AS were, countIf(is_here) AS are, max(told_here) AS told FROM \
             (SELECT source, event_id, fact, stored, stands, stored_version, stands_version, \
             was AS was_here, is AS is_here, won AS won_here, told AS told_here FROM ({by_minute})) \
             GROUP BY source, event_id, fact"
        )
    }
}

impl Group {
    fn differs(&self) -> bool {
        self.facts_before != self.facts_after || self.amount_minor_before != self.amount_minor_after
    }
}

fn merge(groups: &mut Vec<Group>, group: Group) {
    let same = groups.iter_mut().find(|known| {
        (&known.source, &known.kind, &known.outcome, &known.currency)
            == (&group.source, &group.kind, &group.outcome, &group.currency)
    });
    match same {
        Some(known) => {
            known.facts_before += group.facts_before;
            known.facts_after += group.facts_after;
            known.amount_minor_before += group.amount_minor_before;
            known.amount_minor_after += group.amount_minor_after;
        }
        None => groups.push(group),
    }
}
