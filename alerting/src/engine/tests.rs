//! The engine without ClickHouse: scripted evaluations through real rules, the real machine and a real state file.

mod alarms;
mod blind;
mod degraded;
mod news;
mod restart;
mod world;
