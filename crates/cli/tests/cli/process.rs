//! Processes of the command, each with a home of its own.
#![expect(clippy::unwrap_used, reason = "what fails here fails the test that calls it")]

use std::ffi::OsString;
use std::fs;
use std::io::{BufRead, BufReader, Read, Write};
use std::net::{Ipv4Addr, TcpListener, UdpSocket};
use std::path::{Path, PathBuf};
use std::process::{Child, Command, Output, Stdio};
use std::sync::mpsc::{self, Receiver};
use std::thread;
use std::time::{Duration, Instant};

use rustix::process::{Pid, Signal, kill_process};
use serde_json::Value;

/// Longest wait for what is bound to happen on a busy machine.
pub(crate) const SOON: Duration = Duration::from_secs(30);
/// Time between two looks at something that tells nobody when it changes.
pub(crate) const LOOK: Duration = Duration::from_millis(20);

/// The program under test: what cargo built beside the tests, or what `BITCRAPS` names.
pub(crate) fn program() -> OsString {
    std::env::var_os("BITCRAPS").unwrap_or_else(|| env!("CARGO_BIN_EXE_bitcraps").into())
}

/// A UDP port that no other test on this machine uses while this value lives.
pub(crate) struct Port {
    pub(crate) number: u16,
    /// Tests agree by the TCP port of the same number.
    _claim: TcpListener,
}

impl Port {
    pub(crate) fn claim() -> Self {
        // Below the ports that the system gives out by itself.
        const FIRST: u16 = 20_000;
        const COUNT: u16 = 12_000;
        let start = (std::process::id() % u32::from(COUNT)) as u16;
        for step in 0..COUNT {
            let number = FIRST + (start + step) % COUNT;
            let here = (Ipv4Addr::LOCALHOST, number);
            if let (Ok(claim), Ok(_)) = (TcpListener::bind(here), UdpSocket::bind(here)) {
                return Self { number, _claim: claim };
            }
        }
        panic!("no port is free");
    }
}

/// A directory that stands for a user's home, removed at the end.
pub(crate) struct Home {
    directory: tempfile::TempDir,
}

impl Home {
    pub(crate) fn new() -> Self {
        Self { directory: tempfile::tempdir().unwrap() }
    }

    pub(crate) fn path(&self) -> &Path {
        self.directory.path()
    }

    pub(crate) fn join(&self, name: &str) -> PathBuf {
        self.path().join(name)
    }

    /// Writes a file and returns its path.
    pub(crate) fn write(&self, name: &str, text: &str) -> PathBuf {
        let path = self.join(name);
        fs::write(&path, text).unwrap();
        path
    }

    /// The command with `arguments`, in this home and in no other environment.
    pub(crate) fn command(&self, arguments: &[&str]) -> Command {
        let mut command = Command::new(program());
        command.args(arguments).env_clear().env("HOME", self.path()).current_dir(self.path());
        command
    }

    /// Runs the command to its end.
    pub(crate) fn run(&self, arguments: &[&str]) -> Ended {
        let output = self.command(arguments).stdin(Stdio::null()).output().unwrap();
        Ended::new(arguments, output)
    }

    /// Runs the command to its end with `input` on its standard input.
    pub(crate) fn run_with(&self, arguments: &[&str], input: &str) -> Ended {
        let mut command = self.command(arguments);
        command.stdin(Stdio::piped()).stdout(Stdio::piped()).stderr(Stdio::piped());
        let mut child = command.spawn().unwrap();
        child.stdin.take().unwrap().write_all(input.as_bytes()).unwrap();
        Ended::new(arguments, child.wait_with_output().unwrap())
    }

    /// The configuration of a node in this home that meets others on loopback at `discovery`.
    pub(crate) fn configure(&self, discovery: &Port, more: &str) -> PathBuf {
        let text = format!(
            "[lan]\ninterfaces = [\"lo\"]\ndiscovery_port = {}\nmdns = false\nport = 0\n{more}",
            discovery.number
        );
        self.write("bitcraps.toml", &text)
    }
}

/// A process that has ended.
pub(crate) struct Ended {
    what: String,
    pub(crate) code: Option<i32>,
    pub(crate) out: String,
    pub(crate) err: String,
}

impl Ended {
    fn new(arguments: &[&str], output: Output) -> Self {
        Self {
            what: arguments.join(" "),
            code: output.status.code(),
            out: String::from_utf8(output.stdout).unwrap(),
            err: String::from_utf8(output.stderr).unwrap(),
        }
    }

    /// Asserts the exit code, with everything that was printed.
    #[track_caller]
    pub(crate) fn exits(self, code: i32) -> Self {
        let Self { what, out, err, .. } = &self;
        assert_eq!(self.code, Some(code), "bitcraps {what}\nout: {out}\nerr: {err}");
        self
    }

    /// Asserts that standard output holds `part`.
    #[track_caller]
    pub(crate) fn prints(self, part: &str) -> Self {
        assert!(self.out.contains(part), "bitcraps {}: no {part:?} in\n{}", self.what, self.out);
        self
    }

    /// Asserts that standard error holds `part`.
    #[track_caller]
    pub(crate) fn complains(self, part: &str) -> Self {
        assert!(self.err.contains(part), "bitcraps {}: no {part:?} in\n{}", self.what, self.err);
        self
    }

    /// Standard output as one JSON value of the schema.
    #[track_caller]
    pub(crate) fn json(&self) -> Value {
        let value: Value = serde_json::from_str(&self.out)
            .unwrap_or_else(|e| panic!("bitcraps {}: {e} in {:?}", self.what, self.out));
        assert_eq!(value["schema"], 1, "{value}");
        value
    }
}

/// Lines of a process as they come.
pub(crate) struct Lines {
    lines: Receiver<String>,
    seen: Vec<String>,
}

impl Lines {
    pub(crate) fn of(source: impl Read + Send + 'static) -> Self {
        let (sender, lines) = mpsc::channel();
        thread::spawn(move || {
            for line in BufReader::new(source).lines() {
                let Ok(line) = line else { return };
                if sender.send(line).is_err() {
                    return;
                }
            }
        });
        Self { lines, seen: Vec::new() }
    }

    /// Waits for a line that holds `part` and returns it; lines before it are passed over.
    #[track_caller]
    pub(crate) fn until(&mut self, part: &str) -> String {
        loop {
            match self.lines.recv_timeout(SOON) {
                Ok(line) => {
                    self.seen.push(line.clone());
                    if line.contains(part) {
                        return line;
                    }
                }
                Err(error) => panic!("no line with {part:?}: {error}; seen: {:#?}", self.seen),
            }
        }
    }

    /// Lines that were waited for or passed over until now.
    pub(crate) fn seen(&self) -> &[String] {
        &self.seen
    }

    /// Waits for a line that holds `part`, and returns every line that has come since the start.
    #[track_caller]
    pub(crate) fn all_until(&mut self, part: &str) -> &[String] {
        self.until(part);
        &self.seen
    }
}

/// A process that does not outlive its test: killed when dropped.
pub(crate) struct Ward(pub(crate) Child);

impl Drop for Ward {
    fn drop(&mut self) {
        // It may have ended already.
        drop(self.0.kill());
        drop(self.0.wait());
    }
}

/// Looks until something is found, for as long as `limit`.
#[track_caller]
pub(crate) fn until_within<T>(
    limit: Duration,
    what: &str,
    mut look: impl FnMut() -> Option<T>,
) -> T {
    let start = now();
    loop {
        if let Some(found) = look() {
            return found;
        }
        assert!(now() - start < limit, "{what}");
        thread::sleep(LOOK);
    }
}

/// A running node; killed when dropped.
pub(crate) struct Running {
    /// Before its home: it ends before that is removed.
    child: Ward,
    pub(crate) home: Home,
    pub(crate) out: Lines,
    pub(crate) err: Lines,
    pub(crate) id: String,
}

impl Running {
    /// Starts a node in a new home and waits until it answers.
    pub(crate) fn start(discovery: &Port, more: &str) -> Self {
        let home = Home::new();
        home.configure(discovery, more);
        Self::start_in(home, &["--print-messages"])
    }

    /// Starts a node in `home` and waits until it answers.
    pub(crate) fn start_in(home: Home, arguments: &[&str]) -> Self {
        let mut command = home.command(&["--config", "bitcraps.toml", "run"]);
        command.args(arguments);
        Self::started(home, command)
    }

    /// Starts `command`, which runs a node of `home`, and waits until it answers.
    pub(crate) fn started(home: Home, mut command: Command) -> Self {
        command.stdin(Stdio::null()).stdout(Stdio::piped()).stderr(Stdio::piped());
        let mut child = Ward(command.spawn().unwrap());
        let out = Lines::of(child.0.stdout.take().unwrap());
        let mut err = Lines::of(child.0.stderr.take().unwrap());
        let line = err.until(" runs, epoch ");
        let id = line.split(' ').nth(1).unwrap().to_owned();
        err.until("admin socket");
        Self { child, home, out, err, id }
    }

    /// Asks this node.
    pub(crate) fn ask(&self, arguments: &[&str]) -> Ended {
        self.home.run(&[&["--config", "bitcraps.toml"], arguments].concat())
    }

    /// Asks this node until its JSON answer satisfies `is_so`.
    #[track_caller]
    pub(crate) fn ask_until(&self, arguments: &[&str], is_so: impl Fn(&Value) -> bool) -> Value {
        self.ask_within(SOON, arguments, is_so)
    }

    /// Asks this node until its JSON answer satisfies `is_so`, no longer than `limit`.
    #[track_caller]
    pub(crate) fn ask_within(
        &self,
        limit: Duration,
        arguments: &[&str],
        is_so: impl Fn(&Value) -> bool,
    ) -> Value {
        let start = now();
        loop {
            let answer = self.ask(arguments).json();
            if is_so(&answer) {
                return answer;
            }
            assert!(now() - start < limit, "bitcraps {}: still {answer}", arguments.join(" "));
            thread::sleep(LOOK);
        }
    }

    /// Waits until this node reaches `count` peers.
    #[track_caller]
    pub(crate) fn until_reaches(&self, count: usize) -> Value {
        self.ask_until(&["status", "--json"], |status| {
            let peers = status["peers"].as_array().unwrap();
            peers.iter().filter(|peer| peer["reachable"] == true).count() == count
        })
    }

    pub(crate) fn signal(&self, signal: Signal) {
        kill_process(Pid::from_child(&self.child.0), signal).unwrap();
    }

    /// Waits for the process to end; its exit code, and its home for another.
    #[track_caller]
    pub(crate) fn ends(mut self) -> (Option<i32>, Home) {
        let status = until_within(SOON, "it does not end", || self.child.0.try_wait().unwrap());
        (status.code(), self.home)
    }
}

#[expect(clippy::disallowed_methods, reason = "the deadline of a test is real time")]
pub(crate) fn now() -> Instant {
    Instant::now()
}
