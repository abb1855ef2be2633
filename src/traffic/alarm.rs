//! Waits for a moment more closely than tokio's timers, which count in milliseconds: a request would be up to 2 ms late.

use std::io;

use crate::clock::{Clock, Mono};

/// A timer of the kernel's among the runtime's sockets.
#[cfg(target_os = "linux")]
pub struct Alarm(tokio::io::unix::AsyncFd<linux::Timer>);

#[cfg(target_os = "linux")]
mod linux {
    use std::os::fd::{AsFd, AsRawFd, RawFd};

    use nix::sys::timerfd::TimerFd;

    /// What the runtime takes.
    pub struct Timer(pub TimerFd);

    impl AsRawFd for Timer {
        fn as_raw_fd(&self) -> RawFd {
            self.0.as_fd().as_raw_fd()
        }
    }
}

#[cfg(target_os = "linux")]
impl Alarm {
    /// On the current runtime.
    ///
    /// # Errors
    /// The kernel has no more of them.
    pub fn new() -> io::Result<Self> {
        use nix::sys::timerfd::{ClockId, TimerFd, TimerFlags};
        let flags = TimerFlags::TFD_NONBLOCK | TimerFlags::TFD_CLOEXEC;
        let timer = TimerFd::new(ClockId::CLOCK_MONOTONIC, flags)?;
        // Sound: the timer keeps its descriptor for as long as it lives, and nothing but `Alarm` has the timer.
        #[allow(
            deprecated,
            reason = "its successor is unsafe, for descriptors that may change"
        )]
        tokio::io::unix::AsyncFd::with_interest(linux::Timer(timer), tokio::io::Interest::READABLE)
            .map(Self)
    }

    /// Waits until then; at once if that has passed, but others have their turn first.
    pub async fn until(&self, clock: Clock, moment: Mono) -> io::Result<()> {
        use nix::sys::time::TimeSpec;
        use nix::sys::timerfd::{Expiration, TimerSetTimeFlags};
        loop {
            let rest = moment.since(clock.now());
            if rest.is_zero() {
                tokio::task::yield_now().await;
                return Ok(());
            }
            // Set anew, it forgets that it has expired before.
            let timer = &self.0.get_ref().0;
            let once = Expiration::OneShot(TimeSpec::from_duration(rest));
            timer.set(once, TimerSetTimeFlags::empty())?;
            self.0.readable().await?.clear_ready();
        }
    }
}

/// Where there is no such timer, milliseconds have to do.
#[cfg(not(target_os = "linux"))]
pub struct Alarm;

#[cfg(not(target_os = "linux"))]
impl Alarm {
    /// Never fails.
    pub fn new() -> io::Result<Self> {
        Ok(Self)
    }

    /// Waits until then, or a little longer.
    pub async fn until(&self, clock: Clock, moment: Mono) -> io::Result<()> {
        let rest = moment.since(clock.now());
        if rest.is_zero() {
            tokio::task::yield_now().await;
        } else {
            tokio::time::sleep(rest).await;
        }
        Ok(())
    }
}
