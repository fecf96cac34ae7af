use std::collections::{BTreeMap, BTreeSet};
use std::net::{Ipv4Addr, UdpSocket};
use std::time::Duration;

use bitcraps_coordinator::{
    LinkStatus, Notice, Outcome, RejectReason, SendError, SendOptions, Tier,
};
use bitcraps_node::Identity;
use bitcraps_types::{AckLevel, LinkId, TrafficClass};

use super::seat::{PATIENCE, Seat, carrier, counted, settled, soon};
use super::wire::Wire;

/// Ample, so that a busy machine expires nothing.
const DEADLINE: Duration = Duration::from_secs(30);

fn options(class: TrafficClass) -> SendOptions {
    SendOptions::new(class).deadline(DEADLINE)
}

/// A payload that no other `tag` of 4 bytes or more has.
fn payload(tag: u32, len: usize) -> Vec<u8> {
    let mut bytes = vec![tag as u8; len.max(4)];
    bytes[..4].copy_from_slice(&tag.to_be_bytes());
    bytes
}

/// Each of `payloads` once and nothing else.
fn once(payloads: impl IntoIterator<Item = Vec<u8>>) -> BTreeMap<Vec<u8>, u32> {
    payloads.into_iter().map(|payload| (payload, 1)).collect()
}

/// Two nodes that know each other's addresses; the first one dialled.
async fn pair() -> (Seat, Seat) {
    let mut seats = Seat::seats(2, 1).await;
    let (b, a) = (seats.pop().unwrap(), seats.pop().unwrap());
    a.meet(b.id(), b.listen[0]);
    a.linked(b.id(), 1).await;
    b.linked(a.id(), 1).await;
    (a, b)
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn all_four_classes_are_delivered_once_and_confirmed_both_ways() {
    let (mut a, mut b) = pair().await;
    let mut receipts = Vec::new();
    let mut sent = Vec::new();
    let mut levels = Vec::new();
    for (tag, len) in [4, 1_000, 70_000, 1 << 20].into_iter().enumerate() {
        for class in TrafficClass::ALL {
            let payload = payload((tag * 4 + class.index()) as u32, len);
            receipts.push(a.send(b.id(), payload.clone(), options(class)));
            receipts.push(b.send(a.id(), payload.clone(), options(class)));
            sent.push(payload);
        }
    }
    for outcome in settled(receipts).await {
        match outcome {
            Outcome::Delivered { level, .. } => levels.push(level),
            other => panic!("{other:?}"),
        }
    }
    assert_eq!(levels, vec![AckLevel::PeerAcked; 2 * sent.len()]);
    assert_eq!(a.took(), once(sent.clone()));
    assert_eq!(b.took(), once(sent));
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_black_hole_of_the_link_in_use_loses_nothing_and_both_links_survive() {
    let mut seats = Seat::seats(2, 2).await;
    let (mut b, a) = (seats.pop().unwrap(), seats.pop().unwrap());
    let wires = [Wire::to(b.listen[0]).await, Wire::to(b.listen[1]).await];
    wires.iter().for_each(|wire| a.meet(b.id(), wire.near));
    a.linked(b.id(), 2).await;
    b.linked(a.id(), 2).await;

    // One copy, so that what saves a message is failover and not its second path.
    let single = options(TrafficClass::Critical).max_copies(1);
    let send = |tag| a.send(b.id(), payload(tag, 200), single);
    let before = settled((0..50).map(send)).await;
    let used = carrier(before.last().unwrap());
    let links: BTreeMap<LinkId, String> =
        a.node.links().iter().map(|link| (link.id(), link.path().remote)).collect();
    assert_eq!(links.len(), 2);
    let wire = wires.iter().find(|wire| wire.near.to_string() == links[&used]).unwrap();

    let mut notices = a.node.notices();
    wire.swallow(true);
    let outcomes = settled((50..250).map(send)).await;
    let carriers: BTreeSet<LinkId> = outcomes.iter().map(carrier).collect();
    assert!(!carriers.contains(&used), "acknowledged through a black hole");
    let doubted = |links: &[LinkStatus]| {
        links.iter().any(|l| l.facts.link == used && l.tier >= Tier::Suspect)
    };
    a.until("the link is doubted", b.id(), |p| doubted(&p.links)).await;

    wire.swallow(false);
    a.until("the link returns", b.id(), |p| !doubted(&p.links)).await;
    let last = settled((250..300).map(send)).await;
    assert!(last.iter().all(|o| matches!(o, Outcome::Delivered { .. })), "{last:?}");

    assert_eq!(b.took(), once((0..300).map(|tag| payload(tag, 200))));
    let after: BTreeSet<LinkId> = a.node.links().iter().map(|link| link.id()).collect();
    assert!(after.iter().eq(links.keys()), "{after:?} are not {links:?}");
    let mut failovers = 0;
    while let Ok(notice) = notices.try_recv() {
        assert!(
            !matches!(notice, Notice::LinkGone { .. } | Notice::LinkReady { .. }),
            "{notice:?}"
        );
        failovers += u32::from(matches!(notice, Notice::Failover { from, .. } if from == used));
    }
    assert!(failovers > 0, "no message left the black hole");
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_restarted_node_is_reached_again_and_nothing_is_delivered_twice() {
    let (a, mut b) = pair().await;
    let mut notices = a.node.notices();
    let critical = options(TrafficClass::Critical);
    let mut receipts: Vec<_> =
        (0..200).map(|tag| a.send(b.id(), payload(tag, 200), critical)).collect();
    let first = soon("the first outcome", receipts.remove(0)).await;
    // The others are confirmed, on their way or not sent yet.
    let mut got = counted(b.restart().await);
    let restarted =
        Notice::PeerIncarnation { peer: b.id(), epoch: b.node.epoch(), restarted: true };
    soon("the next incarnation", async { while notices.recv().await.unwrap() != restarted {} })
        .await;
    receipts.extend((200..400).map(|tag| a.send(b.id(), payload(tag, 200), critical)));
    let mut outcomes = vec![first];
    outcomes.extend(settled(receipts).await);
    for (payload, times) in b.took() {
        *got.entry(payload).or_default() += times;
    }
    for (tag, outcome) in (0..).zip(outcomes) {
        let times = got.remove(&payload(tag, 200)).unwrap_or_default();
        let fits = match outcome {
            Outcome::Delivered { .. } => times == 1,
            // Whether the former incarnation had it is what cannot be known.
            Outcome::Unknown { .. } if tag < 200 => times <= 1,
            _ => false,
        };
        assert!(fits, "message {tag} was delivered {times} times and ended as {outcome:?}");
    }
    assert_eq!(got, BTreeMap::new(), "never sent");
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn an_applied_message_ends_as_the_application_answers() {
    let (a, mut b) = pair().await;
    let applied = options(TrafficClass::Critical).ack(AckLevel::Applied);
    for verdict in [true, false] {
        let receipt = a.send(b.id(), payload(u32::from(verdict), 64), applied);
        let delivery = soon("the message", b.inbox.recv()).await.unwrap();
        assert_eq!(delivery.ack, AckLevel::Applied);
        b.inbox.answer(delivery.id, verdict);
        match (verdict, soon("the verdict", receipt).await) {
            (true, Outcome::Delivered { level: AckLevel::Applied, .. })
            | (false, Outcome::Rejected { why: RejectReason::Refused }) => {}
            (_, other) => panic!("{verdict} became {other:?}"),
        }
    }
    assert_eq!(b.took(), BTreeMap::new(), "no message comes twice");
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_group_gets_its_message_though_one_peer_is_unreachable() {
    let mut seats = Seat::seats(3, 1).await;
    let (mut c, mut b, a) = (seats.pop().unwrap(), seats.pop().unwrap(), seats.pop().unwrap());
    for other in [&b, &c] {
        a.meet(other.id(), other.listen[0]);
        a.linked(other.id(), 1).await;
    }
    // Somebody holds this address and never answers.
    let silent = UdpSocket::bind((Ipv4Addr::LOCALHOST, 0)).unwrap();
    let absent = Identity::from_seed(&[77; 32]).peer_id();
    a.meet(absent, silent.local_addr().unwrap());
    let stranger = Identity::from_seed(&[78; 32]).peer_id();

    let roll = options(TrafficClass::Realtime).deadline(Duration::from_secs(5));
    let table = [b.id(), absent, c.id(), stranger];
    let group = a.node.send_group(&table, payload(6, 64), roll);
    let ended = soon("the group", group.outcomes()).await;

    let latency = |at: usize| match &ended.outcomes[at] {
        (peer, Ok(Outcome::Delivered { latency, .. })) if *peer == table[at] => *latency,
        other => panic!("{other:?}"),
    };
    assert_eq!(ended.skew, Some(latency(0).abs_diff(latency(2))));
    assert_eq!(ended.outcomes[1], (absent, Ok(Outcome::Expired { tried: Vec::new() })));
    let (peer, Err(SendError::NoRoute { to, sought })) = &ended.outcomes[3] else {
        panic!("{:?}", ended.outcomes[3]);
    };
    assert_eq!((*peer, *to, sought.known), (stranger, stranger, 3));
    let text = SendError::NoRoute { to: *to, sought: *sought }.to_string();
    assert!(text.contains("(3 other peers are), and it is none of the"), "{text}");
    assert_eq!(b.took(), once([payload(6, 64)]));
    assert_eq!(c.took(), once([payload(6, 64)]));
}

/// Inputs of the links of `seat` to `peer` that no measurement stands behind.
fn unmoved(seat: &Seat, peer: bitcraps_types::PeerId) -> Vec<&'static str> {
    let links = seat.status(peer).links;
    assert_eq!(links.len(), 1);
    assert!(!links[0].inputs.is_empty());
    let inputs = links[0].inputs.iter();
    inputs.filter(|i| i.samples == 0 || i.value.is_none()).map(|i| i.name).collect()
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn every_input_of_ranking_moves_within_a_minute_of_traffic() {
    let (mut a, mut b) = pair().await;
    let traffic = async {
        let mut tag = 0;
        while !(unmoved(&a, b.id()).is_empty() && unmoved(&b, a.id()).is_empty()) {
            let mut receipts = Vec::new();
            for (class, len) in TrafficClass::ALL.into_iter().zip([64, 1_000, 6_000, 200_000]) {
                tag += 1;
                receipts.push(a.send(b.id(), payload(tag, len), options(class)));
                receipts.push(b.send(a.id(), payload(tag, len), options(class)));
            }
            for outcome in settled(receipts).await {
                assert!(matches!(outcome, Outcome::Delivered { .. }), "{outcome:?}");
            }
            a.took();
            b.took();
        }
    };
    let moved = tokio::time::timeout(PATIENCE, traffic).await.is_ok();
    let still = [unmoved(&a, b.id()), unmoved(&b, a.id())];
    assert!(moved, "without a measurement after {PATIENCE:?} of traffic: {still:?}");
}
