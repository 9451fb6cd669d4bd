//! The binary as its users meet it: real processes, real engine, real sockets.

mod harness;
mod nothing_lost;
mod telemetry;
mod whole_way;
