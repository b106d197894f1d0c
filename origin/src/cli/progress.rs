//! How far long work has come, on standard error.

use std::io::{IsTerminal, Write};
use std::time::{Duration, Instant};

/// How often it is told.
const TELL_EVERY: Duration = Duration::from_secs(2);

/// One piece of long work. Short work tells nothing.
pub struct Progress {
    what: String,
    told_at: Instant,
    is_shown: bool,
}

impl Progress {
    /// Work that begins now.
    pub fn new(what: String) -> Progress {
        Progress { what, told_at: Instant::now(), is_shown: false }
    }

    /// So many are done.
    pub fn at(&mut self, done: u64) {
        if self.told_at.elapsed() < TELL_EVERY {
            return;
        }
        self.told_at = Instant::now();
        let mut out = std::io::stderr().lock();
        // On a screen the line is written over; in a file each is its own.
        let end = if out.is_terminal() { '\r' } else { '\n' };
        self.is_shown = out.is_terminal();
        let _ = write!(out, "{}: {done}{end}", self.what);
        let _ = out.flush();
    }
}

impl Drop for Progress {
    fn drop(&mut self) {
        if self.is_shown {
            eprintln!();
        }
    }
}
