//! Waiting for a state, with a deadline generous enough for a busy two-core machine. The one file that reads the clock.

use std::fmt::Debug;
use std::process::Command;
use std::thread;
use std::time::{Duration, Instant};

/// How long a state may take to come about. Reaching it is a failure, so it costs nothing when all is well.
const PATIENCE: Duration = Duration::from_secs(120);
const POLL: Duration = Duration::from_millis(25);

/// A moment in the future.
#[derive(Clone, Copy)]
pub struct Deadline(Instant);

/// How long it has been since; for figures that are printed, never for what a test decides.
#[expect(clippy::disallowed_methods, reason = "the one place of the harness that reads the clock")]
pub fn stopwatch() -> impl Fn() -> Duration {
    let began = Instant::now();
    move || began.elapsed()
}

impl Deadline {
    #[expect(clippy::disallowed_methods, reason = "the one place of the harness that reads the clock")]
    pub fn within(time: Duration) -> Deadline {
        Deadline(Instant::now() + time)
    }

    #[expect(clippy::disallowed_methods, reason = "the one place of the harness that reads the clock")]
    pub fn has_passed(self) -> bool {
        Instant::now() >= self.0
    }
}

/// Asks until the answer is `Ok`; at the deadline it fails with what was hoped for and what was last seen instead.
#[track_caller]
pub fn eventually<T, E: Debug>(hope: &str, mut ask: impl FnMut() -> Result<T, E>) -> T {
    let deadline = Deadline::within(PATIENCE);
    loop {
        match ask() {
            Ok(state) => return state,
            Err(last) if deadline.has_passed() => {
                panic!("waited {PATIENCE:?} for: {hope}\nlast seen: {last:?}")
            }
            Err(_) => thread::sleep(POLL),
        }
    }
}

/// Sets the clock of one process. The dynamic linker finds it for the machine's own architecture.
const FAKE_TIME: &str = "/usr/$LIB/faketime/libfaketimeMT.so.1";

/// Has a process see a wall clock that is so far ahead; what it measures stays as it is.
pub fn seconds_ahead(command: &mut Command, seconds: i64) {
    if seconds != 0 {
        command
            .env("LD_PRELOAD", FAKE_TIME)
            .env("FAKETIME", format!("{seconds:+}s"))
            .env("FAKETIME_DONT_FAKE_MONOTONIC", "1");
    }
}

/// Lets the others work. Only for pacing a load or choosing a moment to strike, never to wait for an effect.
pub fn pause(millis: u64) {
    thread::sleep(Duration::from_millis(millis));
}
