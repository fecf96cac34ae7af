//! Three processes in a row: the ends share no link.

#![expect(clippy::unwrap_used, reason = "the lint knows test functions only, not what they call")]

use std::time::Duration;

use rustix::process::Signal;
use serde_json::{Value, json};

use crate::process::{Port, Running, now};

pub(crate) struct Row {
    pub(crate) ends: [Running; 2],
    pub(crate) middle: Running,
    pub(crate) ports: [Port; 2],
}

impl Row {
    pub(crate) fn new() -> Self {
        let ports = [Port::claim(), Port::claim()];
        let ends = [Running::start(&ports[0], ""), Running::start(&ports[1], "")];
        let middle = Running::start(&ports[0], &table(&ends[1]));
        Self { ends, middle, ports }
    }
}

/// How a configuration names a node as a peer.
fn table(node: &Running) -> String {
    let status = node.ask(&["status", "--json"]).json();
    let listening = status["listening"].as_array().unwrap();
    let lan = listening.iter().find(|place| place["transport"] == "wifi").unwrap();
    format!("[[peers]]\nid = \"{}\"\naddresses = [{}]\n", node.id, lan["address"])
}

pub(crate) fn links(report: &Value) -> usize {
    report["links"].as_array().unwrap().len()
}

#[test]
fn every_node_sees_links_that_are_not_its_own() {
    let Row { ends: [near, far], middle, ports: _ports } = Row::new();
    let report = near.ask_until(&["topology", "--json"], |report| links(report) == 2);
    assert_eq!(report["node"], near.id);
    let shape = (&report["components"], &report["largest_component"], &report["diameter"]);
    assert_eq!(shape, (&json!(1), &json!(3), &json!(2)));
    let own = |link: &&Value| link["a"] == near.id || link["b"] == near.id;
    let all = report["links"].as_array().unwrap();
    assert_eq!(all.iter().filter(own).count(), 1);
    let distant = all.iter().find(|link| !own(link)).unwrap();
    assert_eq!((&distant["transport"], &distant["verified"]), (&json!("wifi"), &json!(false)));
    let points: Vec<_> = report["peers"]
        .as_array()
        .unwrap()
        .iter()
        .filter(|peer| peer["articulation_point"] == true)
        .map(|peer| peer["peer"].clone())
        .collect();
    assert_eq!(points, [json!(middle.id)]);

    let text = near.ask(&["topology"]).exits(0).prints("3 peers and 2 links seen; 1 part");
    text.prints("own measure").prints("both ends, unverified").prints("single point of failure");
    near.ask(&["topology", "--format", "dot"]).exits(0).prints("graph network {");
    let netjson = near.ask(&["topology", "--format", "netjson"]).exits(0);
    let file = near.home.write("network.json", &netjson.out);
    let analysed = near.home.run(&["analyze", file.to_str().unwrap(), "--json"]).exits(0).json();
    assert_eq!((&analysed["peers"], &analysed["links"]), (&json!(3), &json!(2)));

    let path = near.ask(&["path", &far.id[..8], "--json"]).exits(0).json();
    let hops: Vec<_> =
        path["ways"][0]["hops"].as_array().unwrap().iter().map(|h| &h["to"]).collect();
    assert_eq!(hops, [&json!(middle.id), &json!(far.id)]);
    near.ask(&["path", &far.id[..8]]).exits(0).prints("way 1: 2 hops");
    near.ask(&["path", &"ab".repeat(32)]).exits(2).prints("no way to abababab");
}

#[test]
fn a_message_crosses_a_relay_and_a_ping_names_it() {
    let Row { ends: [near, mut far], middle, ports: _ports } = Row::new();
    near.ask_until(&["topology", "--json"], |report| links(report) == 2);
    far.ask_until(&["topology", "--json"], |report| links(report) == 2);
    let start = &far.id[..8];
    let sent = near.ask(&["send", start, "across the table"]).exits(0);
    assert!(sent.out.starts_with(&format!("delivered to {}", &far.id[..10])), "{}", sent.out);
    let line = format!("{} critical: across the table", &near.id[..10]);
    assert_eq!(far.out.until("across the table"), line);
    let ping = near.ask(&["ping", start, "-c", "2", "--interval", "0"]).exits(0);
    ping.prints("2 messages, 2 confirmed");
    // The relay has links with both, and neither message.
    let status = middle.ask(&["status", "--json"]).json();
    assert_eq!(status["counters"]["delivered"], 0, "{status}");

    let back = far.ask(&["ping", &near.id[..8]]).exits(0);
    back.prints("end ack    ok");
}

#[test]
fn the_health_of_a_row_names_what_it_depends_on_and_a_split_is_told() {
    let Row { ends: [near, far], middle, ports: _ports } = Row::new();
    let whole = |report: &Value| report["network_topology"]["peers"] == 3;
    let report = near.ask_until(&["health", "--json"], whole);
    let health = &report["network_topology"];
    assert_eq!((&health["links"], &health["network_diameter"]), (&json!(2), &json!(2)));
    assert_eq!((&health["articulation_points"], &health["bridges"]), (&json!(1), &json!(2)));
    assert_eq!(
        (&report["overall_status"], &report["betting"]),
        (&json!("healthy"), &json!("open"))
    );
    let pairs = &report["recommendations"][0]["change"]["AddRedundantConnections"][0];
    let mut named = [pairs[0].clone(), pairs[1].clone()];
    named.sort_by_key(ToString::to_string);
    let mut ends = [json!(near.id), json!(far.id)];
    ends.sort_by_key(ToString::to_string);
    assert_eq!(named, ends);
    near.ask(&["health"]).exits(0).prints("1 peer and 2 links");
    let advice = near.ask(&["recommend", "--json"]).exits(0).json();
    let first = &advice["recommendations"][0];
    assert_eq!((&first["before"], &first["after"]), (&json!(1.0), &json!(0.0)), "{advice}");
    let pair = &first["change"]["AddRedundantConnections"][0];
    assert!(ends.contains(&pair[0]) && ends.contains(&pair[1]), "{advice}");
    near.ask(&["recommend"]).exits(0).prints("Consider adding redundant connections");
    near.ask(&["alerts"]).exits(0).prints("nothing is wrong");

    let silence = ["alerts", "silence", "peerlost", "--author", "ann", "--comment", "known"];
    near.ask(&silence).exits(0).prints("SILENCE").prints("ann");
    near.ask(&["alerts", "silence", "nothing", "--author", "ann"])
        .exits(2)
        .complains("PartitionRisk");
    near.ask(&["alerts", "unsilence", "7"]).exits(2).complains("no silence has the number 7");

    drop(middle);
    let fires = |report: &Value, kind: &str| {
        let alerts = report["alerts"].as_array();
        alerts.is_some_and(|alerts| {
            alerts.iter().any(|alert| alert["kind"] == kind && alert["state"] == "firing")
        })
    };
    let lost = near.ask_until(&["alerts", "--json"], |report| fires(report, "PeerLost"));
    let alerts = lost["alerts"].as_array().unwrap();
    let alert = alerts.iter().find(|alert| alert["kind"] == "PeerLost").unwrap();
    assert_eq!(alert["muted"], json!({ "silenced": 1 }));
    let name = alert["name"].as_str().unwrap();
    near.ask(&["alerts", "ack", name, "--author", "bob"]).exits(0).prints("seen by bob");
    near.ask(&["alerts", "ack", "0", "--author", "bob"]).exits(2).complains("no alert of the name");
    // The middle cannot say any more that it is gone: what is beyond it is another part.
    near.ask(&["health"]).exits(2).prints("health      critical");
}

#[test]
fn the_exit_code_of_health_is_a_warning_when_the_only_peer_is_lost() {
    let port = Port::claim();
    let [near, far] = [0; 2].map(|_| Running::start(&port, ""));
    // Whom no look has seen cannot be missed.
    near.ask_until(&["health", "--json"], |report| report["network_topology"]["peers"] == 2);
    far.signal(Signal::TERM);
    assert_eq!(far.ends().0, Some(0));
    let fires = |report: &Value| {
        let mut alerts = report["alerts"].as_array().unwrap().iter();
        alerts.any(|alert| alert["kind"] == "PeerLost" && alert["state"] == "firing")
    };
    near.ask_until(&["alerts", "--json"], fires);
    near.ask(&["health"]).exits(1).prints("health      warning").prints("PeerLost");
}

#[test]
fn the_loss_of_what_joins_two_parts_is_told_within_a_second() {
    let ports = [Port::claim(), Port::claim()];
    let [near, _beside] = [0; 2].map(|_| Running::start(&ports[0], ""));
    let [far, _beyond] = [0; 2].map(|_| Running::start(&ports[1], ""));
    let middle = Running::start(&ports[0], &table(&far));
    near.ask_until(&["health", "--json"], |report| {
        let health = &report["network_topology"];
        (&health["peers"], &health["components"]) == (&json!(5), &json!(1))
    });
    // While they met, the network was in parts: that alert ends ten seconds later.
    near.ask_until(&["alerts", "--json"], |report| {
        let alerts = report["alerts"].as_array().unwrap();
        alerts.iter().all(|alert| alert["kind"] != "NetworkPartitioned")
    });
    middle.signal(Signal::TERM);
    assert_eq!(middle.ends().0, Some(0));
    let lost = now();
    let split = |report: &Value| -> Option<u64> {
        let alerts = report["alerts"].as_array()?;
        let split = alerts.iter().find(|alert| alert["kind"] == "NetworkPartitioned")?;
        (split["state"] == "firing").then(|| split["for_ms"].as_u64())?
    };
    let told = near.ask_until(&["alerts", "--json"], |report| split(report).is_some());
    let fired = Duration::from_millis(split(&told).unwrap());
    let took = lost.elapsed().saturating_sub(fired);
    assert!(took <= Duration::from_secs(1), "{took:?}");
    let critical = near.ask(&["health"]).exits(2);
    critical.prints("health      critical").prints("NetworkPartitioned");
}

#[test]
fn a_node_tells_what_would_heal_the_network_and_does_it_when_told_to() {
    const TIMID: &str = "[healing]\nenabled = false\nlink_discovered = false\n\
        [coordination.network_monitor]\nhealth_check_interval_seconds = 1\n\
        partition_risk_alert_threshold = 0.01\n";
    let port = Port::claim();
    let [near, far] = [0, 1].map(|_| Running::start(&port, TIMID));
    let middle = Running::start(&port, &format!("{}{}{TIMID}", table(&near), table(&far)));
    let planned = |report: &Value| report["plans"].as_array().is_some_and(|p| !p.is_empty());
    let report = near.ask_until(&["heal", "--plan", "--json"], planned);
    let link = &report["plans"][0]["links"][0];
    let ends = [near.id.clone().min(far.id.clone()), near.id.clone().max(far.id.clone())];
    assert_eq!([&link["a"], &link["b"]], [&json!(ends[0]), &json!(ends[1])]);
    assert_eq!((&link["owner"], &link["promised"]), (&json!(near.id), &json!(0.0)));
    let text = near.ask(&["heal"]).exits(0).prints("against high partition risk");
    text.prints("this node").prints("`bitcraps heal --apply` makes those of this node now");
    let game = near.ask(&["game", "host", &middle.id[..8]]).exits(0);
    game.prints("links with the host that could be made: none");
    assert_eq!(near.ask(&["heal", "--json"]).json()["repairs"], json!([]), "asking makes nothing");

    near.ask(&["heal", "--apply"]).exits(0).prints("being made");
    let up = |report: &Value| report["repairs"][0]["outcome"] == "linked";
    near.ask_until(&["heal", "--json"], up);
    near.ask_until(&["topology", "--json"], |report| links(report) == 3);
    near.ask_until(&["heal", "--json"], |report| !planned(report));
    near.ask(&["heal"]).exits(0).prints("the network needs no link").prints("up");
}
