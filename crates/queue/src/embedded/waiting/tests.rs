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
    let taken = room.take(&mut Vec::new(), gather);
    taken.then(|| room.lock().committing.places.len())
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

/// Who waits no longer keeps a place, so that nobody is told another record's fate.
#[test]
fn each_is_told_the_fate_of_its_own_record_also_after_some_gave_up() {
    let room = WaitingRoom::new(0);
    let admit = || room.admit(&[b"a record"], &LogConfig::new("unused")).unwrap();
    let nothing = Gather::nothing();
    let mut being_committed = admit();
    assert!(room.take(&mut Vec::new(), &nothing));
    let mut waiting = admit();
    room.expire(Duration::ZERO);
    for unanswered in [&mut being_committed, &mut waiting] {
        assert!(matches!(unanswered.try_recv(), Ok(Err(PublishError::TimedOut { .. }))));
    }

    let mut last = admit();
    let one = Share { records: 1, bytes: 32, payload_bytes: 8 };
    let stored = Ok(Commit { records: 1, bytes: 32, duration: Duration::ZERO });
    room.answer(&one, &stored, 1);
    assert!(room.take(&mut Vec::new(), &nothing));
    room.answer(&one, &stored, 2);
    assert_eq!(last.try_recv().unwrap_err(), TryRecvError::Empty, "the record before it is stored");
    room.answer(&one, &Err(PublishError::Closed), 2);
    assert!(matches!(last.try_recv(), Ok(Err(PublishError::Closed))));
    let state = room.lock();
    assert_eq!((state.in_flight_records, state.in_flight_bytes), (0, 0));
}
