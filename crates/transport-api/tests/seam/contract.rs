//! The conformance suite over the mock, which keeps the contract, and over mocks that break one
//! clause each, which it has to notice.

use std::sync::Arc;
use std::time::Duration;

use async_trait::async_trait;
use bitcraps_transport_api::conformance::{self, CASES, Ends, Fixture};
use bitcraps_transport_api::mock::{MockNetwork, MockTransport};
use bitcraps_transport_api::{Address, Transport};
use bitcraps_types::{LinkCapabilities, Ratio, TransportType};

use crate::broken::{Breach, broken};
use crate::{FAR, NEAR};

fn network() -> MockNetwork {
    MockNetwork::new(TransportType::WiFiDirect, NEAR, FAR).link_on_start(false)
}

/// Mocks, each wrapped by `wrap`.
struct Mocks<W> {
    network: MockNetwork,
    stalls: bool,
    lost: u64,
    wrap: W,
}

#[async_trait]
impl<W: Fn(MockTransport) -> Arc<dyn Transport> + Send + Sync> Fixture for Mocks<W> {
    async fn ends(&self) -> Ends {
        let (near, far, handle) = self.network.clone().pair();
        let target = far.target();
        handle.drop_next(self.lost);
        Ends {
            near: (self.wrap)(near),
            far: (self.wrap)(far),
            near_peer: NEAR,
            far_peer: FAR,
            target: Box::new(move || target.clone()),
            dead: Some(Address::new("mock:nobody")),
            bad: Some(Address::new("127.0.0.1:80")),
            stall: self.stalls.then(|| {
                let direction = handle.outbound();
                Box::new(move |on| if on { direction.hang() } else { direction.resume() }) as _
            }),
        }
    }

    fn least_delivery(&self) -> Ratio {
        Ratio::clamped(if self.lost == 0 { 1.0 } else { 0.9 })
    }
}

fn sound(mock: MockTransport) -> Arc<dyn Transport> {
    Arc::new(mock)
}

#[tokio::test(start_paused = true)]
async fn the_mock_keeps_the_contract() {
    let fixture = Mocks { network: network(), stalls: true, lost: 0, wrap: sound };
    conformance::run_all(&fixture).await.unwrap();
}

#[tokio::test(flavor = "multi_thread", worker_threads = 4)]
async fn the_mock_keeps_the_contract_on_several_threads() {
    let network = network().with_queue_frames(8).with_max_frame(LinkCapabilities::MIN_FRAME);
    let fixture = Mocks { network, stalls: false, lost: 0, wrap: sound };
    conformance::run_all(&fixture).await.unwrap();
}

#[tokio::test(start_paused = true)]
async fn the_mock_keeps_the_contract_with_latency_and_a_queue_of_one() {
    let network = network().with_latency(Duration::from_millis(7)).with_queue_frames(1);
    let fixture = Mocks { network, stalls: true, lost: 0, wrap: sound };
    conformance::run_all(&fixture).await.unwrap();
}

#[tokio::test(start_paused = true)]
async fn loss_is_no_violation_where_the_fixture_announces_it() {
    let fixture = Mocks { network: network(), stalls: true, lost: 13, wrap: sound };
    conformance::run_all(&fixture).await.unwrap();
}

/// Each breach, a case that has to notice it, and what the case has to say.
const NOTICED: &[(Breach, &str, &str)] = &[
    (Breach::StartsTwice, "it_starts_once", "the second start returned Ok"),
    (Breach::DialsUnstarted, "dials_need_a_start", "not NotStarted"),
    (Breach::NamesTheWrongPeer, "a_link_comes_up_at_both_ends", "leads to 0909"),
    (Breach::HoldsAQueueForever, "a_link_comes_up_at_both_ends", "which was never used"),
    (Breach::InventsLinkIds, "a_link_comes_up_at_both_ends", "does not come from this sink"),
    (Breach::FramesBeforeUp, "a_link_comes_up_at_both_ends", "which is not up"),
    (Breach::LinksToAnyone, "a_wrong_peer_is_refused", "not WrongPeer"),
    (Breach::LinksToAnyone, "failed_dials_disturb_no_link", "not WrongPeer"),
    (Breach::TakesAnyAddress, "a_bad_address_is_refused", "not BadAddress"),
    (Breach::TakesAnyAddress, "failed_dials_disturb_no_link", "not BadAddress"),
    (Breach::TakesAnyAddress, "a_dead_address_ends_in_bounded_time", "neither Unreachable"),
    (Breach::HangsOnADeadAddress, "a_dead_address_ends_in_bounded_time", "did not return within"),
    (Breach::ClosesTheFirstLink, "a_second_link_leaves_the_first", "link is closed"),
    (Breach::ClosesTheFirstLink, "failed_dials_disturb_no_link", "link is closed"),
    (Breach::ReturnsTheSameLink, "a_second_link_leaves_the_first", "LinkUp at the far end: not"),
    (Breach::Truncates, "frames_arrive_unchanged", "arrival of a frame of 1199 bytes: not"),
    (Breach::Flips, "frames_arrive_unchanged", "arrival of a frame of 1199 bytes: not"),
    (Breach::Repeats, "frames_arrive_unchanged", "was sent 1 times, arrived 2"),
    (Breach::Loses, "many_frames_keep_their_boundaries", "arrival of 4000 out of 4000 frames: not"),
    (Breach::Repeats, "many_frames_keep_their_boundaries", "was sent 1 times, arrived 2"),
    (Breach::Joins, "many_frames_keep_their_boundaries", "arrival of 4000 out of 4000 frames: not"),
    (Breach::Invents, "many_frames_keep_their_boundaries", "was sent 0 times, arrived"),
    (Breach::SpoilsWhatComesBack, "many_frames_keep_their_boundaries", "gave another frame back"),
    (Breach::Loses, "many_senders_share_a_link", "arrival of 4000 out of 4000 frames: not"),
    (Breach::CutsOversized, "an_oversized_frame_comes_back", "not TooBig"),
    (Breach::WrittenTooMuch, "written_reaches_the_count", "300 frames were taken, 301 told"),
    (Breach::WrittenFalls, "written_reaches_the_count", "fell from"),
    (Breach::WrittenNever, "written_reaches_the_count", "written after Full: not within"),
    (Breach::HoldsAQueueForever, "written_reaches_the_count", "everything is written, and"),
    (Breach::QueuesWithoutBound, "a_full_link_gives_back_and_recovers", "no bound"),
    (Breach::SpoilsWhatComesBack, "a_full_link_gives_back_and_recovers", "another frame back"),
    (Breach::Blocks, "a_full_link_gives_back_and_recovers", "try_send waits"),
    (Breach::DownTwice, "a_close_is_told_once_at_both_ends", "after its LinkDown"),
    (Breach::DownNever, "a_close_is_told_once_at_both_ends", "LinkDown of link"),
    (Breach::FramesAfterDown, "a_close_is_told_once_at_both_ends", "after its LinkDown"),
    (Breach::TakesFramesWhenClosed, "a_close_is_told_once_at_both_ends", "not Closed"),
    (Breach::TakesFramesWhenClosed, "a_shutdown_is_told_and_final", "not Closed"),
    (Breach::LeavesLinksAtShutdown, "a_shutdown_is_told_and_final", "without LinkDown of link"),
    (Breach::SpeaksAfterShutdown, "a_shutdown_is_told_and_final", "after shutdown had returned"),
    (Breach::MixesLinks, "dials_at_once_do_not_mix", "arrived on one far link"),
    (Breach::RepeatsTheEmpty, "an_empty_frame_disturbs_nothing", "2 empty frames arrived"),
    (Breach::HangsInAnIdleShutdown, "a_shutdown_needs_no_start", "shutdown did not return"),
];

#[tokio::test(start_paused = true)]
async fn every_breach_is_noticed_by_its_case() {
    let mut missed = Vec::new();
    for (breach, name, said) in NOTICED {
        let fixture = Mocks { network: network(), stalls: true, lost: 0, wrap: broken(*breach) };
        let case = CASES.iter().find(|case| case.name == *name).unwrap();
        match (case.run)(&fixture).await {
            Err(violation) if violation.0.contains(said) => {}
            other => missed.push(format!("{breach:?} in {name}: {other:?}")),
        }
    }
    assert_eq!(missed, Vec::<String>::new());
}

#[test]
fn every_case_notices_something() {
    let idle: Vec<_> = CASES
        .iter()
        .map(|case| case.name)
        .filter(|name| !NOTICED.iter().any(|(_, noticing, _)| noticing == name))
        .collect();
    assert_eq!(idle, Vec::<&str>::new());
}

#[tokio::test(start_paused = true)]
async fn failures_are_told_by_name_and_do_not_end_the_run() {
    let wrap = broken(Breach::StartsTwice);
    let fixture = Mocks { network: network(), stalls: true, lost: 0, wrap };
    let failures = conformance::run_all(&fixture).await.unwrap_err();
    let names: Vec<_> = failures.0.iter().map(|(name, _)| *name).collect();
    assert_eq!(names, ["it_starts_once"]);
    assert!(failures.to_string().starts_with("1 of 19 cases failed\n  it_starts_once: the second"));
}
