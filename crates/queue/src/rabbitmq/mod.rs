//! What travels through RabbitMQ. So far its format: several records in one message, a [`frame`].

pub mod frame;
