//! RabbitMQ between ingest and processor. So far what lies in it and how it is written: the queues ([`topology`]) and the
//! format of several records in one message ([`frame`]).

pub mod frame;
pub mod topology;
