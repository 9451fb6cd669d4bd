//! One dead letter, with everything that is known of it.

use std::any::Any;
use std::io::Write as _;
use std::panic::{AssertUnwindSafe, catch_unwind};
use std::process::ExitCode;

use payments::{Envelope, Provider, UnixMillis};
use queue::rabbitmq::dead_letters::DeadLetters;
use runtime::Config;
use uuid::Uuid;

use super::letter::{Letter, Record};

pub(super) async fn one(
    letters: &mut DeadLetters,
    config: &Config,
    id: Uuid,
    raw: bool,
) -> anyhow::Result<ExitCode> {
    let bar = super::bar(letters);
    while let Some(letter) = super::next(letters, &bar).await? {
        if letter.is(id) {
            bar.finish_and_clear();
            show(&letter, config, id, raw)?;
            return Ok(ExitCode::SUCCESS);
        }
    }
    bar.finish_and_clear();
    writeln!(std::io::stdout(), "no dead letter {id}: it may have been requeued or dropped")?;
    Ok(ExitCode::FAILURE)
}

fn show(letter: &Letter, config: &Config, id: Uuid, raw: bool) -> std::io::Result<()> {
    let mut out = std::io::stdout().lock();
    let envelope = letter.webhooks().find(|envelope| envelope.id == id);
    if raw {
        let unreadable = letter.records.iter().find_map(|record| match record {
            Record::Unreadable(bytes, _) if record.id() == id => Some(bytes),
            Record::Unreadable(..) | Record::Webhook(_) | Record::Ours => None,
        });
        return out
            .write_all(envelope.map(|envelope| &envelope.body).or(unreadable).map_or(&[], |body| body));
    }
    writeln!(out, "dead letter  {id}")?;
    writeln!(out, "because      {}", letter.dead.reason)?;
    for step in &letter.dead.history {
        let at = UnixMillis(i64::try_from(step.at).unwrap_or(0).saturating_mul(1_000));
        writeln!(out, "  {at}  {}: {}", step.queue, step.reason)?;
    }
    let Some(envelope) = envelope else {
        for record in &letter.records {
            if let Record::Unreadable(bytes, error) = record {
                writeln!(out, "not readable {} bytes: {error}", bytes.len())?;
            }
        }
        return Ok(());
    };
    writeln!(out, "source       {} ({})", envelope.source, envelope.provider.name())?;
    writeln!(out, "received     {}", envelope.received_at)?;
    writeln!(out, "verified     on arrival, by {}", envelope.secret)?;
    writeln!(out, "today        {}\n", mapped(config, envelope))?;
    for (name, value) in &envelope.headers {
        writeln!(out, "{name}: {}", String::from_utf8_lossy(value))?;
    }
    writeln!(out)?;
    out.write_all(&envelope.body)?;
    writeln!(out)
}

/// What this version's mapper makes of it.
fn mapped(config: &Config, envelope: &Envelope) -> String {
    let configured = config.sources.iter().find(|source| source.name == envelope.source);
    let settings = configured.map(runtime::config::SourceConfig::settings).unwrap_or_default();
    // Unwind safety: both are only read.
    match catch_unwind(AssertUnwindSafe(|| Provider::normalize(envelope, &settings))) {
        Ok(Ok(facts)) => format!("it would be stored, with {} facts", facts.len()),
        Ok(Err(reason)) => format!("it would be parked: {reason}"),
        Err(panic) => format!("its mapper panics: {}", said(&*panic)),
    }
}

fn said(panic: &(dyn Any + Send)) -> &str {
    let text = panic.downcast_ref::<String>().map(String::as_str);
    text.or_else(|| panic.downcast_ref::<&str>().copied()).unwrap_or("no message")
}
