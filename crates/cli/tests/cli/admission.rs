//! Who may exchange messages with whom: invitations, decisions and lists, over restarts.

use std::fs;
use std::os::unix::fs::PermissionsExt;

use rustix::process::Signal;
use serde_json::Value;

use crate::process::{Home, Port, Running};

const BY_INVITATION: &str = "[admission]\nmode = \"invitation\"\n";

/// A node that cannot be found by its beacon, and whom it admits.
fn start(port: &Port, admission: &str) -> Running {
    let home = Home::new();
    home.configure(port, &format!("beacon = false\n{admission}"));
    Running::start_in(home, &["--print-messages"])
}

fn restart(node: Running) -> Running {
    node.signal(Signal::TERM);
    let (code, home) = node.ends();
    assert_eq!(code, Some(0));
    Running::start_in(home, &["--print-messages"])
}

fn code(node: &Running, more: &[&str]) -> String {
    let invited = node.ask(&[&["invite"], more].concat()).exits(0);
    assert!(invited.err.contains("It leads to 127.0.0.1:"), "{}", invited.err);
    invited.out.trim().to_owned()
}

fn peer<'a>(answer: &'a Value, of: &Running) -> &'a Value {
    let mut peers = answer["peers"].as_array().into_iter().flatten();
    peers.find(|peer| peer["peer"] == of.id.as_str()).unwrap_or(&Value::Null)
}

/// Waits until a node reaches another.
fn until_reaches(node: &Running, other: &Running) {
    node.ask_until(&["peers", "--json"], |answer| peer(answer, other)["reachable"] == true);
}

#[test]
fn two_nodes_meet_by_an_invitation_and_stay_so_over_restarts() {
    let port = Port::claim();
    let mut host = start(&port, BY_INVITATION);
    let guest = start(&port, BY_INVITATION);
    let code = code(&host, &["--for", "10m"]);
    let joined = guest.ask(&["join", &code]).exits(0);
    assert_eq!(joined.out, format!("joined peer {}; it is admitted here\n", host.id));
    guest.ask(&["send", &host.id[..10], "hello"]).exits(0);
    assert!(host.out.until("hello").contains("hello"));
    host.ask(&["send", &guest.id[..10], "welcome"]).exits(0);
    let status = host.ask(&["status"]).exits(0);
    let status = status.prints("admits  whoever proves an invitation");
    status.prints(&format!("relay   {} may\n", &guest.id[..10]));
    let links = guest.ask(&["links", "--json"]).exits(0).json();
    assert_eq!(links["links"][0]["standing"], "admitted");
    let ping = guest.ask(&["ping", &host.id[..10], "-c", "1"]).exits(0);
    ping.prints("admission  ok");

    // The same code admits nobody else, and says so; the one who has used it may use it again.
    let late = start(&port, "");
    let refused = late.ask(&["join", &code]).exits(2);
    refused.complains("did not admit this node: the invitation is used up; ask for a new one");
    let refused = late.ask(&["join", &code, "--json"]).exits(2).json();
    assert_eq!(refused["error"]["kind"], "invitation_used_up");
    let unknown = late.ask(&["send", &host.id[..10], "let me in"]).exits(2);
    unknown.prints("one of the two nodes has not admitted the other");
    guest.ask(&["join", &code]).exits(0);
    drop(late);

    let file = host.home.join(".local/share/bitcraps/peers.toml");
    assert_eq!(fs::metadata(&file).unwrap().permissions().mode() & 0o7777, 0o600);
    // The guest knows where the host was, as long as that keeps its port.
    let listening = host.ask(&["status", "--json"]).exits(0).json();
    let address = listening["listening"][0]["address"].as_str().unwrap().to_owned();
    let number = address.rsplit(':').next().unwrap();
    let settings = format!("beacon = false\n{BY_INVITATION}");
    let text = fs::read_to_string(host.home.configure(&port, &settings)).unwrap();
    fs::write(
        host.home.join("bitcraps.toml"),
        text.replace("port = 0", &format!("port = {number}")),
    )
    .unwrap();
    let guest = restart(guest);
    let mut host = restart(host);
    until_reaches(&guest, &host);
    guest.ask(&["send", &host.id[..10], "again"]).exits(0);
    assert!(host.out.until("again").contains("again"));

    host.ask(&["peers", "block", &guest.id[..10]]).exits(0).prints("is blocked (was admitted)");
    guest.ask_until(&["peers", "--json"], |answer| peer(answer, &host)["reachable"] == false);
    let ping = host.ask(&["ping", &guest.id[..10], "-c", "1"]).exits(2);
    ping.prints("admission  FAILED").prints("is blocked by this node");
    let host = restart(host);
    let peers = host.ask(&["peers", "--json"]).exits(0).json();
    assert_eq!(peer(&peers, &guest)["standing"], "blocked");
    assert_eq!(peer(&peers, &guest)["links"], Value::Array(Vec::new()));
    host.ask(&["peers", "forget", &guest.id[..10]]).exits(0).prints("is stranger (was blocked)");
    until_reaches(&guest, &host);
    let ping = guest.ask(&["ping", &host.id[..10], "-c", "1"]).exits(2);
    ping.prints("admission  FAILED").prints("the peer's node has not admitted this node");
    host.ask(&["peers", "admit", &guest.id[..10]]).exits(0).prints("is admitted (was stranger)");
    guest.ask(&["send", &host.id[..10], "once more"]).exits(0);
}

#[test]
fn a_code_that_does_not_work_says_why() {
    let port = Port::claim();
    let host = start(&port, BY_INVITATION);
    let guest = start(&port, "");
    let short = code(&host, &["--for", "1s"]);
    let expired = |answer: &Value| answer["error"]["kind"] == "invitation_expired";
    // Until then it would be good; the guest is a stranger all the while.
    let start = host.ask(&["status", "--json"]).json()["uptime_ms"].as_u64().unwrap();
    host.ask_until(&["status", "--json"], |s| s["uptime_ms"].as_u64().unwrap() > start + 1_100);
    let answer = guest.ask(&["join", &short, "--json"]).exits(2).json();
    assert!(expired(&answer), "{answer}");
    let own = host.ask(&["join", &short]).exits(64);
    own.complains("this is an invitation of this node itself");
    let slip = short.replacen('q', "p", 1);
    guest.ask(&["join", &slip]).exits(64).complains("the code is damaged");
    guest.ask(&["join", "hello"]).exits(64).complains("the code is damaged");
    let other = Home::new();
    let gone = {
        other.configure(&port, &format!("beacon = false\n{BY_INVITATION}"));
        let other = Running::start_in(other, &[]);
        code(&other, &[])
    };
    let json = guest.ask(&["join", &gone, "--wait", "1s", "--json"]).exits(2).json();
    assert_eq!(json["error"]["kind"], "not_reached");
    // What did not work leaves nothing behind, once a dial that is under way has ended.
    guest.ask_until(&["peers", "--addresses", "--json"], |targets| {
        targets["targets"].as_array().unwrap().iter().all(|target| target["linked"] == true)
    });
    for (arguments, said) in [
        (["--for", "0s"], "an invitation lasts from 1 s to 31 days"),
        (["--uses", "1001"], "an invitation admits 1 to 1000 peers, not 1001"),
    ] {
        host.ask(&["invite", arguments[0], arguments[1]]).exits(64).complains(said);
    }
    let drawn = host.ask(&["invite", "--qr"]).exits(0).out;
    assert!(drawn.lines().count() > 20, "{drawn}");
    let closed = self::start(&port, "[admission]\nmode = \"allow_list\"\n");
    closed.ask(&["invite"]).exits(2).complains("admission.mode is allow_list");
}

#[test]
fn lists_in_the_configuration_follow_a_reload() {
    let port = Port::claim();
    let guest = start(&port, "");
    let mut host = start(&port, "[admission]\nmode = \"allow_list\"\n");
    let address = host.ask(&["status", "--json"]).json()["listening"][0]["address"].clone();
    let number = address.as_str().unwrap().rsplit(':').next().unwrap().to_owned();
    let reach = format!(
        "beacon = false\n[[peers]]\nid = \"{}\"\naddresses = [\"127.0.0.1:{number}\"]\n",
        host.id
    );
    let mut guest = guest;
    guest.home.configure(&port, &reach);
    guest.signal(Signal::HUP);
    guest.err.until("reloaded ");
    until_reaches(&guest, &host);
    guest.ask(&["send", &host.id[..10], "x"]).exits(2);
    let status = host.ask(&["status"]).exits(1);
    status.prints("no peer is admitted yet").prints("relay   nobody may");

    let allow = format!("[admission]\nmode = \"allow_list\"\nallow = [\"{}\"]\n", guest.id);
    host.home.configure(&port, &format!("beacon = false\n{allow}"));
    host.signal(Signal::HUP);
    host.err.until("admission.allow");
    guest.ask(&["send", &host.id[..10], "now"]).exits(0);
    let block = format!("{allow}block = [\"{}\"]\n", guest.id);
    host.home.configure(&port, &format!("beacon = false\n{block}"));
    host.signal(Signal::HUP);
    host.err.until("admission.block");
    guest.ask_until(&["peers", "--json"], |answer| peer(answer, &host)["reachable"] == false);
    let admit = host.ask(&["peers", "admit", &guest.id]).exits(2);
    admit.complains("is in admission.block of the configuration; take it out there");

    // An address that the configuration no longer names is dialled no more.
    let known = |guest: &Running| {
        let targets = guest.ask(&["peers", "--addresses", "--json"]).exits(0).json();
        targets["targets"].as_array().unwrap().len()
    };
    assert_eq!(known(&guest), 1);
    guest.home.configure(&port, "beacon = false\n");
    guest.signal(Signal::HUP);
    guest.err.until("  peers: ");
    guest.ask_until(&["peers", "--addresses", "--json"], |targets| {
        targets["targets"].as_array().unwrap().is_empty()
    });
}

#[test]
fn a_damaged_file_of_decisions_stops_the_node_and_stays_as_it_is() {
    let port = Port::claim();
    let node = start(&port, "");
    node.ask(&["peers", "block", &"ab".repeat(32)]).exits(0);
    let file = node.home.join(".local/share/bitcraps/peers.toml");
    node.signal(Signal::TERM);
    let (_, home) = node.ends();
    let text = fs::read_to_string(&file).unwrap_or_else(|_| {
        fs::read_to_string(home.join(".local/share/bitcraps/peers.toml")).unwrap()
    });
    let file = home.join(".local/share/bitcraps/peers.toml");
    fs::write(&file, text.replace("blocked", "blocke")).unwrap();
    let refused = home.run(&["--config", "bitcraps.toml", "run"]).exits(2);
    refused.complains("does not hold decisions about peers").complains("unknown variant `blocke`");
    assert_eq!(fs::read_to_string(&file).unwrap(), text.replace("blocked", "blocke"));
    fs::write(&file, &text).unwrap();
    let node = Running::start_in(home, &[]);
    let peers = node.ask(&["peers", "--json"]).exits(0).json();
    assert_eq!(peers["peers"][0]["standing"], "blocked");

    // A decision that cannot be kept is not made.
    let directory = node.home.join(".local/share/bitcraps/peers.toml.new");
    fs::create_dir(&directory).unwrap();
    let refused = node.ask(&["peers", "block", &"cd".repeat(32), "--json"]).exits(2);
    assert_eq!(refused.json()["error"]["kind"], "not_decided");
    let peers = node.ask(&["peers", "--json"]).exits(0).json();
    assert_eq!(peers["peers"].as_array().unwrap().len(), 1);
}
