//! A replay's changes as text.

use std::io::Write as _;

use payments::{Currency, Money};
use store::replay::{Changes, Group};

/// Says on standard output what would change.
pub(super) fn changes(changes: &Changes) -> std::io::Result<()> {
    let mut out = std::io::stdout().lock();
    let all: u64 = changes.webhooks.iter().map(|(.., webhooks)| webhooks).sum();
    writeln!(out, "{all} webhooks mapped again")?;
    for (before, after, reason, webhooks) in &changes.webhooks {
        let because = if reason.is_empty() { String::new() } else { format!(" ({reason})") };
        if before == after {
            writeln!(out, "  {webhooks:>10} {after}{because}, as before")?;
        } else {
            writeln!(out, "  {webhooks:>10} {before} -> {after}{because}")?;
        }
    }
    let facts = changes.facts;
    writeln!(
        out,
        "\nfacts: {} added, {} withdrawn, {} changed, {} as before, {} left as a newer mapping or a later time tells them",
        facts.added, facts.withdrawn, facts.changed, facts.unchanged, facts.newer
    )?;
    if facts.merged > 0 {
        writeln!(out, "  {:>10} that stood twice stand once", facts.merged)?;
    }
    if facts.hidden > 0 {
        writeln!(
            out,
            "  {:>10} told and not shown: a retraction of the same or a newer mapping stands over them",
            facts.hidden
        )?;
    }
    for (column, count) in &changes.columns {
        writeln!(out, "  {count:>10} with another {column}")?;
    }
    if changes.groups.is_empty() {
        return Ok(());
    }
    writeln!(out, "\nfacts and amounts, before -> after")?;
    for group in &changes.groups {
        writeln!(out, "  {}", line(group))?;
    }
    Ok(())
}

fn line(group: &Group) -> String {
    let Group { source, kind, outcome, currency, facts_before, facts_after, .. } = group;
    let amounts = if currency.is_empty() {
        String::new()
    } else {
        let (before, after) =
            (money(group.amount_minor_before, currency), money(group.amount_minor_after, currency));
        format!(", {before} -> {after}")
    };
    format!("{source} {kind} {outcome}: {facts_before} -> {facts_after}{amounts}")
}

/// In the currency's own notation; of one that is not known, minor units.
fn money(amount_minor: i64, currency: &str) -> String {
    let known = Currency::parse(currency).map(|currency| Money::new(amount_minor, currency).to_string());
    known.unwrap_or_else(|| format!("{amount_minor} {currency}"))
}
