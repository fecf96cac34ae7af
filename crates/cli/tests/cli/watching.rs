//! Commands that show again and again.

#![expect(clippy::unwrap_used, reason = "the lint knows test functions only, not what they call")]

use std::io::{BufRead, BufReader};
use std::os::unix::process::ExitStatusExt;
use std::process::{ChildStdout, ExitStatus, Stdio};

use rustix::process::{Pid, Signal, kill_process};
use serde_json::Value;

use crate::process::{Home, Port, Running, SOON, Ward, until_within};

/// A command that goes on showing; killed when dropped.
struct Watching {
    child: Ward,
    out: BufReader<ChildStdout>,
}

impl Watching {
    fn start(node: &Running, arguments: &[&str]) -> Self {
        let arguments = [&["--config", "bitcraps.toml"], arguments].concat();
        let mut command = node.home.command(&arguments);
        command.stdin(Stdio::null()).stdout(Stdio::piped()).stderr(Stdio::null());
        let mut child = Ward(command.spawn().unwrap());
        let out = BufReader::new(child.0.stdout.take().unwrap());
        Self { child, out }
    }

    fn line(&mut self) -> String {
        let mut line = String::new();
        assert_ne!(self.out.read_line(&mut line).unwrap(), 0, "it shows no more");
        line
    }

    fn json(&mut self) -> Value {
        let value: Value = serde_json::from_str(&self.line()).unwrap();
        assert_eq!(value["schema"], 1, "{value}");
        value
    }

    fn interrupt(mut self) -> ExitStatus {
        kill_process(Pid::from_child(&self.child.0), Signal::INT).unwrap();
        self.ends()
    }

    fn close(mut self) -> ExitStatus {
        drop(self.out);
        let child = &mut self.child.0;
        until_within(SOON, "it does not end", || child.try_wait().unwrap())
    }

    fn ends(&mut self) -> ExitStatus {
        until_within(SOON, "it does not end", || self.child.0.try_wait().unwrap())
    }
}

#[test]
fn whatever_can_be_watched_is_shown_again_until_it_is_interrupted_or_nobody_reads() {
    let port = Port::claim();
    let near = Running::start(&port, "");
    let _far = Running::start(&port, "");
    near.until_reaches(1);
    near.ask_until(&["health", "--json"], |report| report["network_topology"]["peers"] == 2);
    let verbs = [
        "status",
        "peers",
        "links",
        "topology",
        "outbox",
        "health",
        "alerts",
        "recommend",
        "metrics",
    ];
    for verb in verbs {
        let mut watching = Watching::start(&near, &[verb, "--json", "--watch", "0.1"]);
        // One picture a line, for programs.
        let pictures = [(); 3].map(|()| watching.json());
        let keys = pictures
            .each_ref()
            .map(|picture| picture.as_object().unwrap().keys().cloned().collect::<Vec<_>>());
        assert!(keys.iter().all(|shown| *shown == keys[0]), "{verb}: {keys:?}");
        assert_eq!(watching.interrupt().signal(), Some(Signal::INT.as_raw()), "{verb}");

        let mut watching = Watching::start(&near, &[verb, "--watch", "0.1"]);
        let first = watching.line();
        // What comes first is told of by its first words, whatever changes behind them.
        let begins = first.split_inclusive(' ').take(3).collect::<String>();
        until_within(SOON, &format!("{verb}: no second {begins:?}"), || {
            watching.line().starts_with(begins.trim_end()).then_some(())
        });
        assert_eq!(watching.close().code(), Some(0), "{verb}");
    }
}

#[test]
fn what_changes_something_is_not_done_again_and_again() {
    let home = Home::new();
    for verb in
        [&["ls"][..], &["ack", "ab", "--author", "me"], &["silence", "PeerLost", "--author", "me"]]
    {
        let arguments = [&["alerts", "--watch=1"], verb].concat();
        home.run(&arguments).exits(64).complains("cannot be used with");
    }
}
