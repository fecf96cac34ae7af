//! What a node tells of itself.

use super::*;

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

#[tokio::test(flavor = "multi_thread")]
async fn a_game_is_hosted_by_the_node_itself_too_and_not_by_whom_the_network_lacks() {
    let pair = Pair::linked().await;
    let own = pair.near.id();
    let asked = Request::Game { host: own.to_string() };
    let Response::Game(game) = pair.ask(asked).await.unwrap() else { panic!() };
    assert_eq!((game.host, game.asked), (own, 0));
    let nobody = PeerId::from_bytes([9; 32]);
    let refused = (RefusalKind::UnknownPeer, format!("the network has no peer {}", nobody.short()));
    assert_eq!(pair.refusal(Request::Game { host: nobody.to_string() }).await, refused);
}

#[tokio::test(flavor = "multi_thread")]
async fn what_is_no_alert_and_what_is_not_watched_are_told_apart() {
    let pair = Pair::linked().await;
    let (kind, _) = pair.refusal(Request::Unsilence { id: 77 }).await;
    assert_eq!(kind, RefusalKind::NoSuchAlert);
    let acknowledged = Request::Acknowledge { alert: "ab".to_owned(), author: "me".to_owned() };
    let none = "no alert of the name \"ab\" fires".to_owned();
    assert_eq!(pair.refusal(acknowledged).await, (RefusalKind::NoSuchAlert, none));
    let unwatched = serde_json::to_value(health::unwatched()).unwrap();
    let told = json!({"kind": "not_watched", "message": "this node does not watch the network"});
    assert_eq!(unwatched, told);
}
