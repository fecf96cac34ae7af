//! Debian's Prometheus and its tools look at a running node.
//!
//! Ignored where nobody asks for it: `cargo xtask test-net` runs it, and tells when there is no Prometheus.

use std::io::{Read, Write};
use std::net::{SocketAddr, TcpStream};
use std::process::{Command, Stdio};

use serde_json::Value;

use crate::monitoring::{packaged, rules};
use crate::process::{Home, Lines, Port, Running, SOON, Ward, until_within};

/// The body of what is answered to a GET.
#[expect(clippy::unwrap_used, reason = "what fails here fails the test that calls it")]
fn get(address: SocketAddr, path: &str) -> String {
    let mut stream = TcpStream::connect(address).unwrap();
    let request = format!("GET {path} HTTP/1.0\r\nHost: {address}\r\n\r\n");
    stream.write_all(request.as_bytes()).unwrap();
    let mut answer = String::new();
    stream.read_to_string(&mut answer).unwrap();
    let (head, body) = answer.split_once("\r\n\r\n").unwrap();
    assert!(head.contains(" 200 OK"), "{head}");
    body.to_owned()
}

/// Two nodes that have exchanged a message, and where the first one shows itself.
#[expect(clippy::unwrap_used, reason = "what fails here fails the test that calls it")]
pub(crate) fn pair() -> (Running, Running, SocketAddr, Port) {
    let port = Port::claim();
    let home = Home::new();
    home.configure(&port, "[dashboard]\nlisten = \"127.0.0.1:0\"\n");
    let near = Running::start_in(home, &[]);
    let far = Running::start(&port, "");
    near.until_reaches(1);
    near.ask(&["send", &far.id[..8], "hello"]).exits(0);
    near.ask_until(&["health", "--json"], |report| report["network_topology"]["peers"] == 2);
    let shown = near.err.seen().iter().find_map(|line| line.strip_prefix("metrics at http://"));
    let address = shown.unwrap().strip_suffix("/metrics").unwrap().parse().unwrap();
    (near, far, address, port)
}

#[test]
fn metrics_are_shown_over_http_and_by_the_command() {
    let (near, _far, address, _port) = pair();
    let shown = get(address, "/metrics");
    for line in [
        format!("coordination_network_peers{{node=\"{}\"}} 2", near.id),
        format!(
            "coordination_messages_delivered_total{{class=\"critical\",node=\"{}\"}} 1",
            near.id
        ),
        "# TYPE coordination_transport_latency_seconds histogram".to_owned(),
    ] {
        assert!(shown.lines().any(|found| found == line), "no {line:?} in\n{shown}");
        near.ask(&["metrics"]).exits(0).prints(&line);
    }
    let report = near.ask(&["metrics", "--json"]).exits(0).json();
    assert_eq!(report["network"]["peers"], 2);
    assert_eq!(report["messages"]["critical"]["delivered"], 1);

    // The address of another node is no address for a second one.
    let home = Home::new();
    let other = Port::claim();
    home.configure(&other, &format!("[dashboard]\nlisten = \"{address}\"\n"));
    let refused = home.run(&["--config", "bitcraps.toml", "run"]).exits(2);
    refused.complains(&format!("dashboard.listen = \"{address}\": cannot listen there"));
}

#[test]
#[ignore = "needs Debian's prometheus: run by `cargo xtask test-net`"]
fn promtool_takes_the_rules_and_each_fires_when_it_should_and_only_then() {
    for (arguments, says) in [
        (["check", "rules", "rules.yml"], format!("{} rules found", rules().len())),
        (["test", "rules", "rules_test.yml"], "SUCCESS".to_owned()),
    ] {
        let mut promtool = Command::new("promtool");
        let checked = promtool.args(arguments).current_dir(packaged("prometheus")).output();
        let checked = checked.unwrap();
        let said = [checked.stdout, checked.stderr].map(|said| String::from_utf8(said).unwrap());
        assert!(checked.status.success() && said[0].contains(&says), "{arguments:?}: {said:?}");
    }
}

#[test]
#[ignore = "needs Debian's prometheus: run by `cargo xtask test-net`"]
fn promtool_has_nothing_to_say_and_prometheus_finds_the_node_up() {
    let (near, far, address, _port) = pair();
    let metrics = get(address, "/metrics");
    let mut promtool = Command::new("promtool");
    promtool.args(["check", "metrics"]).stdin(Stdio::piped());
    let mut promtool = promtool.stdout(Stdio::piped()).stderr(Stdio::piped()).spawn().unwrap();
    promtool.stdin.take().unwrap().write_all(metrics.as_bytes()).unwrap();
    let checked = promtool.wait_with_output().unwrap();
    let said = [checked.stdout, checked.stderr].map(|said| String::from_utf8(said).unwrap());
    assert_eq!((checked.status.code(), said), (Some(0), [String::new(), String::new()]));

    let config = format!(
        "global: {{scrape_interval: 200ms, scrape_timeout: 200ms, evaluation_interval: 200ms}}\n\
         rule_files: [{rules:?}]\nscrape_configs:\n- job_name: bitcraps\n  static_configs: \
         [{{targets: ['{address}']}}]\n",
        rules = packaged("prometheus/rules.yml")
    );
    let file = near.home.write("prometheus.yml", &config);
    // What claims the port listens at another address of loopback.
    let claimed = Port::claim();
    let web: SocketAddr = ([127, 0, 0, 2], claimed.number).into();
    let mut command = Command::new("prometheus");
    command.arg("--config.file").arg(file).arg("--storage.tsdb.path").arg(near.home.join("tsdb"));
    command.arg(format!("--web.listen-address={web}"));
    command.stdin(Stdio::null()).stdout(Stdio::null()).stderr(Stdio::piped());
    let mut prometheus = Ward(command.spawn().unwrap());
    let mut log = Lines::of(prometheus.0.stderr.take().unwrap());
    log.until("Server is ready to receive web requests");
    let value = |query: &str| -> Option<String> {
        let answer: Value =
            serde_json::from_str(&get(web, &format!("/api/v1/query?query={query}"))).unwrap();
        assert_eq!(answer["status"], "success", "{answer}");
        answer["data"]["result"][0]["value"][1].as_str().map(str::to_owned)
    };
    let is_up = || (value("up").as_deref() == Some("1")).then_some(());
    until_within(SOON, "the node is not up", is_up);
    assert_eq!(value("coordination_network_peers").as_deref(), Some("2"));
    let count = value("coordination_transport_latency_seconds_count%7Btransport=%22wifi%22%7D");
    assert_eq!(count.as_deref(), Some("1"));

    let told = || -> Value { serde_json::from_str(&get(web, "/api/v1/rules")).unwrap() };
    let health = || -> Vec<String> {
        let told = told();
        let groups = told["data"]["groups"].as_array().unwrap().iter();
        let rules = groups.flat_map(|group| group["rules"].as_array().unwrap());
        rules.map(|rule| rule["health"].as_str().unwrap().to_owned()).collect()
    };
    until_within(SOON, "rules are not evaluated", || {
        let health = health();
        (health.len() == rules().len() && health.iter().all(|health| health == "ok")).then_some(())
    });
    let fires = "ALERTS%7Balertname=%22PeerLost%22,alertstate=%22firing%22%7D";
    assert_eq!(value(fires), None);
    drop(far);
    let fires = || (value(fires).as_deref() == Some("1")).then_some(());
    until_within(SOON, "nobody misses the peer that is gone", fires);
}
