use std::cell::Cell;
use std::io::{self, IsTerminal, Read, Write};

/// What is being done, on one line of a terminal that somebody looks at.
#[derive(Debug)]
pub(crate) struct Progress {
    watched: bool,
    shown: Cell<u64>,
}

/// Widths of the bar.
const BAR: u64 = 30;

impl Progress {
    pub(crate) fn new() -> Self {
        Self { watched: io::stderr().is_terminal(), shown: Cell::new(0) }
    }

    pub(crate) fn say(&self, what: &str) {
        self.write(&format!("\r\x1b[K{what}"));
    }

    /// How much of it is done.
    pub(crate) fn bar(&self, what: &str, done: u64, all: u64) {
        let steps = (done.min(all) * BAR).checked_div(all).unwrap_or(0);
        if self.watched && self.shown.replace(steps + 1) != steps + 1 {
            let (full, rest) = (steps as usize, (BAR - steps) as usize);
            self.say(&format!("{what} [{}{}]", "#".repeat(full), " ".repeat(rest)));
        }
    }

    /// Leaves the line as it was.
    pub(crate) fn clear(&self) {
        self.write("\r\x1b[K");
    }

    fn write(&self, text: &str) {
        if self.watched {
            let mut err = io::stderr().lock();
            // Progress that cannot be shown is no failure.
            drop(err.write_all(text.as_bytes()).and_then(|()| err.flush()));
        }
    }
}

/// A reader whose progress is shown.
#[derive(Debug)]
pub(crate) struct Counted<'a, R> {
    input: R,
    done: u64,
    all: u64,
    progress: &'a Progress,
}

impl<'a, R: Read> Counted<'a, R> {
    pub(crate) fn new(input: R, all: u64, progress: &'a Progress) -> Self {
        Self { input, done: 0, all, progress }
    }
}

impl<R: Read> Read for Counted<'_, R> {
    fn read(&mut self, buffer: &mut [u8]) -> io::Result<usize> {
        let count = self.input.read(buffer)?;
        self.done += count as u64;
        self.progress.bar("reading", self.done, self.all);
        Ok(count)
    }
}
