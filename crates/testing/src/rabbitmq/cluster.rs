//! Three nodes that are one broker.

use std::sync::Arc;

use super::{Names, Node};

/// Three nodes on this machine; gone when dropped.
#[derive(Debug)]
pub struct Cluster {
    nodes: [Node; 3],
}

impl Cluster {
    /// Starts three and joins them.
    pub fn start() -> Self {
        let names = Arc::new(Names::start());
        let nodes = [(); 3].map(|()| Node::launch(&names));
        nodes.iter().for_each(Node::until_up);
        let [first, others @ ..] = &nodes;
        for node in others {
            node.ctl(&["stop_app"]);
            node.ctl(&["join_cluster", &first.name()]);
            node.ctl(&["start_app"]);
        }
        Self { nodes }
    }

    /// All of them, also those that were killed.
    pub fn nodes(&self) -> &[Node; 3] {
        &self.nodes
    }

    /// Their addresses, for a `user:password`.
    pub fn urls(&self, user: &str) -> String {
        self.nodes.each_ref().map(|node| node.url(user)).join(",")
    }

    /// Which node leads a queue, as one that runs knows it.
    pub fn leader(&self, queue: &str) -> usize {
        let leader = self.of_queue(queue, "leader");
        let is_it = |node: &Node| node.name() == leader.trim();
        self.nodes.iter().position(is_it).unwrap_or_else(|| panic!("{leader:?} leads {queue}"))
    }

    /// Which nodes have a copy of a queue.
    pub fn members(&self, queue: &str) -> Vec<usize> {
        self.named_in(&self.of_queue(queue, "members"))
    }

    /// Those of them that are there.
    pub fn online(&self, queue: &str) -> Vec<usize> {
        self.named_in(&self.of_queue(queue, "online"))
    }

    fn named_in(&self, names: &str) -> Vec<usize> {
        (0..self.nodes.len()).filter(|index| names.contains(&self.nodes[*index].name())).collect()
    }

    /// Runs `rabbitmqctl` against a node that runs.
    pub fn ctl(&self, arguments: &[&str]) -> String {
        self.nodes.iter().find(|node| node.is_running()).unwrap().ctl(arguments)
    }

    fn of_queue(&self, queue: &str, what: &str) -> String {
        let queues = self.ctl(&["list_queues", "--no-table-headers", "name", what]);
        let prefix = format!("{queue}\t");
        let line = queues.lines().find_map(|line| line.strip_prefix(&prefix));
        line.unwrap_or_else(|| panic!("no queue {queue}: {queues}")).to_owned()
    }
}
