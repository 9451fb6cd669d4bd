//! RabbitMQ, ClickHouse and every service apart, under load, while one part after the other breaks. In each case:
//! everything acknowledged is stored, counted once. How long it took to recover is printed.

mod broker;
mod cluster;
mod parts;
mod services;
mod spool;
