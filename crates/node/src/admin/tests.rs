use std::fs;
use std::io::{BufRead, BufReader, Read, Write};
use std::os::unix::net::{UnixListener, UnixStream};
use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::time::Duration;

use bitcraps_coordinator::{Inbox, Machine, Notice};
use bitcraps_transport_api::mock::{MockHandle, MockNetwork};
use bitcraps_transport_api::{ConnectTarget, Transport};
use bitcraps_types::{
    Epoch, Hint, HintSource, LinkId, Medium, PeerId, TrafficClass, TransportType,
};
use serde_json::json;

use super::*;
use crate::{Config, Environment, Identity};

/// Longest wait for what is bound to happen.
const SOON: Duration = Duration::from_secs(10);

/// Two nodes over a mock, the near one with an admin socket.
struct Pair {
    near: Arc<Node>,
    far: Option<Node>,
    far_peer: PeerId,
    handle: MockHandle,
    admin: Admin,
    home: tempfile::TempDir,
}

struct Setup {
    linked: bool,
    far: bool,
}

impl Pair {
    async fn linked() -> Self {
        let pair = Self::new(&Setup { linked: true, far: true }).await;
        pair.until_ready().await;
        pair
    }

    async fn new(setup: &Setup) -> Self {
        let home = tempfile::tempdir().unwrap();
        let [near, far] = [1, 2].map(|byte| Identity::from_seed(&[byte; 32]));
        let far_peer = far.peer_id();
        let (near_end, far_end, handle) =
            MockNetwork::new(TransportType::WiFiDirect, near.peer_id(), far_peer)
                .link_on_start(setup.linked)
                .pair();
        let far = if setup.far {
            let far = Node::builder(&far, Epoch(7)).transport(Arc::new(far_end));
            Some(far.start().await.unwrap())
        } else {
            None
        };
        let near_end: Arc<dyn Transport> = Arc::new(near_end);
        let near = Node::builder(&near, Epoch(3)).transport(near_end).start().await.unwrap();
        let near = Arc::new(near);
        let file = home.path().join("bitcraps.toml");
        fs::write(&file, "[node]\nname = \"near\"\n").unwrap();
        let environment = Environment::from_iter([("HOME", home.path())]);
        let config = Config::load(Some(&file), &environment).unwrap();
        let follow: Follow = Box::new(|config| match config.log().filter.as_str() {
            "nonsense" => Err("no such filter".to_owned()),
            _ => Ok(()),
        });
        let live =
            Arc::new(LiveConfig::new(Arc::clone(&near), Some(file), environment, config, follow));
        let admin = Admin::start(&near, &live, &home.path().join("admin.sock")).unwrap();
        Self { near, far, far_peer, handle, admin, home }
    }

    async fn until_ready(&self) {
        let mut notices = self.near.notices();
        let ready = async {
            while !self.near.peers().iter().any(|p| p.links.iter().any(|l| l.ready)) {
                drop(notices.recv().await);
            }
        };
        tokio::time::timeout(SOON, ready).await.unwrap();
    }

    fn far_inbox(&self) -> Inbox {
        self.far.as_ref().unwrap().inbox()
    }

    fn hear_of(&self, target: ConnectTarget) {
        let hint = Hint { target, source: HintSource::Beacon };
        self.near.with(|engine, now| engine.discovered(hint, now));
    }

    fn path(&self) -> PathBuf {
        self.admin.path().to_owned()
    }

    /// Asks from a thread of its own, as the client blocks.
    async fn ask(&self, asked: Request) -> Result<Response, AdminError> {
        let path = self.path();
        tokio::task::spawn_blocking(move || request(&path, &asked)).await.unwrap()
    }

    async fn refusal(&self, asked: Request) -> (RefusalKind, String) {
        match self.ask(asked).await.unwrap_err() {
            AdminError::Refused(refusal) => (refusal.kind, refusal.message),
            other => panic!("{other:?}"),
        }
    }

    async fn ping(&self, count: u32) -> PingReport {
        let peer = self.far_peer.to_string();
        match self.ask(Request::Ping { peer, count }).await.unwrap() {
            Response::Ping(report) => report,
            other => panic!("{other:?}"),
        }
    }

    async fn send(&self, ack: Ack, deadline_ms: u64, wait: bool) -> OutcomeReport {
        let request = Request::Send {
            peer: self.far_peer.short(),
            class: TrafficClass::Critical,
            payload: "hello".to_owned(),
            ack,
            deadline_ms: Some(deadline_ms),
            wait,
        };
        match self.ask(request).await.unwrap() {
            Response::Send(report) => {
                assert_eq!((report.peer, report.bytes, report.ack), (self.far_peer, 5, ack));
                report.outcome
            }
            other => panic!("{other:?}"),
        }
    }
}

fn stages(report: &PingReport) -> Vec<(Stage, bool)> {
    report.stages.iter().map(|stage| (stage.stage, stage.passed)).collect()
}

fn known(report: &PingReport, stage: Stage) -> String {
    let found = report.stages.iter().find(|s| s.stage == stage).unwrap();
    found.known.join("\n")
}

fn peer_report(links: &[(bool, Trust)]) -> PeerReport {
    let link = |(number, (ready, tier)): (usize, &(bool, Trust))| LinkSummary {
        link: number as u64,
        transport: TransportType::WiFiDirect,
        medium: Medium::Loopback,
        ready: *ready,
        tier: *tier,
        rtt_us: None,
    };
    PeerReport {
        peer: PeerId::from_bytes([0xaa; 32]),
        epoch: None,
        reachable: links.iter().any(|(ready, tier)| *ready && *tier != Trust::Down),
        links: links.iter().enumerate().map(link).collect(),
        unsettled: Default::default(),
        standing: Standing::Admitted,
        may_relay: true,
        shut_out: None,
    }
}

#[test]
fn health_is_the_worst_of_what_is_known() {
    let good = || peer_report(&[(true, Trust::Good)]);
    let gone = || peer_report(&[]);
    let with = |tier| peer_report(&[(true, Trust::Good), (true, tier)]);
    let unreachable = "peer aaaaaaaaaa is not reachable";
    let link = |state| format!("link #1 (wifi) to aaaaaaaaaa is {state}");
    let rows = [
        ("nobody", vec![], Health::Warning, vec!["no peer is known yet".to_owned()]),
        ("one peer", vec![good()], Health::Healthy, vec![]),
        ("below threshold", vec![with(Trust::BelowThreshold)], Health::Healthy, vec![]),
        ("one-way", vec![with(Trust::OneWay)], Health::Warning, vec![link("one-way")]),
        ("suspect", vec![with(Trust::Suspect)], Health::Warning, vec![link("suspect")]),
        ("down", vec![with(Trust::Down)], Health::Warning, vec![link("down")]),
        (
            "a link that is greeting",
            vec![peer_report(&[(true, Trust::Good), (false, Trust::Suspect)])],
            Health::Healthy,
            vec![],
        ),
        ("one of two gone", vec![good(), gone()], Health::Warning, vec![unreachable.to_owned()]),
        ("the only one gone", vec![gone()], Health::Critical, vec![unreachable.to_owned()]),
        (
            "the only link down",
            vec![peer_report(&[(true, Trust::Down)])],
            Health::Critical,
            vec![unreachable.to_owned(), "link #0 (wifi) to aaaaaaaaaa is down".to_owned()],
        ),
    ];
    for (name, peers, expected, findings) in rows {
        assert_eq!(health(&peers), (expected, findings), "{name}");
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn a_running_node_tells_what_it_knows() {
    let pair = Pair::linked().await;
    let Response::Status(status) = pair.ask(Request::Status).await.unwrap() else { panic!() };
    assert_eq!((status.node, status.epoch), (pair.near.id(), 3));
    assert_eq!((status.name.as_deref(), status.pid), (Some("near"), std::process::id()));
    assert_eq!((status.health, status.findings), (Health::Healthy, vec![]));
    let file = pair.home.path().join("bitcraps.toml").display().to_string();
    assert_eq!(status.config_file, Some(file.clone()));
    assert_eq!(status.counters.len(), 20);
    assert_eq!(status.transports.len(), TransportType::COUNT);

    let Response::Peers(peers) = pair.ask(Request::Peers).await.unwrap() else { panic!() };
    assert_eq!(peers.peers.len(), 1);
    let peer = &peers.peers[0];
    assert_eq!((peer.peer, peer.epoch, peer.reachable), (pair.far_peer, Some(7), true));
    assert_eq!(peer.unsettled.values().sum::<usize>(), 0);

    let Response::Links(links) = pair.ask(Request::Links { peer: None }).await.unwrap() else {
        panic!()
    };
    assert_eq!(links.links.len(), 1);
    let link = &links.links[0];
    assert_eq!(link.summary.medium, Medium::Emulated);
    assert_eq!((link.summary.ready, link.summary.tier), (true, Trust::Good));
    let path = pair.near.links()[0].path();
    assert_eq!(
        (link.local.as_ref(), link.remote.as_ref()),
        (Some(&path.local), Some(&path.remote))
    );

    let Response::Config(config) = pair.ask(Request::Config).await.unwrap() else { panic!() };
    let name = config.entries.iter().find(|entry| entry.key == "node.name").unwrap();
    assert_eq!((name.value.as_str(), name.origin.clone()), ("\"near\"", format!("{file}:2:1")));

    pair.hear_of(pair.handle.far_target());
    let Response::Targets(targets) = pair.ask(Request::Targets).await.unwrap() else { panic!() };
    let target = targets.targets.iter().find(|t| t.peer == pair.far_peer).unwrap();
    assert_eq!(target.address, pair.handle.far_target().address.as_str());
}

#[tokio::test(flavor = "multi_thread")]
async fn why_shows_the_inputs_and_says_where_there_are_none() {
    let pair = Pair::linked().await;
    let _inbox = pair.far_inbox();
    let why = async || {
        let peer = pair.far_peer.to_string()[..4].to_owned();
        match pair.ask(Request::Why { peer }).await.unwrap() {
            Response::Why(report) => report,
            other => panic!("{other:?}"),
        }
    };
    let before = why().await;
    assert_eq!(before.decisions, []);
    let link = before.links[0].summary.link;
    let order: Vec<_> = before.preferences.iter().map(|p| (p.class, p.order.clone())).collect();
    assert_eq!(order, TrafficClass::ALL.map(|class| (class, vec![link])));

    pair.send(Ack::Peer, 5_000, true).await;
    let after = why().await;
    assert_eq!(after.decisions.len(), 1);
    let decision = &after.decisions[0];
    assert_eq!((decision.class, decision.attempt), (TrafficClass::Critical, 1));
    assert_eq!((decision.policy.as_str(), decision.bytes), ("MostReliable", 5));
    assert_eq!((decision.incumbent, decision.chosen), (None, link));
    assert_eq!(decision.ceiling_us, 2_000_000);
    let contender = &decision.contenders[0];
    assert_eq!((contender.link, contender.chosen, contender.tier), (link, true, Trust::Good));
    let expected = pair.near.decisions(pair.far_peer)[0].contenders()[0];
    assert_eq!(contender.cost, expected.score.cost);
    assert_eq!(contender.latency_us, expected.candidate.latency_us[0]);
    assert_eq!(contender.size_bucket, "small");
}

#[tokio::test(flavor = "multi_thread")]
async fn an_input_without_a_measurement_is_no_number() {
    let pair = Pair::new(&Setup { linked: false, far: true }).await;
    pair.handle.set_black_hole(true);
    pair.hear_of(pair.handle.far_target());
    let up = async {
        while pair.near.links().is_empty() {
            tokio::task::yield_now().await
        }
    };
    tokio::time::timeout(SOON, up).await.unwrap();
    let peer = pair.far_peer.short();
    let Response::Why(report) = pair.ask(Request::Why { peer }).await.unwrap() else { panic!() };
    let inputs = &report.links[0].inputs;
    for name in ["smoothed_rtt_us", "delivery_lower_bound", "goodput_kbps"] {
        let input = inputs.iter().find(|input| input.name == name).unwrap();
        assert_eq!((input.value, input.samples), (None, 0), "{name}");
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn a_message_s_outcome_is_told() {
    let pair = Pair::linked().await;
    let mut inbox = pair.far_inbox();
    let OutcomeReport::Delivered { level, attempts, .. } = pair.send(Ack::Peer, 5_000, true).await
    else {
        panic!()
    };
    assert_eq!((level, attempts), (Ack::Peer, 1));
    assert_eq!(inbox.recv().await.unwrap().payload, "hello");

    let (applied, ()) = tokio::join!(pair.send(Ack::Applied, 5_000, true), async {
        let delivery = inbox.recv().await.unwrap();
        inbox.answer(delivery.id, true);
    });
    assert!(matches!(applied, OutcomeReport::Delivered { level: Ack::Applied, .. }), "{applied:?}");
    let (refused, ()) = tokio::join!(pair.send(Ack::Applied, 5_000, true), async {
        let delivery = inbox.recv().await.unwrap();
        inbox.answer(delivery.id, false);
    });
    let why = "refused by the destination's application".to_owned();
    assert_eq!(refused, OutcomeReport::Rejected { why });

    assert_eq!(pair.send(Ack::Peer, 5_000, false).await, OutcomeReport::Unsettled);
    assert_eq!(inbox.recv().await.unwrap().payload, "hello", "it was sent all the same");

    pair.handle.set_black_hole(true);
    let lost = pair.send(Ack::Peer, 300, true).await;
    let link = pair.near.links()[0].id().0;
    let tried = vec![TriedReport { link, transport: TransportType::WiFiDirect }];
    assert_eq!(lost, OutcomeReport::Unknown { tried });
}

#[tokio::test(flavor = "multi_thread")]
async fn what_is_not_done_is_refused_with_its_kind() {
    let pair = Pair::linked().await;
    let send = |peer: &str, deadline_ms| Request::Send {
        peer: peer.to_owned(),
        class: TrafficClass::Bulk,
        payload: String::new(),
        ack: Ack::Peer,
        deadline_ms,
        wait: true,
    };
    let stranger = "ab".repeat(32);
    let (kind, message) = pair.refusal(send(&stranger, None)).await;
    assert_eq!(kind, RefusalKind::NotSent);
    let expected =
        "no route to ababababab: no link with it was ever up and no address of it is known";
    assert!(message.starts_with(expected), "{message}");
    let known = pair.far_peer.to_string();
    let (kind, message) = pair.refusal(send(&known, Some(86_400_001))).await;
    assert_eq!(kind, RefusalKind::NotSent);
    assert_eq!(message, "deadline of 86400.001s exceeds the longest of 86400s");
    assert_eq!(pair.refusal(send("abcd", None)).await.0, RefusalKind::UnknownPeer);
    assert_eq!(pair.refusal(send("x", None)).await.0, RefusalKind::BadPeer);
    for count in [0, 101] {
        let (kind, message) = pair.refusal(Request::Ping { peer: known.clone(), count }).await;
        assert_eq!(kind, RefusalKind::BadRequest);
        assert_eq!(message, format!("a ping sends 1 to 100 messages, not {count}"));
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn a_ping_of_a_peer_that_answers_passes_every_stage() {
    let pair = Pair::linked().await;
    let _inbox = pair.far_inbox();
    let report = pair.ping(100).await;
    let all = [Stage::Address, Stage::Handshake, Stage::Admission, Stage::HopAck, Stage::EndAck];
    assert_eq!(stages(&report), all.map(|stage| (stage, true)));
    assert_eq!((report.failed, report.sent, report.replies.len()), (None, 100, 100));
    assert_eq!(known(&report, Stage::Admission), "the peer is in its epoch 7");
    assert_eq!(known(&report, Stage::EndAck), "100 of 100 messages confirmed");
    assert_eq!(report.replies[99].number, 100);
}

#[tokio::test(flavor = "multi_thread")]
async fn a_ping_fails_at_the_address_of_a_peer_nobody_heard_of() {
    let pair = Pair::new(&Setup { linked: false, far: false }).await;
    let report = pair.ping(1).await;
    assert_eq!(stages(&report), [(Stage::Address, false)]);
    assert_eq!((report.failed, report.sent), (Some(Stage::Address), 0));
    let why = known(&report, Stage::Address);
    assert!(why.starts_with("no address is known: no beacon or mDNS answer"), "{why}");
}

#[tokio::test(flavor = "multi_thread")]
async fn a_ping_fails_at_the_handshake_of_a_peer_that_cannot_be_dialled() {
    let pair = Pair::new(&Setup { linked: false, far: true }).await;
    pair.handle.go_down();
    pair.hear_of(pair.handle.far_target());
    let report = pair.ping(1).await;
    assert_eq!(stages(&report), [(Stage::Address, true), (Stage::Handshake, false)]);
    let target = pair.handle.far_target();
    let why = known(&report, Stage::Handshake);
    let nobody = format!("nobody answered at {}", target.address);
    assert!(why.starts_with(&nobody), "{why}");
}

#[tokio::test(flavor = "multi_thread")]
async fn a_ping_dials_a_peer_that_has_no_link_yet() {
    let pair = Pair::new(&Setup { linked: false, far: true }).await;
    let _inbox = pair.far_inbox();
    pair.handle.go_down();
    pair.hear_of(pair.handle.far_target());
    pair.ping(1).await;
    // The dialer waits now; the ping does not.
    pair.handle.come_up();
    let report = pair.ping(1).await;
    assert_eq!((report.failed, report.replies.len()), (None, 1));
}

#[tokio::test(flavor = "multi_thread")]
async fn a_ping_fails_at_the_admission_by_a_node_that_does_not_greet() {
    let pair = Pair::new(&Setup { linked: false, far: true }).await;
    pair.handle.set_black_hole(true);
    pair.hear_of(pair.handle.far_target());
    let report = pair.ping(1).await;
    let passed = [(Stage::Address, true), (Stage::Handshake, true), (Stage::Admission, false)];
    assert_eq!(stages(&report), passed);
    let why = known(&report, Stage::Admission);
    assert!(why.contains("its node sent no greeting within 3 s"), "{why}");
}

#[tokio::test(flavor = "multi_thread")]
async fn a_ping_fails_at_the_hop_of_a_link_that_swallows_frames() {
    let pair = Pair::linked().await;
    let _inbox = pair.far_inbox();
    pair.handle.set_black_hole(true);
    let report = pair.ping(1).await;
    assert_eq!((report.failed, report.sent), (Some(Stage::HopAck), 1));
    assert_eq!(report.stages.len(), 4);
    let why = known(&report, Stage::HopAck);
    let link = pair.near.links()[0].id();
    assert!(why.starts_with(&format!("no answer over {link} (wifi)\nlink {link} gave")), "{why}");
}

#[tokio::test(flavor = "multi_thread")]
async fn a_ping_fails_at_the_end_where_no_application_takes_messages() {
    let pair = Pair::linked().await;
    let report = pair.ping(1).await;
    assert_eq!((report.failed, report.sent), (Some(Stage::EndAck), 1));
    assert_eq!(report.stages.len(), 5);
    let why = known(&report, Stage::EndAck);
    assert!(why.contains("its application may not take any"), "{why}");
}

#[tokio::test(flavor = "multi_thread")]
async fn a_reload_tells_what_changed_and_a_wrong_one_changes_nothing() {
    let pair = Pair::linked().await;
    let file = pair.home.path().join("bitcraps.toml");
    let aware = || pair.near.with(|engine, _| engine.core().config().energy_aware);
    let changed = "[node]\nname = \"other\"\n[coordination.transport]\nenergy_aware_mode = false\n";
    fs::write(&file, changed).unwrap();
    let Response::Reload(report) = pair.ask(Request::Reload).await.unwrap() else { panic!() };
    let told: Vec<_> =
        report.changes.iter().map(|c| (c.key.as_str(), c.new.as_str(), c.needs_restart)).collect();
    let expected = [
        ("coordination.transport.energy_aware_mode", "false", false),
        ("node.name", "\"other\"", true),
    ];
    assert_eq!(told, expected);
    assert!(!aware());

    fs::write(&file, "[coordination.transport]\nenergy_aware_mod = true\n").unwrap();
    let (kind, message) = pair.refusal(Request::Reload).await;
    assert_eq!(kind, RefusalKind::BadConfig);
    assert!(
        message.contains(":2:1: unknown key `coordination.transport.energy_aware_mod`"),
        "{message}"
    );
    fs::write(&file, "[log]\nfilter = \"nonsense\"\n").unwrap();
    let refused = (RefusalKind::BadConfig, "no such filter".to_owned());
    assert_eq!(pair.refusal(Request::Reload).await, refused);
    assert!(!aware(), "what the process cannot follow is not half in force");

    fs::write(&file, changed).unwrap();
    let Response::Reload(report) = pair.ask(Request::Reload).await.unwrap() else { panic!() };
    assert_eq!(report.changes, [], "the refused ones left no trace");
}

#[tokio::test(flavor = "multi_thread")]
async fn who_waits_is_answered_when_the_node_stops_and_the_socket_goes() {
    let pair = Pair::linked().await;
    pair.handle.set_black_hole(true);
    let peer = pair.far_peer;
    let path = pair.path();
    let (asked, waited) = {
        let mut stream = UnixStream::connect(&path).unwrap();
        let send = json!({
            "schema": 1, "request": "send", "peer": peer, "class": "critical", "payload": "x",
            "deadline_ms": 60_000, "wait": true,
        });
        writeln!(stream, "{send}").unwrap();
        (stream.try_clone().unwrap(), stream)
    };
    let taken = async {
        while pair.near.peers()[0].unsettled.iter().sum::<usize>() == 0 {
            tokio::task::yield_now().await;
        }
    };
    tokio::time::timeout(SOON, taken).await.unwrap();
    pair.near.shutdown().await;
    pair.admin.shutdown().await;
    drop(asked);
    let mut line = String::new();
    BufReader::new(waited).read_line(&mut line).unwrap();
    let answer: serde_json::Value = serde_json::from_str(&line).unwrap();
    assert_eq!(answer["answer"], "send", "{answer}");
    assert_eq!(answer["outcome"], "unknown", "{answer}");
    assert!(!path.exists());
    assert_eq!(request(&path, &Request::Status), Err(AdminError::NoNode(path)));
}

fn ask_raw(path: &Path, text: &[u8]) -> Vec<serde_json::Value> {
    let mut stream = UnixStream::connect(path).unwrap();
    stream.set_read_timeout(Some(SOON)).unwrap();
    stream.write_all(text).unwrap();
    stream.shutdown(std::net::Shutdown::Write).unwrap();
    let lines = BufReader::new(stream).lines();
    lines.map(|line| serde_json::from_str(&line.unwrap()).unwrap()).collect()
}

#[tokio::test(flavor = "multi_thread")]
async fn a_client_may_ask_again_until_it_talks_nonsense() {
    let pair = Pair::linked().await;
    let path = pair.path();
    let answers = tokio::task::spawn_blocking(move || {
        let text = "{\"schema\":1,\"request\":\"peers\"}\n{\"schema\":1,\"request\":\"targets\"}\n\
                    nonsense\n{\"schema\":1,\"request\":\"peers\"}\n";
        ask_raw(&path, text.as_bytes())
    });
    let answers = answers.await.unwrap();
    let kinds: Vec<_> = answers.iter().map(|a| a["answer"].as_str().unwrap()).collect();
    assert_eq!(kinds, ["peers", "targets", "refused"]);
    assert_eq!(answers[2]["kind"], "bad_request");
    assert!(answers.iter().all(|answer| answer["schema"] == 1));
}

#[tokio::test(flavor = "multi_thread")]
async fn more_clients_than_are_served_are_turned_away() {
    let pair = Pair::linked().await;
    let path = pair.path();
    let crowd: Vec<_> = (0..MAX_CLIENTS).map(|_| UnixStream::connect(&path).unwrap()).collect();
    let (kind, message) = pair.refusal(Request::Status).await;
    assert_eq!(
        (kind, message.as_str()),
        (RefusalKind::Busy, "64 clients are served already; try again")
    );
    drop(crowd);
    let served =
        async { while matches!(pair.ask(Request::Status).await, Err(AdminError::Refused(_))) {} };
    tokio::time::timeout(SOON, served).await.unwrap();
}

#[tokio::test(flavor = "multi_thread")]
async fn a_client_that_leaves_gives_up_its_place() {
    let pair = Pair::linked().await;
    pair.handle.set_black_hole(true);
    let path = pair.path();
    let ping = json!({ "schema": 1, "request": "ping", "peer": pair.far_peer, "count": 100 });
    let waiting: Vec<_> = (0..MAX_CLIENTS)
        .map(|_| {
            let mut stream = UnixStream::connect(&path).unwrap();
            writeln!(stream, "{ping}").unwrap();
            stream
        })
        .collect();
    drop(waiting);
    let served =
        async { while matches!(pair.ask(Request::Status).await, Err(AdminError::Refused(_))) {} };
    tokio::time::timeout(SOON, served).await.unwrap();
}

#[tokio::test(start_paused = true)]
async fn a_client_that_says_nothing_is_let_go() {
    let pair = Pair::new(&Setup { linked: false, far: false }).await;
    let silent = tokio::net::UnixStream::connect(pair.path()).await.unwrap();
    let half = tokio::net::UnixStream::connect(pair.path()).await.unwrap();
    half.writable().await.unwrap();
    half.try_write(b"{\"schema\":1,").unwrap();
    for stream in [silent, half] {
        let closed = async {
            let mut byte = [0; 1];
            loop {
                stream.readable().await.unwrap();
                match stream.try_read(&mut byte) {
                    Ok(read) => return read,
                    Err(e) if e.kind() == std::io::ErrorKind::WouldBlock => {}
                    Err(e) => panic!("{e}"),
                }
            }
        };
        let read = tokio::time::timeout(2 * CLIENT_PATIENCE, closed).await.unwrap();
        assert_eq!(read, 0);
    }
}

/// A server that answers every client with `answer`, whatever it asks.
fn impostor(path: &Path, answer: &'static [u8]) -> std::thread::JoinHandle<()> {
    let listener = UnixListener::bind(path).unwrap();
    std::thread::spawn(move || {
        let (mut stream, _) = listener.accept().unwrap();
        let mut line = String::new();
        BufReader::new(&stream).read_line(&mut line).unwrap();
        stream.write_all(answer).unwrap();
    })
}

#[test]
fn the_client_tells_why_there_is_no_answer() {
    let home = tempfile::tempdir().unwrap();
    let ask = |name: &str, answer| {
        let path = home.path().join(name);
        let server = impostor(&path, answer);
        let error = request(&path, &Request::Status).unwrap_err();
        server.join().unwrap();
        (path, error)
    };
    let (path, error) = ask("closed", b"");
    assert_eq!(error, AdminError::Closed(path.clone()));
    // The listener is gone, its socket is still there.
    let none = AdminError::NoNode(path.clone());
    assert_eq!(request(&path, &Request::Status), Err(none.clone()));
    let start = format!("no node is running at {}; start one with `bitcraps run`", path.display());
    assert_eq!(none.to_string(), start);

    let problem = |error| match error {
        AdminError::NotUnderstood { problem, .. } => problem,
        other => panic!("{other:?}"),
    };
    let (_, error) = ask("garbage", b"hello\n");
    assert!(problem(error).starts_with("expected value"));
    let (_, error) = ask("other", b"{\"schema\":9,\"answer\":\"status\"}\n");
    let expected = "it has schema 9, this program speaks schema 1; use the `bitcraps` of the \
                    node's version";
    assert_eq!(problem(error), expected);
    let (_, error) = ask(
        "refused",
        b"{\"schema\":1,\"answer\":\"refused\",\"kind\":\"busy\",\"message\":\"m\"}\n",
    );
    let refusal =
        Refusal { kind: RefusalKind::Busy, message: "m".to_owned(), candidates: Vec::new() };
    assert_eq!(error, AdminError::Refused(refusal));
}

#[tokio::test(flavor = "multi_thread")]
async fn an_oversized_request_is_refused_without_being_kept() {
    let pair = Pair::linked().await;
    let path = pair.path();
    let answer = tokio::task::spawn_blocking(move || {
        let mut stream = UnixStream::connect(&path).unwrap();
        stream.set_read_timeout(Some(SOON)).unwrap();
        stream.write_all(&vec![b'x'; MAX_REQUEST + 1]).unwrap();
        let mut answer = String::new();
        BufReader::new(&mut stream).read_line(&mut answer).unwrap();
        let mut rest = Vec::new();
        stream.read_to_end(&mut rest).unwrap();
        assert_eq!(rest, b"", "and the connection is closed");
        answer
    });
    let answer: serde_json::Value = serde_json::from_str(&answer.await.unwrap()).unwrap();
    assert_eq!(answer["kind"], "bad_request");
    assert_eq!(answer["message"], "the request is longer than 262144 bytes");
}

#[tokio::test(flavor = "multi_thread")]
async fn what_a_link_tells_is_what_the_driver_says() {
    let pair = Pair::linked().await;
    let status = &pair.near.peers()[0].links[0];
    let Response::Links(report) =
        pair.ask(Request::Links { peer: Some(pair.far_peer.short()) }).await.unwrap()
    else {
        panic!()
    };
    let link = &report.links[0];
    assert_eq!(LinkId(link.summary.link), status.facts.link);
    assert_eq!(link.max_frame, 1_200);
    assert_eq!(link.nominal_kbps, 10_000);
    assert!(!link.metered);
    let names: Vec<_> = link.inputs.iter().map(|input| input.name.as_str()).collect();
    let expected: Vec<_> = status.inputs.iter().map(|input| input.name).collect();
    assert_eq!(names, expected);
}

#[tokio::test(flavor = "multi_thread")]
async fn a_peer_that_goes_is_a_finding() {
    let pair = Pair::linked().await;
    let mut notices = pair.near.notices();
    pair.handle.go_down();
    let gone =
        async { while !matches!(notices.recv().await, Ok(Notice::PeerUnreachable { .. })) {} };
    tokio::time::timeout(SOON, gone).await.unwrap();
    let Response::Status(status) = pair.ask(Request::Status).await.unwrap() else { panic!() };
    assert_eq!(status.health, Health::Critical);
    let finding = format!("peer {} is not reachable", pair.far_peer.short());
    assert_eq!(status.findings, [finding]);
}
