//! `tillwatch check`: what starting would find wrong, before a deploy. It lists every problem, not only the first.

use std::io::Write as _;
use std::process::ExitCode;

use runtime::chain;

use crate::bootstrap::read_config;
use crate::cli::Global;
use crate::{queues, stores};

pub(crate) fn run(global: &Global) -> anyhow::Result<ExitCode> {
    let (config, problems) = read_config(global)?;
    let text = std::fs::read_to_string(&global.config)?;
    let mut problems: Vec<String> =
        problems.iter().chain(&config.check_secrets(&text)).map(ToString::to_string).collect();
    let unusable = queues::check(&config).into_iter().chain(stores::check(&config));
    problems.extend(unusable.map(|problem| format!("{}: {problem}", global.config.display())));
    let rules = match alerting::check(&config) {
        Ok(rules) => rules,
        Err(error) => {
            problems.push(chain(&error));
            0
        }
    };
    if rules > 0 && config.channels.is_empty() {
        problems.push(format!(
            "{}: {rules} rules and no [[channels]]: nobody would be paged; add one, or empty the folder of rules",
            global.config.display()
        ));
    }
    let mut out = std::io::stdout().lock();
    if problems.is_empty() {
        writeln!(
            out,
            "{}: fine: {} sources, {} channels, {rules} rules",
            global.config.display(),
            config.sources.len(),
            config.channels.len()
        )?;
        return Ok(ExitCode::SUCCESS);
    }
    for problem in &problems {
        writeln!(out, "{problem}")?;
    }
    writeln!(out, "{} problem(s)", problems.len())?;
    Ok(ExitCode::FAILURE)
}
