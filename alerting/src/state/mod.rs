//! What a rule thinks of one slice, pure: no clock, no I/O, no randomness.
//!
//! ```text
//!              breach              held for `for_s`
//!  Inactive ───────────▶ Pending ────────────────────▶ Firing ◀──────── breach
//!     ▲                     │                            │ clear          │
//!     │◀──── no breach ─────┘                            ▼                │
//!     └────────── clear held for `recover_for_s` ── Recovering ───────────┘
//! ```
//!
//! Health is orthogonal: while the data are stale, missing or cannot be read, everything stands still, timers
//! included. Timers run in event time, so they measure data, not waiting.

mod machine;
mod slice_state;

#[cfg(test)]
mod tests;

pub use machine::{Health, Phase, Reading, Timing, Verdict};
pub use slice_state::{CloseReason, Episode, Move, Past, SliceState, dedup_key};
