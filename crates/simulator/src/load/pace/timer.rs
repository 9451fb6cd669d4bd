//! Sleeping to the microsecond, without a thread.
//!
//! The async runtime's own timer rounds up to a millisecond, more than a good server takes to answer. A Linux
//! `timerfd` wakes the runtime's own thread when it is time; elsewhere the runtime's timer has to do, and latencies in
//! the open loop read up to a millisecond too high.

#[cfg(target_os = "linux")]
pub(super) use self::linux::Timer;
#[cfg(not(target_os = "linux"))]
pub(super) use self::portable::Timer;

#[cfg(target_os = "linux")]
mod linux {
    use std::io;
    use std::os::fd::OwnedFd;
    use std::time::Instant;

    use rustix::time::{
        Itimerspec, TimerfdClockId, TimerfdFlags, TimerfdTimerFlags, Timespec, timerfd_create,
        timerfd_settime,
    };
    use tokio::io::unix::AsyncFd;

    #[derive(Debug)]
    pub(in crate::load::pace) struct Timer(AsyncFd<OwnedFd>);

    impl Timer {
        pub(in crate::load::pace) fn new() -> io::Result<Self> {
            let flags = TimerfdFlags::NONBLOCK | TimerfdFlags::CLOEXEC;
            let timer = timerfd_create(TimerfdClockId::Monotonic, flags)?;
            #[expect(
                deprecated,
                reason = "its replacement is `unsafe` because a type may change its descriptor; an `OwnedFd` cannot"
            )]
            let timer = AsyncFd::new(timer)?;
            Ok(Self(timer))
        }

        /// Sleeps until `at`. If that is past, others get their turn first.
        pub(in crate::load::pace) async fn sleep_until(&self, at: Instant) -> io::Result<()> {
            let left = at.saturating_duration_since(Instant::now());
            // A timer set to zero is a timer that never fires.
            if left.is_zero() {
                tokio::task::yield_now().await;
                return Ok(());
            }
            let once = Itimerspec {
                it_interval: Timespec { tv_sec: 0, tv_nsec: 0 },
                it_value: Timespec::try_from(left).map_err(io::Error::other)?,
            };
            timerfd_settime(&self.0, TimerfdTimerFlags::empty(), &once)?;
            loop {
                let mut ready = self.0.readable().await?;
                let read = ready.try_io(|timer| Ok(rustix::io::read(timer.get_ref(), &mut [0; 8])?));
                if let Ok(read) = read {
                    return read.map(|_| ());
                }
            }
        }
    }
}

#[cfg(not(target_os = "linux"))]
mod portable {
    use std::io;
    use std::time::Instant;

    #[derive(Debug)]
    pub(in crate::load::pace) struct Timer;

    impl Timer {
        pub(in crate::load::pace) fn new() -> io::Result<Self> {
            Ok(Self)
        }

        /// Sleeps until `at`, or up to a millisecond longer.
        pub(in crate::load::pace) async fn sleep_until(&self, at: Instant) -> io::Result<()> {
            tokio::time::sleep_until(at.into()).await;
            Ok(())
        }
    }
}
