//! Any order of publishing, receiving, acknowledging, restarting, failing and losing power, against
//! the simplest queue there is: two lists.

use super::*;
use crate::Position;
use proptest::prelude::*;
use rand::SeedableRng;
use rand_chacha::ChaCha8Rng;
use std::collections::VecDeque;

#[derive(Clone, Debug)]
enum Action {
    Publish {
        records: usize,
        bytes: usize,
    },
    Receive {
        records_max: usize,
    },
    /// Acknowledges this many of the batches received.
    Ack {
        batches: usize,
    },
    Restart,
    FailSync,
    FailWrite,
    /// Power goes at one of the next syncs, while records are being published.
    CutPower {
        syncs: usize,
        records: usize,
        bytes: usize,
    },
}

fn action() -> impl Strategy<Value = Action> {
    prop_oneof![
        6 => (1..8_usize, 0..4096_usize).prop_map(|(records, bytes)| Action::Publish { records, bytes }),
        4 => (1..20_usize).prop_map(|records_max| Action::Receive { records_max }),
        3 => (1..4_usize).prop_map(|batches| Action::Ack { batches }),
        1 => Just(Action::Restart),
        1 => Just(Action::FailSync),
        1 => Just(Action::FailWrite),
        1 => (0..4_usize, 1..8_usize, 0..4096_usize)
            .prop_map(|(syncs, records, bytes)| Action::CutPower { syncs, records, bytes }),
    ]
}

/// A record that was given to the log.
#[derive(Clone, Debug)]
struct Given {
    payload: Bytes,
    /// Told to be stored. The others may or may not come.
    stored: bool,
}

struct World {
    dir: tempfile::TempDir,
    disk: Arc<FaultyDisk>,
    log: Option<(Publisher, Consumer)>,
    rng: ChaCha8Rng,
    number: usize,
    /// Not consumed, as far as the log is bound to remember, in order.
    given: VecDeque<Given>,
    /// Consumed, but a power cut may bring them again.
    maybe_again: VecDeque<Given>,
    /// How many of `given` were received in this life, and the batches not acknowledged.
    received: usize,
    batches: VecDeque<(Position, usize)>,
    last_position: u64,
}

impl World {
    fn new(seed: u64) -> Self {
        let mut world = Self {
            dir: tempfile::tempdir().unwrap(),
            disk: Arc::new(FaultyDisk::default()),
            log: None,
            rng: ChaCha8Rng::seed_from_u64(seed),
            number: 0,
            given: VecDeque::new(),
            maybe_again: VecDeque::new(),
            received: 0,
            batches: VecDeque::new(),
            last_position: 0,
        };
        world.start();
        world
    }

    /// Opens the log, which a failing disk would (rightly) refuse.
    fn start(&mut self) {
        self.disk.fail_next_syncs(0);
        self.disk.fail_next_writes(0);
        self.log = Some(open_faulty(small_config(self.dir.path()), &self.disk));
        self.received = 0;
        self.batches.clear();
    }

    fn log(&mut self) -> &mut (Publisher, Consumer) {
        self.log.as_mut().expect("the log is open")
    }

    async fn apply(&mut self, action: Action) {
        match action {
            Action::Publish { records, bytes } => self.publish(records, bytes).await,
            Action::Receive { records_max } => self.receive(records_max).await,
            Action::Ack { batches } => self.ack(batches).await,
            Action::Restart => {
                self.log = None;
                self.start();
            }
            Action::FailSync => self.disk.fail_next_syncs(1),
            Action::FailWrite => self.disk.fail_next_writes(1),
            Action::CutPower { syncs, records, bytes } => {
                self.disk.cut_power_after_syncs(syncs);
                self.publish(records, bytes).await;
                self.log = None;
                self.disk.restore_power(&mut self.rng);
                self.maybe_again.append(&mut self.given);
                std::mem::swap(&mut self.maybe_again, &mut self.given);
                self.start();
            }
        }
    }

    /// Publishes so many at once, so that they share commits.
    async fn publish(&mut self, records: usize, bytes: usize) {
        let payloads: Vec<Bytes> = (0..records).map(|more| payload(self.number + more, bytes)).collect();
        self.number += records;
        let publisher = self.log().0.clone();
        let mut published = tokio::task::JoinSet::new();
        for (order, payload) in payloads.iter().cloned().enumerate() {
            let publisher = publisher.clone();
            published.spawn(async move { (order, publisher.publish(&[&payload]).await.is_ok()) });
        }
        let mut stored = vec![false; records];
        while let Some(answer) = soon(published.join_next()).await {
            let (order, is_stored) = answer.unwrap();
            stored[order] = is_stored;
        }
        self.given
            .extend(payloads.into_iter().zip(stored).map(|(payload, stored)| Given { payload, stored }));
    }

    /// Receives if there must be something to receive.
    async fn receive(&mut self, records_max: usize) {
        if !self.given.iter().skip(self.received).any(|given| given.stored) {
            return;
        }
        let batch = receive(&mut self.log().1, records_max).await;
        for delivery in batch.deliveries() {
            assert!(delivery.position.as_u64() > 0);
            self.expect_next(&delivery.payload);
        }
        self.last_position = self.last_position.max(batch.through().as_u64());
        self.batches.push_back((batch.through(), self.received));
    }

    /// The next record must be this one, passing over only what was not told to be stored.
    fn expect_next(&mut self, payload: &Bytes) {
        while let Some(given) = self.given.get(self.received) {
            self.received += 1;
            if given.payload == payload {
                return;
            }
            assert!(!given.stored, "{:?} was lost, {payload:?} came", given.payload);
        }
        panic!("{payload:?} was not expected");
    }

    async fn ack(&mut self, batches: usize) {
        let Some(index) = batches.min(self.batches.len()).checked_sub(1) else { return };
        let (through, received) = self.batches[index];
        // It fails if faults were due, and is then tried again.
        let mut tries = 0;
        while let Err(error) = self.log().1.ack(through).await {
            tries += 1;
            assert!(tries <= 2, "{error}");
        }
        self.batches.drain(..=index);
        for batch in &mut self.batches {
            batch.1 -= received;
        }
        // Only a power cut can bring them again: then they are optional.
        let consumed = self.given.drain(..received).map(|given| Given { stored: false, ..given });
        self.maybe_again.extend(consumed);
        self.received -= received;
    }

    async fn finish(&mut self) {
        self.apply(Action::Restart).await;
        self.publish(1, 9).await;
        assert!(self.given.back().is_some_and(|given| given.stored));
        while self.received < self.given.len() {
            self.receive(1000).await;
        }
        self.ack(usize::MAX).await;
        assert!(segments(self.dir.path()).len() <= 1);
    }
}

proptest! {
    #![proptest_config(ProptestConfig { cases: 150, failure_persistence: None, ..ProptestConfig::default() })]

    #[test]
    fn nothing_stored_is_lost_and_nothing_consumed_comes_again(
        actions in prop::collection::vec(action(), 1..60),
        seed: u64,
    ) {
        let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build().unwrap();
        runtime.block_on(async {
            let mut world = World::new(seed);
            for action in actions {
                world.apply(action).await;
            }
            world.finish().await;
        });
    }
}
