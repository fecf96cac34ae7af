//! Where a process can die, and what it leaves behind.

use std::fs::{File, OpenOptions};
use std::io::Write as _;
use std::path::Path;
use std::sync::Mutex;
use std::sync::atomic::{AtomicU32, Ordering};

use rustix::process::{Signal, getpid, kill_process};

/// A moment between two things that a node or its application does.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Step {
    /// The application is about to send.
    Ask,
    /// Its message was accepted.
    Accepted,
    /// A batch is about to be written.
    Write,
    /// It is durable, and the node does not know.
    Written,
    /// The node knows.
    Committed,
    /// A frame with a message or an acknowledgement of one is about to leave.
    Leave,
    /// It left.
    Left,
    /// Such a frame came, and the node does not know.
    Came,
    /// The node knows.
    Heard,
    /// The application has a message and has done nothing about it.
    Took,
    /// It has written it down.
    Noted,
    /// It has answered.
    Answered,
    /// The application knows how a message ended, and has done nothing about it.
    Told,
}

/// Kills the process without a word at one step.
pub(crate) struct Fuse {
    /// Which step, and how many of its kind come before it.
    dies: Option<(String, u32)>,
    passed: AtomicU32,
    steps: Page,
}

impl Fuse {
    /// Dies at the step that `dies` names, of its kind the one that as many come before; writes
    /// every step into a file of `home`.
    pub(crate) fn new(home: &Path, dies: Option<(String, u32)>) -> Self {
        Self { dies, passed: AtomicU32::new(0), steps: Page::open(&home.join("steps")) }
    }

    pub(crate) fn at(&self, step: Step) {
        let name = format!("{step:?}");
        self.steps.line(&name);
        let Some((kind, before)) = &self.dies else {
            return;
        };
        if *kind == name && self.passed.fetch_add(1, Ordering::Relaxed) == *before {
            kill_process(getpid(), Signal::KILL).unwrap();
            // Nothing is done any more, however long the signal takes.
            loop {
                std::thread::park();
            }
        }
    }
}

/// A file of lines. A line that was written outlives the process.
pub(crate) struct Page(Mutex<File>);

impl Page {
    pub(crate) fn open(path: &Path) -> Self {
        Self(Mutex::new(OpenOptions::new().create(true).append(true).open(path).unwrap()))
    }

    pub(crate) fn line(&self, line: &str) {
        self.0.lock().unwrap().write_all(format!("{line}\n").as_bytes()).unwrap();
    }
}
