//! Ingest as providers meet it: over sockets, with a real log behind it.

#![expect(clippy::unwrap_used, reason = "in a test it is the failure")]

mod bad_requests;
mod harness;
mod limits;
mod tallies;
