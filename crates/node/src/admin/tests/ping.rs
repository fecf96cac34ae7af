//! The stages of a ping, and where one fails.

use super::*;

fn stages(report: &PingReport) -> Vec<(Stage, bool)> {
    report.stages.iter().map(|stage| (stage.stage, stage.passed)).collect()
}

fn known(report: &PingReport, stage: Stage) -> String {
    let found = report.stages.iter().find(|s| s.stage == stage).unwrap();
    found.known.join("\n")
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
