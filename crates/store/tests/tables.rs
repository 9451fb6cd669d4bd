//! The tables, on the real engine: migrations, what is counted once, what comes back as it was written, what is read.
//! Each test has a database of its own, named after it.

#![expect(clippy::unwrap_used, clippy::panic, reason = "a test fails by panicking, also in its helpers")]
#![expect(clippy::disallowed_methods, reason = "what a test spawns ends with it")]

#[path = "tables/harness.rs"]
mod harness;

#[path = "tables/completeness.rs"]
mod completeness;
#[path = "tables/counted_once.rs"]
mod counted_once;
#[path = "tables/documented.rs"]
mod documented;
#[path = "tables/migrations.rs"]
mod migrations;
#[path = "tables/moved.rs"]
mod moved;
#[path = "tables/pruning.rs"]
mod pruning;
#[path = "tables/reached.rs"]
mod reached;
#[path = "tables/refused.rs"]
mod refused;
#[path = "tables/values.rs"]
mod values;

/// One server: nothing stands in for others.
mod stand_in {
    use store::Store;

    pub(crate) const CLUSTER: Option<&str> = None;

    pub(crate) struct StandIn {
        pub(crate) address: String,
    }

    impl StandIn {
        pub(crate) fn before(address: &str) -> Self {
            Self { address: address.to_owned() }
        }
    }

    pub(crate) fn on_cluster(store: Store) -> Store {
        store
    }
}
