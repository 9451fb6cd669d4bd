use super::*;
use std::sync::Arc;
use std::thread;
use tokio::sync::oneshot::error::TryRecvError;

const A_LONG_TIME: Duration = Duration::from_secs(3_600);

fn admit(room: &WaitingRoom, records: usize) {
    for _ in 0..records {
        drop(room.admit(&[b"a record"], &LogConfig::new("unused")).unwrap());
    }
}

fn taken(room: &WaitingRoom, gather: &Gather) -> Option<usize> {
    room.take(&mut Vec::new(), gather).then(|| {
        let records = room.lock().committing.places.len();
        room.answer(Share { records, ..ONE }, &STORED, 0);
        records
    })
}

#[test]
fn a_busy_log_gathers_as_many_as_the_last_commit_had() {
    let room = Arc::new(WaitingRoom::new(0));
    let taking = {
        let room = Arc::clone(&room);
        let gather = Gather { records: 3, until: Instant::now() + A_LONG_TIME };
        thread::spawn(move || taken(&room, &gather))
    };
    admit(&room, 2);
    // Whenever the other thread looks, it finds two and goes on waiting, or all three.
    admit(&room, 1);
    assert_eq!(taking.join().unwrap(), Some(3));
}

#[test]
fn gathering_ends_by_time_with_what_there_is() {
    let room = WaitingRoom::new(0);
    admit(&room, 2);
    assert_eq!(taken(&room, &Gather::after(100, Instant::now())), Some(2));
}

#[test]
fn who_publishes_alone_waits_for_nobody() {
    let room = WaitingRoom::new(0);
    for _ in 0..3 {
        admit(&room, 1);
        assert_eq!(
            taken(&room, &Gather { until: Instant::now() + A_LONG_TIME, ..Gather::after(1, Instant::now()) }),
            Some(1)
        );
    }
}

#[test]
fn closing_ends_the_gathering_and_leaves_nobody_behind() {
    let room = WaitingRoom::new(0);
    admit(&room, 2);
    room.close();
    let gather = Gather { records: 100, until: Instant::now() + A_LONG_TIME };
    assert_eq!(taken(&room, &gather), Some(2));
    assert_eq!(taken(&room, &gather), None);
}

/// A room with so many records being committed, and where their publishers wait.
fn committing(records: usize) -> (WaitingRoom, Vec<Answered>) {
    let room = WaitingRoom::new(0);
    let answered = (0..records).map(|_| admit_one(&room)).collect();
    assert!(room.take(&mut Vec::new(), &Gather::nothing()));
    (room, answered)
}

type Answered = oneshot::Receiver<Result<(), PublishError>>;

fn admit_one(room: &WaitingRoom) -> Answered {
    room.admit(&[b"a record"], &LogConfig::new("unused")).unwrap()
}

fn in_flight(room: &WaitingRoom) -> (usize, usize) {
    let state = room.lock();
    (state.in_flight_records, state.in_flight_bytes)
}

const ONE: Share = Share { records: 1, bytes: 32, payload_bytes: 8 };

const STORED: Result<Commit, PublishError> = Ok(Commit { records: 1, bytes: 32, duration: Duration::ZERO });

/// Who waits no longer keeps a place, so that nobody is told another record's fate.
#[test]
fn each_is_told_the_fate_of_its_own_record_also_after_some_gave_up() {
    let (room, mut being_committed) = committing(1);
    let mut waiting = admit_one(&room);
    room.expire(Duration::ZERO);
    for unanswered in [&mut being_committed[0], &mut waiting] {
        assert!(matches!(unanswered.try_recv(), Ok(Err(PublishError::TimedOut { .. }))));
    }

    let mut last = admit_one(&room);
    room.answer(ONE, &STORED, 1);
    assert!(room.take(&mut Vec::new(), &Gather::nothing()));
    room.answer(ONE, &STORED, 2);
    assert_eq!(last.try_recv().unwrap_err(), TryRecvError::Empty, "the record before it is stored");
    room.answer(ONE, &Err(PublishError::Closed), 2);
    assert!(matches!(last.try_recv(), Ok(Err(PublishError::Closed))));
    assert_eq!(in_flight(&room), (0, 0));
}

#[test]
fn only_those_who_have_waited_long_enough_are_told_that_the_disk_does_not_answer() {
    let (room, mut answered) = committing(3);
    room.answer(ONE, &STORED, 1);
    room.lock().committing.places[0].since -= Duration::from_secs(10);
    room.expire(Duration::from_secs(5));
    assert!(matches!(answered[0].try_recv(), Ok(Ok(()))));
    assert!(matches!(answered[1].try_recv(), Ok(Err(PublishError::TimedOut { .. }))));
    assert_eq!(answered[2].try_recv().unwrap_err(), TryRecvError::Empty);
}

#[test]
fn bytes_are_in_flight_as_long_as_their_buffer_is() {
    let (room, _answered) = committing(2);
    room.answer(ONE, &STORED, 1);
    assert_eq!(in_flight(&room), (1, 16));
    room.answer(ONE, &STORED, 2);
    assert_eq!(in_flight(&room), (0, 0));
}

/// A disk that has hung leaves more than one commit's worth: who waits for the first of it, and its bytes, need not
/// wait for the last.
#[test]
fn a_backlog_is_taken_one_commit_at_a_time() {
    let room = WaitingRoom::new(0);
    let config = LogConfig { in_flight_bytes_max: usize::MAX, ..LogConfig::new("unused") };
    let payload = vec![7; COMMIT_BYTES_MAX / 2];
    let mut answered: Vec<_> = (0..3).map(|_| room.admit(&[&payload], &config).unwrap()).collect();
    answered.push(room.admit(&[b"a record"], &config).unwrap());
    let gather = Gather { records: 100, until: Instant::now() + A_LONG_TIME };
    let mut left = Vec::new();
    for _ in 0..2 {
        assert_eq!(taken(&room, &gather), Some(1), "a full buffer is waited for no longer");
        left.push(in_flight(&room));
    }
    room.close();
    assert_eq!(taken(&room, &gather), Some(2));
    assert_eq!(left, [(3, 2 * payload.len() + 8), (2, payload.len() + 8)]);
    assert!(answered.iter_mut().all(|answered| matches!(answered.try_recv(), Ok(Ok(())))));
}

#[test]
fn who_waits_behind_a_full_buffer_is_told_in_time_too() {
    let room = WaitingRoom::new(0);
    let payload = vec![7; COMMIT_BYTES_MAX];
    let config = LogConfig { in_flight_bytes_max: usize::MAX, ..LogConfig::new("unused") };
    let mut answered: Vec<_> = (0..3).map(|_| room.admit(&[&payload], &config).unwrap()).collect();
    room.expire(Duration::ZERO);
    let told =
        |answered: &mut Answered| matches!(answered.try_recv(), Ok(Err(PublishError::TimedOut { .. })));
    assert!(answered.iter_mut().all(told));
}
