//! Real processes over loopback, killed without a word at every step that either of them takes, and
//! what their applications have written down in the end.

use std::collections::{BTreeMap, BTreeSet};
use std::fs;
use std::net::SocketAddr;
use std::os::unix::process::ExitStatusExt;
use std::path::Path;
use std::process::{Child, Command, ExitStatus, Stdio};
use std::sync::Mutex;
use std::thread;
use std::time::{Duration, Instant};

/// Bets of a course.
const BETS: usize = 6;
/// Courses under way at once: they wait most of their time.
const AT_ONCE: usize = 6;
/// Time between two looks at a file.
const LOOK: Duration = Duration::from_millis(10);
/// Bounds a failure only.
const PATIENCE: Duration = Duration::from_secs(120);

#[expect(clippy::disallowed_methods, reason = "processes run in real time")]
fn now() -> Instant {
    Instant::now()
}

/// One of two processes, with the directory that outlives it.
struct Player {
    home: tempfile::TempDir,
    arguments: [String; 5],
    child: Option<Child>,
}

impl Player {
    /// Keys 1 and 2; the first one places bets.
    fn pair(course: usize) -> [Self; 2] {
        // Addresses that no other course, and no other process of tests, listens on.
        let hosts = 0x7f40_0000 | (std::process::id() & 0xfff) << 9 | (course as u32 & 0xff) << 1;
        let address = |side: u32| SocketAddr::from(((hosts | side).to_be_bytes(), 19_447));
        [(1, 0, BETS), (2, 1, 0)].map(|(key, side, bets)| {
            let (own, other) = (address(side), address(1 - side));
            let words = [key.to_string(), own.to_string(), (3 - key).to_string()];
            let [key, own, peer] = words;
            let arguments = [key, own, peer, other.to_string(), bets.to_string()];
            Self { home: tempfile::tempdir().unwrap(), arguments, child: None }
        })
    }

    fn start(&mut self, dies: Option<(&str, usize)>) {
        let mut command = Command::new(env!("CARGO_BIN_EXE_mortal"));
        command.arg(self.home.path()).args(&self.arguments);
        if let Some((kind, before)) = dies {
            command.arg(kind).arg(before.to_string());
        }
        let told = self.home.path().join("told");
        let told = fs::OpenOptions::new().create(true).append(true).open(told).unwrap();
        command.stdin(Stdio::null()).stdout(Stdio::null()).stderr(told);
        self.child = Some(command.spawn().unwrap());
    }

    fn kill(&mut self) {
        if let Some(mut child) = self.child.take() {
            child.kill().unwrap();
            child.wait().unwrap();
        }
    }

    /// How it ended, if it did.
    fn ended(&mut self) -> Option<ExitStatus> {
        self.child.as_mut().and_then(|child| child.try_wait().unwrap())
    }

    fn lines(&self, name: &str) -> Vec<String> {
        let text = fs::read_to_string(self.home.path().join(name)).unwrap_or_default();
        text.lines().map(ToOwned::to_owned).collect()
    }

    /// What follows `word` in the lines that begin with it.
    fn words(&self, name: &str, word: &str) -> Vec<String> {
        let lines = self.lines(name);
        let rest = lines.iter().filter_map(|line| line.strip_prefix(word));
        rest.map(|rest| rest.trim().to_owned()).collect()
    }
}

impl Drop for Player {
    fn drop(&mut self) {
        self.kill();
    }
}

/// A course of bets, and who dies in it where.
struct Course {
    players: [Player; 2],
    victim: Option<usize>,
    what: String,
}

impl Course {
    fn begin(number: usize, dies: Option<(usize, &str, usize)>) -> Self {
        let mut players = Player::pair(number);
        for (side, player) in players.iter_mut().enumerate() {
            let dies = dies.filter(|(victim, ..)| *victim == side);
            player.start(dies.map(|(_, kind, before)| (kind, before)));
        }
        Self { players, victim: dies.map(|(victim, ..)| victim), what: format!("{dies:?}") }
    }

    /// Looks until the course has ended, and starts the victim again once it is dead. Tells whether
    /// it died.
    fn run(&mut self) -> bool {
        let start = now();
        let mut died = false;
        loop {
            for side in 0..2 {
                let Some(status) = self.players[side].ended() else { continue };
                let told = self.players[side].lines("told");
                let dead = Some(side) == self.victim && !died && status.signal() == Some(9);
                assert!(dead, "{}: {side} ended: {status}: {told:#?}", self.what);
                died = true;
                self.players[side].start(None);
            }
            if self.is_over() {
                return died;
            }
            assert!(now() - start < PATIENCE, "{}: {}", self.what, self.shown());
            thread::sleep(LOOK);
        }
    }

    /// Every bet has ended, and what was confirmed or may still come has come.
    fn is_over(&self) -> bool {
        let [sender, receiver] = &self.players;
        let there = received(receiver);
        let bound = sender.lines("durable").into_iter().chain(delivered(sender));
        !sender.words("sent", "done").is_empty()
            && bound.into_iter().all(|bet| there.contains(&bet))
    }

    fn shown(&self) -> String {
        let [sender, receiver] = &self.players;
        format!("{:?} {:?}", sender.lines("sent"), receiver.lines("taken"))
    }

    fn judge(mut self) -> bool {
        let died = self.run();
        let (what, shown) = (&self.what, self.shown());
        let [sender, receiver] = &self.players;
        let took = receiver.words("taken", "took ");
        let distinct: BTreeSet<_> = took.iter().collect();
        assert_eq!(distinct.len(), took.len(), "{what}: twice: {shown}");
        let doubts = receiver.words("taken", "doubt ");
        let told: BTreeMap<String, String> = sender
            .words("sent", "told ")
            .iter()
            .filter_map(|line| line.split_once(' '))
            .map(|(bet, how)| (bet.to_owned(), how.to_owned()))
            .collect();
        let durable: BTreeSet<_> = sender.lines("durable").into_iter().collect();
        for bet in (0..BETS).map(|bet| bet.to_string()) {
            let there = took.contains(&bet) || doubts.contains(&bet);
            let how = told.get(&bet).map(String::as_str);
            match how {
                Some("delivered") => assert!(there, "{what}: {bet} is lost: {shown}"),
                // In doubt on the other side, whose application had done nothing about it yet.
                Some("refused") => {
                    let mere_doubt = doubts.contains(&bet) && !took.contains(&bet);
                    assert!(self.victim == Some(1) && mere_doubt, "{what}: {bet}: {shown}");
                }
                Some(other) => panic!("{what}: {bet} {other}: {shown}"),
                // Nobody was told, because who would have been was dead: either it went on from the
                // outbox, or it was never in it and never left.
                None => {
                    assert_eq!(self.victim, Some(0), "{what}: {bet} has no outcome: {shown}");
                    assert_eq!(there, durable.contains(&bet), "{what}: {bet}: {shown}");
                }
            }
        }
        let mut identities = BTreeMap::<String, String>::new();
        for line in sender.lines("identities") {
            let (identity, bet) = line.rsplit_once(' ').unwrap();
            let before = identities.insert(identity.to_owned(), bet.to_owned());
            assert!(before.is_none_or(|before| before == bet), "{what}: {identity} twice");
        }
        died
    }
}

fn received(receiver: &Player) -> BTreeSet<String> {
    let [took, doubts] = ["took ", "doubt "].map(|word| receiver.words("taken", word));
    took.into_iter().chain(doubts).collect()
}

fn delivered(sender: &Player) -> Vec<String> {
    let told = sender.words("sent", "told ");
    let delivered = told.iter().filter_map(|line| line.strip_suffix(" delivered"));
    delivered.map(ToOwned::to_owned).collect()
}

/// How often each player takes each step in a course in which nobody dies.
fn steps(players: &[Player; 2]) -> Vec<(usize, String, usize)> {
    let mut all = Vec::new();
    for (side, player) in players.iter().enumerate() {
        let mut counts = BTreeMap::<String, usize>::new();
        player.lines("steps").into_iter().for_each(|step| *counts.entry(step).or_default() += 1);
        for (kind, count) in counts {
            all.extend((0..count).map(|before| (side, kind.clone(), before)));
        }
    }
    all
}

#[test]
fn fault_47_real_processes_killed_at_every_step() {
    assert!(Path::new(env!("CARGO_BIN_EXE_mortal")).exists());
    let mut undisturbed = Course::begin(0, None);
    undisturbed.run();
    let steps = steps(&undisturbed.players);
    assert!(!undisturbed.judge());
    assert!((100..400).contains(&steps.len()), "{} steps", steps.len());
    let next = Mutex::new(steps.iter().enumerate());
    let died: usize = thread::scope(|scope| {
        let work = || {
            let mut died = 0;
            loop {
                let Some((number, (side, kind, before))) = next.lock().unwrap().next() else {
                    return died;
                };
                let course = Course::begin(number + 1, Some((*side, kind, *before)));
                died += usize::from(course.judge());
            }
        };
        let workers: Vec<_> = (0..AT_ONCE).map(|_| scope.spawn(work)).collect();
        workers.into_iter().map(|worker| worker.join().unwrap()).sum()
    });
    // Frames and batches may be fewer in another course than in the first.
    assert!(died * 10 >= steps.len() * 8, "{died} of {} deaths", steps.len());
}
