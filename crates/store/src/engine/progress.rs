//! How far a fetch has come.

use std::io::{self, IsTerminal as _};

use indicatif::{ProgressBar, ProgressStyle};

use super::unpack::OnBytes;

/// A bar on a terminal; a log line for each step otherwise.
pub(super) struct Progress {
    bar: ProgressBar,
    on_bytes: Box<dyn Fn(u64)>,
}

impl Progress {
    pub(super) fn new(step: &'static str, bytes: Option<u64>) -> Self {
        if !io::stderr().is_terminal() {
            tracing::info!(step, bytes, "embedded engine");
            return Self { bar: ProgressBar::hidden(), on_bytes: Box::new(|_| ()) };
        }
        let bar = bytes.map_or_else(ProgressBar::new_spinner, ProgressBar::new);
        let style = ProgressStyle::with_template(
            "{msg:>10} [{bar:30}] {bytes} of {total_bytes}, {bytes_per_sec}, {eta} left",
        );
        // The template is a constant that a test has seen on a terminal; a bad one falls back.
        bar.set_style(style.unwrap_or_else(|_| ProgressStyle::default_bar()));
        bar.set_message(step);
        let shown = bar.clone();
        Self { bar, on_bytes: Box::new(move |done| shown.set_position(done)) }
    }

    pub(super) fn on_bytes(&self) -> OnBytes<'_> {
        &*self.on_bytes
    }
}

impl Drop for Progress {
    fn drop(&mut self) {
        self.bar.finish();
    }
}
