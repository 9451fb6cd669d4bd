//! The processor between a real queue and a ClickHouse that says what it is told to say, and once the real one.

#![expect(clippy::unwrap_used, clippy::panic, reason = "a test fails by panicking, also in its helpers")]

#[path = "processor/harness.rs"]
mod harness;
#[path = "processor/scripted.rs"]
mod scripted;

#[path = "processor/outages.rs"]
mod outages;
#[path = "processor/real_engine.rs"]
mod real_engine;
#[path = "processor/refusals.rs"]
mod refusals;
