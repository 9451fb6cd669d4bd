//! `tillwatch dead-letters`: what no processor survived, looked at, sent again, or dropped with a reason.

mod drop;
mod letter;
mod show;

use std::collections::BTreeMap;
use std::io::Write as _;
use std::process::ExitCode;

use anyhow::Context as _;
use clap::{Args, Subcommand};
use indicatif::{ProgressBar, ProgressStyle};
use queue::rabbitmq::dead_letters::DeadLetters;
use runtime::Config;
use runtime::config::QueueKind;
use uuid::Uuid;

use crate::bootstrap::load_config;
use crate::cli::Global;
use crate::queues;
use letter::Letter;

/// Look at dead letters, send them again, or drop them.
#[derive(Debug, Args)]
#[command(
    after_help = "Examples:\n  tillwatch dead-letters list --source stripe-us\n  tillwatch dead-letters show 0193a1b2-…\n  tillwatch dead-letters requeue --all --dry-run\n  tillwatch dead-letters drop 0193a1b2-… --reason 'sent by a load test'"
)]
pub(crate) struct DeadLettersArgs {
    #[command(subcommand)]
    command: Command,
}

#[derive(Debug, Subcommand)]
enum Command {
    /// List them, oldest first, and count them by source and reason
    List {
        #[command(flatten)]
        filter: Filter,
        /// Shown, at most; all are counted
        #[arg(long, default_value_t = 50)]
        limit: usize,
        /// One JSON object a line, without the count
        #[arg(long)]
        json: bool,
    },
    /// Show one: its history, headers and exact body, and what today's mapper makes of it
    Show {
        /// Id of its webhook, as `list` shows it
        id: Uuid,
        /// Only the exact bytes of the body
        #[arg(long)]
        raw: bool,
    },
    /// Publish them again; each leaves when the broker has confirmed it
    Requeue {
        #[command(flatten)]
        chosen: Chosen,
    },
    /// Take them away; each is kept in ClickHouse as a parked webhook
    Drop {
        #[command(flatten)]
        chosen: Chosen,
        /// Kept with each of them
        #[arg(long, value_name = "TEXT")]
        reason: String,
    },
}

#[derive(Clone, Debug, Default, Args)]
struct Filter {
    /// Only of this source
    #[arg(long, value_name = "NAME")]
    source: Option<String>,
    /// Only those whose reason contains this
    #[arg(long, value_name = "TEXT")]
    because: Option<String>,
}

#[derive(Clone, Debug, Args)]
#[group(required = true, multiple = true)]
struct Chosen {
    /// One, by the id that `list` shows
    id: Option<Uuid>,
    /// Only of this source
    #[arg(long, value_name = "NAME")]
    source: Option<String>,
    /// Only those whose reason contains this
    #[arg(long, value_name = "TEXT")]
    because: Option<String>,
    /// All of them
    #[arg(long, conflicts_with_all = ["id", "source", "because"])]
    all: bool,
    /// Say what would be done, and do nothing
    #[arg(long)]
    dry_run: bool,
}

/// Which letters are meant.
trait Selects {
    fn selects(&self, letter: &Letter) -> bool;
}

impl Selects for Filter {
    fn selects(&self, letter: &Letter) -> bool {
        self.source.as_deref().is_none_or(|source| letter.is_of(source))
            && self.because.as_deref().is_none_or(|text| letter.dead.reason.contains(text))
    }
}

impl Selects for Chosen {
    fn selects(&self, letter: &Letter) -> bool {
        let filter = Filter { source: self.source.clone(), because: self.because.clone() };
        self.id.is_none_or(|id| letter.is(id)) && filter.selects(letter)
    }
}

impl Chosen {
    /// Something that chooses: `--dry-run` alone does not.
    fn check(&self) -> anyhow::Result<()> {
        let chosen = self.all || self.id.is_some() || self.source.is_some() || self.because.is_some();
        anyhow::ensure!(chosen, "say which: an ID, --source, --because or --all");
        Ok(())
    }

    /// What is chosen to be moved. A message that holds webhooks of other sources too is not, unless it is named: they
    /// lie and move together.
    fn takes(&self, letter: &Letter) -> std::io::Result<bool> {
        if !self.selects(letter) {
            return Ok(false);
        }
        let mixed = self.id.is_none()
            && self.source.as_deref().is_some_and(|source| !letter.is_of_no_other_than(source));
        if mixed {
            let id = letter.id();
            writeln!(
                std::io::stdout(),
                "left: {id} lies in one message with webhooks of other sources; name it by its id"
            )?;
        }
        Ok(!mixed)
    }
}

pub(crate) fn run(global: &Global, args: &DeadLettersArgs) -> anyhow::Result<ExitCode> {
    let config = load_config(global)?;
    anyhow::ensure!(
        config.queue.kind == QueueKind::RabbitMq,
        "queue.kind is embedded, which has no dead letters: what a processor cannot understand is parked in ClickHouse \
         (SELECT * FROM tillwatch.parked_webhooks)"
    );
    tokio::runtime::Runtime::new()?.block_on(async {
        let broker = queues::broker_config(&config, "dead-letters").context("[queue]")?;
        let mut letters = DeadLetters::open(&broker).await.context("opening the queue of dead letters")?;
        let done = match &args.command {
            Command::List { filter, limit, json } => list(&mut letters, filter, *limit, *json).await,
            Command::Show { id, raw } => show::one(&mut letters, &config, *id, *raw).await,
            Command::Requeue { chosen } => requeue(&mut letters, &config, chosen).await,
            Command::Drop { chosen, reason } => drop::all(&mut letters, &config, chosen, reason).await,
        };
        letters.close().await;
        done
    })
}

async fn list(
    letters: &mut DeadLetters,
    filter: &Filter,
    limit: usize,
    json: bool,
) -> anyhow::Result<ExitCode> {
    let mut counted: BTreeMap<(String, String), u64> = BTreeMap::new();
    let mut shown = 0;
    let bar = bar(letters);
    while let Some(letter) = next(letters, &bar).await? {
        if !filter.selects(&letter) {
            continue;
        }
        let of = (letter.source().to_owned(), letter.dead.reason.clone());
        *counted.entry(of).or_default() += 1;
        if shown < limit {
            shown += 1;
            let line = if json { letter.json().to_string() } else { letter.line() };
            bar.suspend(|| writeln!(std::io::stdout(), "{line}"))?;
        }
    }
    bar.finish_and_clear();
    if json {
        return Ok(ExitCode::SUCCESS);
    }
    let mut out = std::io::stdout().lock();
    let all: u64 = counted.values().sum();
    writeln!(out, "{all} dead letters{}", if counted.is_empty() { "" } else { ":" })?;
    for ((source, reason), count) in counted {
        writeln!(out, "  {count} of {source}: {reason}")?;
    }
    Ok(ExitCode::SUCCESS)
}

async fn requeue(letters: &mut DeadLetters, config: &Config, chosen: &Chosen) -> anyhow::Result<ExitCode> {
    chosen.check()?;
    let (bar, mut count) = (bar(letters), 0_u64);
    while let Some(letter) = next(letters, &bar).await? {
        if !bar.suspend(|| chosen.takes(&letter))? {
            continue;
        }
        count += 1;
        if !chosen.dry_run {
            let lane = lane(config, letter.source());
            let requeued = letters.requeue(&letter.dead, lane).await;
            requeued.with_context(|| format!("requeueing {}, after {}", letter.id(), count - 1))?;
        }
    }
    bar.finish_and_clear();
    told(count, chosen, "requeued")
}

/// Says how many; none is a failure.
fn told(count: u64, chosen: &Chosen, done: &str) -> anyhow::Result<ExitCode> {
    let would = if chosen.dry_run { "would be " } else { "" };
    writeln!(std::io::stdout(), "{count} dead letters {would}{done}")?;
    Ok(if count == 0 { ExitCode::FAILURE } else { ExitCode::SUCCESS })
}

async fn next(letters: &mut DeadLetters, bar: &ProgressBar) -> anyhow::Result<Option<Letter>> {
    let next = letters.next().await.context("reading dead letters")?;
    bar.inc(1);
    Ok(next.map(Letter::new))
}

/// Shown in a terminal only.
fn bar(letters: &DeadLetters) -> ProgressBar {
    let style = ProgressStyle::with_template("{bar:30} {pos} of {len} dead letters read");
    ProgressBar::new(letters.left().into()).with_style(style.unwrap_or_else(|_| ProgressStyle::default_bar()))
}

/// The lane of a source, as ingest chooses it; one that is not configured any more takes the first.
fn lane(config: &Config, source: &str) -> usize {
    config.sources.iter().position(|configured| configured.name == source).unwrap_or(0)
}
