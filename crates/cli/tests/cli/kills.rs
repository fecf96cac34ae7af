//! Two processes, killed without a word at any time, and what their users have in their hands
//! afterwards.

#![expect(clippy::unwrap_used, reason = "what fails here fails the test that calls it")]

use std::collections::{BTreeMap, BTreeSet};
use std::fs::{File, OpenOptions};
use std::io::{BufRead, BufReader, Write};
use std::os::unix::net::UnixStream;
use std::path::{Path, PathBuf};
use std::process::{Command, Stdio};
use std::sync::atomic::{AtomicBool, AtomicU64, Ordering};
use std::sync::{Arc, Mutex};
use std::thread;
use std::time::Duration;

use rustix::process::{Pid, Signal, kill_process};
use serde_json::{Value, json};

use super::process::{Home, Port, Ward, until_within};

/// How often a process is killed.
const KILLS: usize = 14;
/// Messages that are confirmed between two kills.
const EACH: usize = 8;
/// Who sends at once.
const CLIENTS: usize = 4;
/// How long everything may take to settle in the end.
const SETTLING: Duration = Duration::from_secs(60);

/// A node whose output goes to files that outlive it.
pub(super) struct Mortal {
    /// Before its home: it ends before that is removed.
    child: Option<Ward>,
    pub(super) home: Home,
}

impl Mortal {
    pub(super) fn new(discovery: &Port, more: &str) -> Self {
        let mut node = Self::unborn(discovery, more);
        node.start();
        node
    }

    /// One that was not started yet.
    pub(super) fn unborn(discovery: &Port, more: &str) -> Self {
        let home = Home::new();
        home.configure(discovery, more);
        Self { child: None, home }
    }

    fn output(&self, name: &str) -> File {
        let mut options = OpenOptions::new();
        options.create(true).append(true).open(self.home.join(name)).unwrap()
    }

    pub(super) fn start(&mut self) {
        self.start_within(&[]);
    }

    /// Starts it by a command line that runs what follows.
    pub(super) fn start_within(&mut self, outer: &[&str]) {
        let arguments = ["--config", "bitcraps.toml", "run", "--print-messages=json"];
        let mut command = self.home.command(&arguments);
        if let Some((program, rest)) = outer.split_first() {
            let mut outside = Command::new(program);
            outside.args(rest).arg(command.get_program()).args(command.get_args());
            outside.env_clear().env("HOME", self.home.path()).current_dir(self.home.path());
            command = outside;
        }
        command.stdin(Stdio::null()).stdout(self.output("taken")).stderr(self.output("told"));
        self.child = Some(Ward(command.spawn().unwrap()));
    }

    pub(super) fn kill(&mut self) {
        self.child = None;
    }

    /// Tells it to stop, and waits until it has.
    pub(super) fn end(&mut self) {
        if let Some(mut child) = self.child.take() {
            kill_process(Pid::from_child(&child.0), Signal::TERM).unwrap();
            assert!(child.0.wait().unwrap().success());
        }
    }

    pub(super) fn socket(&self) -> PathBuf {
        self.home.join(".local/share/bitcraps/admin.sock")
    }

    pub(super) fn lines(&self, name: &str) -> Vec<String> {
        let text = std::fs::read_to_string(self.home.join(name)).unwrap();
        // What comes behind the last end of a line is being written, or died with its writer.
        let whole = text.rsplit_once('\n').map_or("", |(whole, _)| whole);
        whole.lines().map(ToOwned::to_owned).collect()
    }

    /// How often it printed each text.
    pub(super) fn taken(&self) -> BTreeMap<String, u32> {
        let texts = self.lines("taken").into_iter().map(|line| {
            let line: Value = serde_json::from_str(&line).unwrap();
            line["message"]["text"].as_str().unwrap().to_owned()
        });
        let mut counts = BTreeMap::new();
        texts.for_each(|text| *counts.entry(text).or_default() += 1);
        counts
    }

    /// Asks it until it answers.
    pub(super) fn answer(&self, request: &Value) -> Value {
        let socket = self.socket();
        until("no answer", || ask(&socket, request))
    }

    pub(super) fn status(&self) -> Value {
        self.answer(&json!({ "schema": 1, "request": "status" }))
    }

    pub(super) fn id(&self) -> String {
        self.status()["node"].as_str().unwrap().to_owned()
    }
}

/// Asks a node that may die meanwhile.
pub(super) fn ask(socket: &Path, request: &Value) -> Option<Value> {
    ask_over(UnixStream::connect(socket).ok()?, request)
}

fn ask_over(mut stream: UnixStream, request: &Value) -> Option<Value> {
    stream.set_read_timeout(Some(Duration::from_secs(90))).ok()?;
    writeln!(stream, "{request}").ok()?;
    let mut line = String::new();
    BufReader::new(stream).read_line(&mut line).ok()?;
    serde_json::from_str(&line).ok()
}

#[track_caller]
pub(super) fn until<T>(what: &str, look: impl FnMut() -> Option<T>) -> T {
    until_within(SETTLING, what, look)
}

/// What the senders' files say of each text: how it ended, as far as anybody was told.
type Told = Arc<Mutex<BTreeMap<String, String>>>;

/// Sends texts one after another, and notes how each ends.
fn client(socket: PathBuf, to: String, next: &AtomicU64, stop: &AtomicBool, told: &Told) {
    while !stop.load(Ordering::Relaxed) {
        let Ok(stream) = UnixStream::connect(&socket) else {
            thread::sleep(Duration::from_millis(5));
            continue;
        };
        let text = format!("bet {}", next.fetch_add(1, Ordering::Relaxed));
        let request = json!({
            "schema": 1, "request": "send", "peer": to, "class": "critical",
            "payload": text, "deadline_ms": 80_000, "wait": true,
        });
        let outcome = match ask_over(stream, &request) {
            Some(answer) => match answer["outcome"].as_str() {
                Some(outcome) => outcome.to_owned(),
                None => format!("refused: {answer}"),
            },
            None => "nobody knows".to_owned(),
        };
        let refused = outcome.starts_with("refused");
        told.lock().unwrap().insert(text, outcome);
        if refused {
            thread::sleep(Duration::from_millis(5));
        }
    }
}

#[test]
fn fault_47_whoever_is_killed_nothing_arrives_twice_and_nothing_confirmed_is_lost() {
    let discovery = Port::claim();
    let mut far = Mortal::new(&discovery, "");
    let mut near = Mortal::new(&discovery, "");
    near.status();
    let to = far.id();
    let next = AtomicU64::new(0);
    let stop = AtomicBool::new(false);
    let told = Told::default();
    let mut rng = fastrand::Rng::with_seed(7);
    let socket = near.socket();
    thread::scope(|scope| {
        for _ in 0..CLIENTS {
            let (socket, to) = (socket.clone(), to.clone());
            scope.spawn(|| client(socket, to, &next, &stop, &told));
        }
        for _ in 0..KILLS {
            let confirmed = || {
                let told = told.lock().unwrap();
                told.values().filter(|how| *how == "delivered").count()
            };
            let before = confirmed();
            until("nothing is confirmed any more", || (confirmed() > before + EACH).then_some(()));
            thread::sleep(Duration::from_micros(rng.u64(..30_000)));
            let victim = if rng.bool() { &mut near } else { &mut far };
            victim.kill();
            thread::sleep(Duration::from_millis(rng.u64(..100)));
            victim.start();
        }
        stop.store(true, Ordering::Relaxed);
    });
    // What is in the outbox goes on, and ends.
    until("the outbox does not empty", || {
        let outbox = ask(&socket, &json!({ "schema": 1, "request": "outbox" }))?;
        outbox["messages"].as_array()?.is_empty().then_some(())
    });
    let told = std::mem::take(&mut *told.lock().unwrap());
    let confirmed: BTreeSet<&String> =
        told.iter().filter(|(_, how)| *how == "delivered").map(|(text, _)| text).collect();
    assert!(confirmed.len() > EACH * KILLS, "{} confirmed", confirmed.len());
    // The application's side: what it printed, and what its node called doubtful.
    let taken = || far.taken();
    let doubtful: Vec<String> =
        far.lines("told").into_iter().filter(|line| line.contains("doubtful since")).collect();
    let in_doubt =
        |text: &String| doubtful.iter().any(|line| line.contains(&format!("\"{text}\"")));
    until("what is confirmed is not there", || {
        let taken = taken();
        let lost = confirmed.iter().find(|text| !taken.contains_key(**text) && !in_doubt(text));
        lost.is_none().then_some(())
    });
    let taken = taken();
    let twice: Vec<_> = taken.iter().filter(|(_, count)| **count > 1).collect();
    assert!(twice.is_empty(), "printed twice: {twice:?}");
    let never: Vec<_> = taken.keys().filter(|text| !told.contains_key(*text)).collect();
    assert!(never.is_empty(), "never sent: {never:?}");
    // Nobody was told of a certain failure that is none.
    let wrong: Vec<_> = told
        .iter()
        .filter(|(text, how)| how.starts_with("rejected") && taken.contains_key(*text))
        .collect();
    assert!(wrong.is_empty(), "{wrong:?}");
    // Only what was on its way to the disk when its sender died may be gone.
    let gone: Vec<_> = told
        .iter()
        .filter(|(text, how)| {
            *how == "nobody knows" && !taken.contains_key(*text) && !in_doubt(text)
        })
        .collect();
    assert!(gone.len() <= CLIENTS * KILLS, "{gone:?}");
}
