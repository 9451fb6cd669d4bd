//! `tillwatch check`: what starting would find wrong, before a deploy.

use std::process::ExitCode;

use crate::bootstrap::load_config;
use crate::cli::Global;

#[expect(clippy::print_stdout, reason = "the command's answer")]
pub(crate) fn run(global: &Global) -> anyhow::Result<ExitCode> {
    let config = load_config(global)?;
    let text = std::fs::read_to_string(&global.config)?;
    let mut problems: Vec<String> = config.check_secrets(&text).iter().map(ToString::to_string).collect();
    let rules = match alerting::check(&config) {
        Ok(rules) => rules,
        Err(error) => {
            problems.push(format!("{:#}", anyhow::Error::from(error)));
            0
        }
    };
    if problems.is_empty() {
        println!(
            "{}: fine: {} sources, {} channels, {rules} rules",
            global.config.display(),
            config.sources.len(),
            config.channels.len()
        );
        return Ok(ExitCode::SUCCESS);
    }
    for problem in &problems {
        println!("{problem}");
    }
    println!("{} problem(s)", problems.len());
    Ok(ExitCode::FAILURE)
}
