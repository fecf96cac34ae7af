//! Three processes in a row: the ends share no link.

#![expect(clippy::unwrap_used, reason = "the lint knows test functions only, not what they call")]

use serde_json::{Value, json};

use crate::process::{Port, Running};

struct Row {
    ends: [Running; 2],
    middle: Running,
    _ports: [Port; 2],
}

impl Row {
    fn new() -> Self {
        let ports = [Port::claim(), Port::claim()];
        let ends = [Running::start(&ports[0], ""), Running::start(&ports[1], "")];
        let status = ends[1].ask(&["status", "--json"]).json();
        let listening = status["listening"].as_array().unwrap();
        let lan = listening.iter().find(|place| place["transport"] == "wifi").unwrap();
        let peer =
            format!("[[peers]]\nid = \"{}\"\naddresses = [{}]\n", ends[1].id, lan["address"]);
        let middle = Running::start(&ports[0], &peer);
        Self { ends, middle, _ports: ports }
    }
}

fn links(report: &Value) -> usize {
    report["links"].as_array().unwrap().len()
}

#[test]
fn every_node_sees_links_that_are_not_its_own() {
    let Row { ends: [near, far], middle, _ports } = Row::new();
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
    let Row { ends: [near, mut far], middle, _ports } = Row::new();
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
