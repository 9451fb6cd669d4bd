//! What is shipped to run Tillwatch in containers, read by the programs that will read it: Compose, kustomize and
//! Kubernetes' schemas, a linter of Dockerfiles, ClickHouse, RabbitMQ. No container is started.

#![expect(clippy::unwrap_used, clippy::panic, reason = "in a test they are the failure")]

mod compose;
mod containers;
mod kubernetes;
mod reading;
mod servers;
mod tillwatch;
