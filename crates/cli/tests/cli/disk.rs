//! Disks that are full, cannot be written, or give back other bytes.

#![expect(clippy::unwrap_used, reason = "what fails here fails the test that calls it")]

use std::fs;
use std::os::unix::fs::FileExt as _;
use std::path::{Path, PathBuf};
use std::process::Command;

use serde_json::{Value, json};

use super::kills::{Mortal, until};
use super::process::Port;

/// Bytes that a bet takes in the store, about.
const LARGE: usize = 100_000;
/// Room for the store, in bytes: a new one and some bets.
const ROOM: usize = 6 << 20;
/// Runs what follows with files of at most [`ROOM`]: a write beyond it is an error, not a signal.
const CRAMPED: &str = "trap '' XFSZ; ulimit -f 12288; exec \"$@\"";

fn met(node: &Mortal) {
    until("they do not meet", || (node.status()["peers"][0]["reachable"] == true).then_some(()));
}

fn send(from: &Mortal, to: &str, class: &str, text: &str, wait: bool) -> Value {
    from.answer(&json!({
        "schema": 1, "request": "send", "peer": to, "class": class, "payload": text,
        "deadline_ms": 80_000, "wait": wait,
    }))
}

#[track_caller]
fn says_that_it_does_not_work(node: &Mortal, path: &str) {
    let status = node.status();
    assert_eq!(
        (status["health"].as_str(), &status["store"]["works"]),
        (Some("critical"), &json!(false))
    );
    let told = status["findings"].as_array().unwrap().iter().any(|finding| {
        let finding = finding.as_str().unwrap();
        finding.starts_with(&format!("store {path} does not work: "))
            && finding.ends_with("critical messages are refused")
    });
    assert!(told, "{status}");
}

#[track_caller]
fn refuses(node: &Mortal, to: &str) {
    let refused = send(node, to, "critical", "hello", true);
    assert_eq!(refused["answer"], "refused", "{refused}");
    let why = refused["message"].as_str().unwrap();
    assert!(why.starts_with("the store is out of order"), "{why}");
}

fn kept(node: &Mortal) -> usize {
    let outbox = node.answer(&json!({ "schema": 1, "request": "outbox" }));
    outbox["messages"].as_array().unwrap().len()
}

/// Bets to an absent peer fill the disk of `near`. What is durable by then arrives once, from this
/// life of it or from the next, for which `make_room` makes room.
fn fills_its_disk(near: &mut Mortal, far: &mut Mortal, store: &Path, make_room: impl FnOnce()) {
    let to = far.id();
    met(near);
    let confirmed = ["one", "two", "three"];
    for text in confirmed {
        assert_eq!(send(near, &to, "critical", text, true)["outcome"], "delivered");
    }
    // What it was handed and did not print before it is killed would be doubtful.
    until("it does not print them", || (far.taken().len() == confirmed.len()).then_some(()));
    far.kill();
    let mut accepted = Vec::new();
    loop {
        let before = near.status()["store"]["commits"].as_u64().unwrap();
        let text = format!("bet {} {}", accepted.len(), "x".repeat(LARGE));
        if send(near, &to, "critical", &text, false)["answer"] == "refused" {
            break;
        }
        accepted.push(text);
        assert!(accepted.len() * LARGE < ROOM, "there was no room for so many");
        let works = until("neither durable nor an error", || {
            let store = &near.status()["store"];
            let works = store["works"].as_bool()?;
            (!works || store["commits"].as_u64()? > before).then_some(works)
        });
        if !works {
            break;
        }
    }
    assert!(accepted.len() > 10, "{} bets", accepted.len());
    says_that_it_does_not_work(near, store.to_str().unwrap());
    refuses(near, &to);
    let chat = send(near, &to, "background", "chat", false);
    assert_eq!(chat["answer"], "send", "{chat}");
    far.start();
    until("the rest does not go on", || far.taken().contains_key("chat").then_some(()));

    near.kill();
    make_room();
    near.start();
    until("the outbox does not empty", || (kept(near) == 0).then_some(()));
    // Nobody knows of the one that met the full disk, nor of the one before it: the batch that was
    // durable then may have been an earlier one.
    accepted.truncate(accepted.len() - 2);
    let bound = accepted.iter().map(String::as_str).chain(confirmed);
    let bound: Vec<&str> = bound.collect();
    until("what was durable is lost", || {
        let taken = far.taken();
        bound.iter().all(|text| taken.contains_key(*text)).then_some(())
    });
    assert!(far.taken().values().all(|count| *count == 1), "something came twice");
    let status = near.status();
    assert_eq!((&status["store"]["works"], &status["findings"]), (&json!(true), &json!([])));
}

fn default_store(node: &Mortal) -> PathBuf {
    node.home.join(".local/share/bitcraps/store.redb")
}

#[test]
fn fault_46_a_file_that_may_not_grow() {
    let discovery = Port::claim();
    let mut far = Mortal::new(&discovery, "");
    let mut near = Mortal::unborn(&discovery, "");
    near.start_within(&["sh", "-c", CRAMPED, "sh"]);
    let store = default_store(&near);
    fills_its_disk(&mut near, &mut far, &store, || {});
}

/// A small file system in memory, for as long as this value lives.
struct Mounted(PathBuf);

impl Mounted {
    fn new(at: PathBuf) -> Self {
        fs::create_dir_all(&at).unwrap();
        let mounted = Self(at);
        mounted.mount(&["-t", "tmpfs", "-o", &format!("size={ROOM}"), "store"]);
        mounted
    }

    fn mount(&self, words: &[&str]) {
        assert!(Command::new("mount").args(words).arg(&self.0).status().unwrap().success());
    }
}

impl Drop for Mounted {
    fn drop(&mut self) {
        // It ends with the namespace otherwise.
        drop(Command::new("umount").arg("-l").arg(&self.0).status());
    }
}

#[test]
#[ignore = "needs mounts of its own: cargo xtask test-net"]
fn fault_46_a_disk_that_is_full() {
    let discovery = Port::claim();
    let mut far = Mortal::new(&discovery, "");
    let mut near = Mortal::unborn(&discovery, "[store]\npath = \"~/disk/store.redb\"\n");
    let disk = Mounted::new(near.home.join("disk"));
    near.start();
    let store = PathBuf::from(near.status()["store"]["file"].as_str().unwrap());
    assert!(store.ends_with("disk/store.redb"), "{}", store.display());
    let larger = || disk.mount(&["-o", "remount,size=64m"]);
    fills_its_disk(&mut near, &mut far, &store, larger);
    near.kill();
}

#[test]
#[ignore = "needs mounts of its own: cargo xtask test-net"]
fn a_disk_that_can_only_be_read_refuses_and_loses_nothing() {
    let discovery = Port::claim();
    let mut far = Mortal::new(&discovery, "");
    let mut near = Mortal::unborn(&discovery, "[store]\npath = \"~/disk/store.redb\"\n");
    let disk = Mounted::new(near.home.join("disk"));
    near.start();
    let to = far.id();
    met(&near);
    let path = near.status()["store"]["file"].as_str().unwrap().to_owned();
    far.kill();
    assert_eq!(send(&near, &to, "critical", "kept", false)["answer"], "send");
    until("it is not durable", || (near.status()["store"]["commits"].as_u64()? > 0).then_some(()));
    near.kill();
    disk.mount(&["-o", "remount,ro"]);
    near.start();
    far.start();
    met(&near);
    says_that_it_does_not_work(&near, &path);
    refuses(&near, &to);
    assert_eq!(send(&near, &to, "background", "chat", true)["outcome"], "delivered");
    near.kill();
    disk.mount(&["-o", "remount,rw"]);
    near.start();
    until("what was kept is lost", || far.taken().contains_key("kept").then_some(()));
    assert!(far.taken().values().all(|count| *count == 1));
    near.kill();
}

#[test]
fn bytes_that_changed_at_random_places_are_told_and_kept() {
    let discovery = Port::claim();
    let mut aside = 0;
    for seed in 0..6 {
        let mut rng = fastrand::Rng::with_seed(seed);
        let mut far = Mortal::new(&discovery, "");
        let mut near = Mortal::new(&discovery, "");
        let to = far.id();
        met(&near);
        far.kill();
        for n in 0..5_u64 {
            assert_eq!(send(&near, &to, "critical", &format!("bet {n}"), false)["answer"], "send");
        }
        until("they are not durable", || {
            (near.status()["store"]["commits"].as_u64()? > 0 && kept(&near) == 5).then_some(())
        });
        // A clean end writes what is left to write.
        near.end();
        let path = default_store(&near);
        let len = fs::metadata(&path).unwrap().len();
        let noise: Vec<u8> = (0..32_768).map(|_| rng.u8(..)).collect();
        let place = rng.u64(..len - noise.len() as u64);
        let file = fs::OpenOptions::new().write(true).open(&path).unwrap();
        file.write_all_at(&noise, place).unwrap();
        near.start();
        let status = near.status();
        let store = &status["store"];
        assert_eq!(store["works"], json!(true), "seed {seed}: {status}");
        match store["damage"].as_str() {
            // Nobody's bytes were there.
            None => assert_eq!(kept(&near), 5, "seed {seed}"),
            Some(damage) => {
                aside += 1;
                assert_eq!((&status["health"], kept(&near)), (&json!("warning"), 0), "{status}");
                let kept = path.with_extension("redb.damaged-2");
                assert!(damage.contains(kept.to_str().unwrap()), "{damage}");
                assert!(kept.is_file(), "seed {seed}: it is gone");
            }
        }
    }
    assert!(aside > 0, "no place mattered");
}

#[test]
fn a_store_that_cannot_be_opened_is_told_and_the_rest_works() {
    let discovery = Port::claim();
    let far = Mortal::new(&discovery, "");
    let near = Mortal::new(&discovery, "[store]\npath = \"/dev/null/store.redb\"\n");
    let to = far.id();
    met(&near);
    says_that_it_does_not_work(&near, "/dev/null/store.redb");
    assert_eq!(send(&near, &to, "background", "hello", true)["outcome"], "delivered");
    refuses(&near, &to);
}
