//! A line on the terminal that says how far a scan is.

use std::io::{self, IsTerminal as _, Write as _};
use std::sync::atomic::{AtomicBool, Ordering};
use std::thread;
use std::time::{Duration, Instant};

use super::arguments::When;
use crate::scan::Progress;

/// How often the line is written anew.
const TICK: Duration = Duration::from_millis(200);

/// Runs `work` and shows meanwhile, on standard error, how far `progress` is.
pub(super) fn shown<T>(verb: &str, progress: &Progress, when: When, work: impl FnOnce() -> T) -> T {
    let wanted = match when {
        When::Always => true,
        When::Auto => io::stderr().is_terminal(),
        When::Never => false,
    };
    if !wanted {
        return work();
    }
    let done = AtomicBool::new(false);
    let began = Instant::now();
    thread::scope(|scope| {
        let ticker = scope.spawn(|| {
            while !done.load(Ordering::Relaxed) {
                thread::park_timeout(TICK);
                write!(io::stderr(), "\r{}\x1b[K", line(verb, progress, began.elapsed())).ok();
            }
            write!(io::stderr(), "\r\x1b[K").ok();
        });
        let result = work();
        done.store(true, Ordering::Relaxed);
        ticker.thread().unpark();
        result
    })
}

fn line(verb: &str, progress: &Progress, elapsed: Duration) -> String {
    let entries = progress.entries.load(Ordering::Relaxed);
    let bytes = progress.bytes.load(Ordering::Relaxed);
    let expected = progress.expected.load(Ordering::Relaxed);
    let seconds = elapsed.as_secs_f64().max(0.001);
    #[expect(clippy::cast_precision_loss, reason = "a rate is shown with three digits")]
    let (rate, megabytes) = (bytes as f64 / seconds / 1e6, bytes as f64 / 1e6);
    let left = if expected > entries && entries > 0 {
        let left = elapsed.as_secs() * (expected - entries) / entries;
        format!(", about {}:{:02} left", left / 60, left % 60)
    } else {
        String::new()
    };
    format!("{verb} {entries} files, {megabytes:.0} MB, {rate:.0} MB/s{left}")
}
