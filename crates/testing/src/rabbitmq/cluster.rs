//! Three nodes that are one broker.

use std::sync::Arc;
use std::thread;

use super::{Names, Node};

/// Gone when dropped.
#[derive(Debug)]
pub struct Cluster {
    /// The nodes, in no order.
    pub nodes: [Node; 3],
}

impl Cluster {
    /// Starts three nodes and joins them.
    pub fn start() -> Self {
        let names = Arc::new(Names::start());
        let starting = [(); 3].map(|()| {
            let names = Arc::clone(&names);
            thread::spawn(move || Node::start_named(names, ""))
        });
        let nodes = starting.map(|node| node.join().unwrap());
        let [first, others @ ..] = &nodes;
        for node in others {
            node.ctl(&["stop_app"]);
            node.ctl(&["join_cluster", &first.name()]);
            node.ctl(&["start_app"]);
        }
        Self { nodes }
    }

    /// The addresses of all nodes, for a `user:password`.
    pub fn url(&self, user: &str) -> String {
        self.nodes.each_ref().map(|node| node.url(user)).join(",")
    }

    /// Which node leads a quorum queue, as any node that lives knows it.
    pub fn leader(&self, queue: &str) -> usize {
        let told = self.any().ctl(&["list_queues", "name", "leader", "--no-table-headers"]);
        let leader = told.lines().find_map(|line| line.strip_prefix(queue)).unwrap_or_default().trim();
        let is_leader = |node: &Node| node.name() == leader;
        self.nodes.iter().position(is_leader).unwrap_or_else(|| panic!("who leads {queue}? {told}"))
    }

    /// A node that lives.
    pub fn any(&self) -> &Node {
        self.nodes.iter().find(|node| node.is_running()).unwrap()
    }
}
