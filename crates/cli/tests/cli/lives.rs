//! A node whose disk is an old copy.

use std::fs::{self, OpenOptions};
use std::io::Write;

use rustix::fs::{CWD, FileType, Mode, mknodat};
use rustix::process::Signal;

use crate::network::{Row, links};
use crate::process::{Home, Port, Running, SOON, until_within};

#[test]
fn a_node_restored_from_a_backup_begins_a_life_that_its_peers_take() {
    // What claims the port listens at another address of loopback.
    let dashboard = Port::claim();
    let shown = format!("[dashboard]\nlisten = \"127.0.0.2:{}\"\n", dashboard.number);
    let Row { ends: [near, mut far], middle, ports } = Row::new();
    near.ask_until(&["topology", "--json"], |report| links(report) == 2);
    far.ask_until(&["topology", "--json"], |report| links(report) == 2);
    near.signal(Signal::TERM);
    let (code, home) = near.ends();
    assert_eq!(code, Some(0));
    let data = home.join(".local/share/bitcraps");
    // As if many lives had passed since the copy: they are told of by the others only.
    let start = |home: Home, epoch: &str, discovery: &Port, more: &str| {
        fs::write(data.join("epoch"), epoch).unwrap();
        fs::remove_file(data.join("store.redb")).unwrap();
        home.configure(discovery, more);
        Running::start_in(home, &["--print-messages"])
    };
    let near = start(home, "40\n", &ports[0], "");
    near.ask_until(&["topology", "--json"], |report| links(report) == 2);
    near.ask(&["send", &far.id[..8], "from the forty-first life"]).exits(0);
    far.out.until("from the forty-first life");
    far.ask(&["ping", &near.id[..8], "-c", "1"]).exits(0);
    near.signal(Signal::TERM);
    let (code, home) = near.ends();
    assert_eq!(code, Some(0));

    // It meets one who knows its former life from what the network says, and never met it.
    let mut near = start(home, "6\n", &ports[1], &shown);
    assert!(near.err.seen().iter().any(|line| line.ends_with("runs, epoch 7")));
    near.err.until("this node's key was seen in epoch 41: it begins anew");
    near.err.until("runs, epoch 43");
    assert_eq!(fs::read_to_string(data.join("epoch")).unwrap(), "43\n");
    near.err.until("metrics at");
    near.err.until("admin socket");
    near.until_reaches(1);
    near.ask(&["send", &far.id[..8], "from the forty-third life"]).exits(0);
    far.out.until("from the forty-third life");
    let known = near.ask_until(&["topology", "--json"], |report| links(report) == 2);
    assert_eq!(known.get("outran"), None, "{known}");
    near.ask(&["send", &middle.id[..8], "to one who knew the forty-first"]).exits(0);
    near.signal(Signal::TERM);
    assert_eq!(near.ends().0, Some(0));
}

#[test]
fn a_reload_that_is_under_way_when_a_life_is_outrun_is_done_first() {
    let port = Port::claim();
    let far = Running::start(&port, "");
    // As in the test above: the other one has seen the forty-first life, and this one is the seventh.
    let mut home = Home::new();
    home.configure(&port, "");
    let data = home.join(".local/share/bitcraps");
    for epoch in ["", "40\n"] {
        if !epoch.is_empty() {
            fs::write(data.join("epoch"), epoch).unwrap();
        }
        let near = Running::start_in(home, &[]);
        near.until_reaches(1);
        near.signal(Signal::TERM);
        let (code, left) = near.ends();
        assert_eq!(code, Some(0));
        home = left;
    }
    fs::write(data.join("epoch"), "6\n").unwrap();
    fs::remove_file(data.join("store.redb")).unwrap();
    far.signal(Signal::STOP);
    let mut near = Running::start_in(home, &[]);
    assert!(near.err.seen().iter().any(|line| line.ends_with("runs, epoch 7")));

    // What is read slowly: it can be opened here once it is being read there.
    let file = near.home.join("bitcraps.toml");
    let text = fs::read_to_string(&file).unwrap();
    fs::remove_file(&file).unwrap();
    mknodat(CWD, &file, FileType::Fifo, Mode::RUSR | Mode::WUSR, 0).unwrap();
    near.signal(Signal::HUP);
    let mut pipe = OpenOptions::new().write(true).open(&file).unwrap();
    far.signal(Signal::CONT);
    until_within(SOON, "the epoch is not raised", || {
        (fs::read_to_string(data.join("epoch")).unwrap() != "7\n").then_some(())
    });
    pipe.write_all(format!("{text}[log]\nfilter = \"warn\"\n").as_bytes()).unwrap();
    drop(pipe);
    near.err.until("reloaded bitcraps.toml (by --config): 1 change");
    near.err.until("this node's key was seen in epoch 41: it begins anew");
    near.err.until("runs, epoch 43");
}
