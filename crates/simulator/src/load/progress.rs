//! A progress bar on a terminal; nothing elsewhere (the report tells all).

use std::time::{Duration, Instant};

use indicatif::{HumanCount, ProgressBar, ProgressStyle};
use tracing::info;

use super::{LoadConfig, Pace};

pub(super) struct Progress {
    bar: ProgressBar,
    started: Instant,
    shown: (Instant, u64),
}

impl Progress {
    pub(super) const EVERY: Duration = Duration::from_millis(200);

    pub(super) fn start(config: &LoadConfig) -> Self {
        let pace = match config.pace {
            Pace::FlatOut => "flat out".to_owned(),
            Pace::PerSecond(rate) => format!("{rate} a second"),
        };
        let (warm_up_s, duration_s) = (config.warm_up.as_secs_f64(), config.duration.as_secs_f64());
        let connections = config.connections;
        info!(target = %config.target, pace, connections, warm_up_s, duration_s, "load begins");
        let length = config.warm_up + config.duration;
        let bar = ProgressBar::new(u64::try_from(length.as_millis()).unwrap_or(u64::MAX));
        if let Ok(style) = ProgressStyle::with_template("{bar:30} {percent:>3}% {msg}") {
            bar.set_style(style);
        }
        let now = Instant::now();
        Self { bar, started: now, shown: (now, 0) }
    }

    pub(super) fn show(&mut self, acknowledged: u64, requests: u64) {
        let now = Instant::now();
        let rate = (acknowledged - self.shown.1) as f64 / (now - self.shown.0).as_secs_f64();
        self.shown = (now, acknowledged);
        let elapsed = u64::try_from((now - self.started).as_millis()).unwrap_or(u64::MAX);
        self.bar.set_position(elapsed.min(self.bar.length().unwrap_or(u64::MAX)));
        self.bar.set_message(format!(
            "{} acknowledged · {rate:.0}/s · {} not",
            HumanCount(acknowledged),
            HumanCount(requests - acknowledged)
        ));
    }
}

impl Drop for Progress {
    fn drop(&mut self) {
        self.bar.finish_and_clear();
    }
}
