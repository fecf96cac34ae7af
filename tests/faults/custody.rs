//! What the destination's application does with what its node acknowledged.

use bitcraps_coordinator::{Outcome, Progress, RejectReason, SendOptions};
use bitcraps_sim::{
    App, Fortune, LinkModel, NodeId, Pace, SendId, Simulation, StoreModel, Verdict,
};
use bitcraps_types::{AckLevel, TrafficClass, TransportType};

use super::scene::{MS, SECOND, confirmed, data_sent, each_seed, settle};

/// A bet to a peer whose application gives `verdict`, and how it stands half a second later.
fn bet(seed: u64, verdict: Verdict, ack: AckLevel) -> (Simulation, NodeId, SendId) {
    let mut sim = Simulation::new(seed);
    let a = sim.add_node();
    let b = sim.add_node_with(|setup| setup.app = App::default().verdict(verdict));
    sim.add_link(a, b, LinkModel::perfect(TransportType::WiFiDirect));
    sim.run_for(SECOND);
    let options = SendOptions::new(TrafficClass::Critical).ack(ack).deadline(10 * SECOND);
    let id = sim.send(a, b, 100, options, None);
    sim.run_for(SECOND / 2);
    assert_eq!(sim.app(b).delivered().len(), 1, "in its inbox");
    (sim, a, id)
}

fn progress(sim: &Simulation, a: NodeId, id: SendId) -> Option<Progress> {
    let Fortune::Taken(ticket) = sim.message(id).fortune else { panic!("not taken") };
    sim.core(a).unwrap().progress(ticket)
}

#[test]
fn fault_27_a_peer_that_acks_and_sits_on_the_data_has_not_applied_it() {
    each_seed(|seed| {
        // Nobody who asked for the application's word is told less.
        let (mut sim, a, id) = bet(seed, Verdict::Silent, AckLevel::Applied);
        assert!(matches!(progress(&sim, a, id), Some(Progress::PeerAcked { .. })));
        assert_eq!(sim.message(id).outcome, None);
        settle(&mut sim);
        let (at, outcome) = sim.message(id).outcome.clone().unwrap();
        assert!(matches!(outcome, Outcome::Unknown { .. }), "{outcome:?}");
        assert_eq!(at.since(sim.message(id).at), 10 * SECOND);
        // Who asked for custody has it after a round trip.
        let (mut sim, _, id) = bet(seed, Verdict::Silent, AckLevel::PeerAcked);
        let level = |sim: &Simulation, id| match sim.message(id).outcome {
            Some((_, Outcome::Delivered { level, .. })) => Some(level),
            _ => None,
        };
        assert_eq!(level(&sim, id), Some(AckLevel::PeerAcked));
        assert!(confirmed(&sim, id).1 < 3 * MS);
        settle(&mut sim);
        // The application's word comes when it comes.
        let late = Verdict::AppliesAfter(5 * SECOND);
        let (mut sim, a, id) = bet(seed, late, AckLevel::Applied);
        assert!(matches!(progress(&sim, a, id), Some(Progress::PeerAcked { .. })));
        settle(&mut sim);
        assert_eq!(level(&sim, id), Some(AckLevel::Applied));
        assert!((5 * SECOND..5 * SECOND + 3 * MS).contains(&confirmed(&sim, id).1));
        let (mut sim, _, id) = bet(seed, Verdict::Refuses, AckLevel::Applied);
        settle(&mut sim);
        let why = RejectReason::Refused;
        assert_eq!(sim.message(id).outcome.as_ref().unwrap().1, Outcome::Rejected { why });
    });
}

/// Three senders fill the inbox of an application that takes one bet each 2 ms. What is refused waits
/// and comes back as room is found: the application never waits for it, and no retry is spent on it.
#[test]
fn an_application_slower_than_its_senders_is_never_without_a_message() {
    const EACH: usize = 300;
    const ROOM: usize = 64;
    for store in [None, Some(StoreModel::DISK)] {
        each_seed(|seed| {
            let mut sim = Simulation::new(seed);
            let b = sim.add_node_with(|setup| {
                setup.store = store;
                setup.app = App::default().room(ROOM).pace(Pace::Every(2 * MS));
            });
            let senders = [(); 3].map(|()| {
                let a = sim.add_node_with(|setup| setup.store = store);
                let link = sim.add_link(a, b, LinkModel::wifi());
                (a, link)
            });
            sim.run_for(SECOND);
            let start = sim.now();
            let bet = SendOptions::new(TrafficClass::Critical).deadline(60 * SECOND).max_copies(1);
            for (a, link) in senders {
                sim.record(link, a);
                for _ in 0..EACH {
                    sim.send(a, b, 200, bet, None);
                }
            }
            settle(&mut sim);
            let all = 3 * EACH;
            let taken = sim.app(b).delivered();
            assert_eq!(taken.len(), all);
            let needed = 2 * MS * (all - ROOM) as u32;
            let took = taken.last().unwrap().at.since(start);
            assert!(took < needed + needed / 10, "{took:?} where {needed:?} are needed");
            let mut frames = 0;
            for (a, link) in senders {
                let sender = sim.core(a).unwrap().counters();
                assert_eq!(sender.budget_waits, 0, "no retry was wanted");
                frames += data_sent(&sim, link, a).len();
            }
            assert!(frames < 3 * all, "{frames} frames for {all} messages");
            sim.check_settled().unwrap();
        });
    }
}
