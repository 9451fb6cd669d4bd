//! What every provider must hold, in one test binary.
//!
//! - `contract`: rules for every provider and every fixture;
//! - `vectors`: signatures whose verdict is known;
//! - `samples`: what payloads become, as reviewed snapshots;
//! - `properties`: no input panics, no changed bit passes;
//! - `decline_codes`, `canonical`: tables and documents that must agree with each other.
//!
//! `fixtures/<provider>/*.json` are webhook bodies; a folder `story-…` holds every webhook of one attempt, or of as many
//! attempts as its name says (`story-…-2-attempts`). `vectors.json` is described in `vectors`.

#![expect(clippy::unwrap_used, clippy::panic, reason = "in a test they are the failure")]

mod canonical;
mod contract;
mod decline_codes;
mod properties;
mod samples;
mod support;
mod vectors;
