//! Against a real RabbitMQ: each test has a node of its own.
#![expect(
    clippy::unwrap_used,
    clippy::panic,
    clippy::print_stderr,
    reason = "a helper of a test fails the test, like the test itself, and says what the broker said"
)]

#[path = "rabbitmq/node.rs"]
mod node;
#[path = "rabbitmq/topology.rs"]
mod topology;
