//! The clock that labs live on.
//!
//! OpenSSL asks the system for the time of day. In a process of its own a test can put another
//! `gettimeofday` in front of the system's ([`alone`], `preload.c`): then time passes only when nobody
//! has anything to do, minutes of loss cost no minutes, and a slow machine changes nothing.

use std::cell::Cell;
use std::fs::{File, OpenOptions};
use std::os::unix::fs::FileExt;
use std::path::Path;
use std::process::Command;
use std::time::{Duration, Instant, SystemTime, UNIX_EPOCH};

/// The file that `preload.c` describes.
const FILE: &str = "XDTLS_TEST_CLOCK";

/// The real clock, or one that a test moves.
pub(super) struct Clock {
    begun: Instant,
    moved: Option<Moved>,
}

struct Moved {
    by: Cell<Duration>,
    /// The time of day when the test began, in microseconds.
    day: Cell<i64>,
    file: File,
}

impl Clock {
    /// The real one.
    pub(super) fn real() -> Self {
        Self { begun: Instant::now(), moved: None }
    }

    /// The one of a process that [`alone`] has started; begins with the present.
    fn moved() -> Option<Self> {
        let file = OpenOptions::new().read(true).write(true).open(std::env::var_os(FILE)?).unwrap();
        #[expect(clippy::disallowed_methods, reason = "it is what OpenSSL goes by")]
        let day = SystemTime::now().duration_since(UNIX_EPOCH).unwrap().as_micros() as i64;
        let moved = Moved { by: Cell::new(Duration::ZERO), day: Cell::new(day), file };
        moved.write();
        Some(Self { begun: Instant::now(), moved: Some(moved) })
    }

    pub(super) fn now(&self) -> Instant {
        self.moved.as_ref().map_or_else(Instant::now, |moved| self.begun + moved.by.get())
    }

    /// Lets so much time pass, and the millisecond that timers may be late.
    pub(super) fn pass(&self, time: Duration) {
        let time = time + Duration::from_millis(1);
        match &self.moved {
            None => std::thread::sleep(time),
            Some(moved) => {
                moved.by.set(moved.by.get() + time);
                moved.write();
            }
        }
    }

    /// What malloc had given out when OpenSSL last asked for the time, in bytes.
    pub(super) fn heap_bytes(&self) -> i64 {
        let moved = self.moved.as_ref().expect("a process of its own");
        let mut bytes = [0; 8];
        moved.file.read_exact_at(&mut bytes, 8).unwrap();
        i64::from_ne_bytes(bytes)
    }

    /// Sets the time of day another way; the monotonic clock does not notice.
    pub(super) fn jump(&self, seconds: i64) {
        let moved = self.moved.as_ref().expect("a clock that can be moved");
        moved.day.set(moved.day.get() + seconds * 1_000_000);
        moved.write();
    }
}

impl Moved {
    fn write(&self) {
        let us = self.day.get() + self.by.get().as_micros() as i64;
        self.file.write_all_at(&us.to_ne_bytes(), 0).unwrap();
    }
}

/// Runs a test in a process of its own, where it gets a clock that it can move; `name` is the test's.
pub(super) fn alone(name: &str, test: impl FnOnce(Clock)) {
    if let Some(clock) = Clock::moved() {
        return test(clock);
    }
    let folder = tempfile::tempdir().unwrap();
    let (library, file) = (folder.path().join("preload.so"), folder.path().join("clock"));
    let source = "tests/handshake_engine/faults/preload.c";
    let source = Path::new(env!("CARGO_MANIFEST_DIR")).join(source);
    let mut compiler = Command::new("cc");
    compiler.args(["-O1", "-Wall", "-shared", "-fPIC", "-o"]).arg(&library).arg(source);
    let compiled = compiler.output().unwrap();
    assert!(compiled.status.success(), "{}", String::from_utf8_lossy(&compiled.stderr));
    std::fs::write(&file, [0; 16]).unwrap();
    let mut command = Command::new(std::env::current_exe().unwrap());
    command.args(["--exact", name, "--nocapture"]).env("LD_PRELOAD", library).env(FILE, file);
    let output = command.output().unwrap();
    let told = String::from_utf8_lossy(&output.stdout);
    assert!(output.status.success(), "{told}{}", String::from_utf8_lossy(&output.stderr));
    assert!(told.contains("1 passed"), "there is no test {name}: {told}");
}
