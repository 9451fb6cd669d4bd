//! Ingest as providers meet it: over sockets, with a real log behind it.

mod bad_requests;
mod harness;
mod limits;
