//! Nodes that know nothing of each other, again and again.

use std::time::{Duration, Instant};

use bitcraps_transport_api::Transport as _;

use crate::{node, percentile};

/// Meetings one after the other: what a link before has left behind at either end is met by the next.
const MEETINGS: usize = 20;
/// A node's first stretch of looking: most find each other in it.
const FIRST_STRETCH: Duration = Duration::from_millis(1_500);

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn fresh_transports_meet_every_time() {
    let meetings = std::env::var("RADIO_MEETINGS").map_or(MEETINGS, |n| n.parse().unwrap());
    let mut took = Vec::new();
    for meeting in 0..meetings {
        let begun = Instant::now();
        let nodes = [node(0, true), node(1, true)];
        tokio::join!(nodes[0].start(), nodes[1].start());
        tokio::join!(nodes[0].link(), nodes[1].link());
        took.push(begun.elapsed());
        println!("meeting {meeting}: link after {:.1?}", took[meeting]);
        // Either end goes first in turn.
        let [first, last] = [meeting % 2, 1 - meeting % 2];
        nodes[first].transport.shutdown().await;
        nodes[last].told.standing(0).await.unwrap();
        nodes[last].transport.shutdown().await;
    }
    took.sort_unstable();
    println!("RADIO bluetooth.fresh_meetings {meetings} {meetings}");
    println!("RADIO bluetooth.fresh_meeting_seconds_p50 {:.2}", percentile(&took, 0.5) / 1e3);
    println!("RADIO bluetooth.fresh_meeting_seconds_worst {:.2}", percentile(&took, 1.0) / 1e3);
    assert!(took[meetings / 2] < FIRST_STRETCH, "{took:?}");
}
