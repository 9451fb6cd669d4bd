//! Which way a record takes now, and how the way changes.
//!
//! Every lane is direct at first. One whose record the broker did not confirm goes to the log, and every later record of
//! that lane with it. When the drain has little left it asks to [join](Routes::join): records of such lanes are held for a
//! moment, the rest of the log is drained, and all lanes are direct again. Without that moment a busy lane would never
//! leave the log, since there would always be one record more on it. If the broker goes away meanwhile, what was held
//! goes to the log.

use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use tokio::sync::watch;

/// Shared by who publishes and who drains.
#[derive(Debug)]
pub(super) struct Routes {
    state: Mutex<State>,
    /// Counts changes, for those that are held.
    changes: watch::Sender<u64>,
}

#[derive(Debug)]
struct State {
    /// By lane: whether its records go to the log.
    spooling: Vec<bool>,
    joining: bool,
    /// Records on their way to the log's disk.
    appending: usize,
}

/// What to do with a record.
#[derive(Debug)]
pub(super) enum Route {
    /// Publish it to the broker.
    Direct,
    /// Append it to the log, and drop this when that has ended.
    Spool(Appending),
    /// Ask again after the next change.
    Hold(watch::Receiver<u64>),
}

/// A record on its way to the log's disk.
#[derive(Debug)]
pub(super) struct Appending {
    routes: Arc<Routes>,
}

impl Routes {
    /// All lanes direct; or all to the log, since it holds something of an earlier run.
    pub(super) fn new(lanes: usize, is_log_empty: bool) -> Self {
        let state = State { spooling: vec![!is_log_empty; lanes], joining: false, appending: 0 };
        Self { state: Mutex::new(state), changes: watch::Sender::new(0) }
    }

    /// The way of a record of `lane`.
    pub(super) fn of(self: &Arc<Self>, lane: usize) -> Route {
        let mut state = self.lock();
        if !state.spooling.get(lane).copied().unwrap_or(false) {
            Route::Direct
        } else if state.joining {
            Route::Hold(self.changes.subscribe())
        } else {
            state.appending += 1;
            Route::Spool(Appending { routes: Arc::clone(self) })
        }
    }

    /// From now on records of `lane` go to the log. Whether that is new.
    pub(super) fn spool(&self, lane: usize) -> bool {
        let mut state = self.lock();
        let Some(spooling) = state.spooling.get_mut(lane) else { return false };
        let is_new = !std::mem::replace(spooling, true);
        self.go_on_spooling(state);
        is_new
    }

    /// Holds records that would go to the log, until [`direct`](Self::direct) or [`part`](Self::part).
    pub(super) fn join(&self) {
        self.lock().joining = true;
    }

    /// What is held goes to the log after all.
    pub(super) fn part(&self) {
        let state = self.lock();
        self.go_on_spooling(state);
    }

    /// All lanes are direct, unless a lane was found to be spooled since [`join`](Self::join). To be called when the log
    /// was seen to be empty after [`is_appending`](Self::is_appending) was false. Whether they are.
    pub(super) fn direct(&self) -> bool {
        let mut state = self.lock();
        if !state.joining || state.appending > 0 {
            return false;
        }
        state.joining = false;
        state.spooling.fill(false);
        drop(state);
        self.changes.send_modify(|changes| *changes += 1);
        true
    }

    /// Whether records of any lane go to the log.
    pub(super) fn is_spooling(&self) -> bool {
        self.lock().spooling.contains(&true)
    }

    /// Whether anything is on its way to the log. While records are held, that ends for good.
    pub(super) fn is_appending(&self) -> bool {
        self.lock().appending > 0
    }

    /// Whether records are held.
    pub(super) fn is_joining(&self) -> bool {
        self.lock().joining
    }

    fn go_on_spooling(&self, mut state: MutexGuard<'_, State>) {
        if std::mem::take(&mut state.joining) {
            drop(state);
            self.changes.send_modify(|changes| *changes += 1);
        }
    }

    fn lock(&self) -> MutexGuard<'_, State> {
        // Nothing panics while the lock is held, and the state is whole at any point.
        self.state.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

impl Drop for Appending {
    fn drop(&mut self) {
        self.routes.lock().appending -= 1;
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn is_direct(route: &Route) -> bool {
        matches!(route, Route::Direct)
    }

    #[test]
    fn a_lane_goes_to_the_log_alone_and_comes_back_when_all_is_drained() {
        let routes = Arc::new(Routes::new(2, true));
        assert!(is_direct(&routes.of(0)));
        assert!(routes.spool(0) && !routes.spool(0));
        assert!(is_direct(&routes.of(1)));
        let Route::Spool(appending) = routes.of(0) else { panic!("not to the log") };

        assert!(!routes.direct(), "nobody asked to join");
        routes.join();
        let Route::Hold(held) = routes.of(0) else { panic!("not held") };
        assert!(routes.is_appending() && !routes.direct(), "one is on its way to the log");
        drop(appending);
        assert!(!routes.is_appending() && !held.has_changed().unwrap());
        assert!(routes.direct());
        assert!(held.has_changed().unwrap());
        assert!(is_direct(&routes.of(0)) && !routes.is_spooling());
    }

    #[test]
    fn what_is_held_goes_to_the_log_when_the_broker_is_away_again() {
        let routes = Arc::new(Routes::new(2, false));
        routes.join();
        let Route::Hold(held) = routes.of(0) else { panic!("not held") };
        routes.spool(1);
        assert!(held.has_changed().unwrap());
        assert!(matches!(routes.of(0), Route::Spool(_)));
        assert!(!routes.direct());

        routes.join();
        let Route::Hold(held) = routes.of(0) else { panic!("not held") };
        routes.part();
        assert!(held.has_changed().unwrap() && !routes.is_joining());
    }
}
