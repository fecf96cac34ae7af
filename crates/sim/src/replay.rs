use std::time::Duration;

use bitcraps_types::{DownReason, Timestamp};

use crate::event::Event;
use crate::{LinkTrace, SimLink, Simulation, Way};

/// What an adapter notices of the gaps in a trace.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Outage {
    /// Nothing: the link is a black hole until the gap ends.
    Silent,
    /// The link is a black hole for that long, then the adapter tells that it is down; it comes up
    /// anew when the gap ends. A gap that is shorter stays silent.
    Told {
        /// How long the adapter takes: about 4 s on Bluetooth LE, 1 s on Wi-Fi, 3 s on the
        /// internet.
        after: Duration,
    },
}

/// A trace that steers a link.
pub(crate) struct Replay {
    link: SimLink,
    way: Way,
    trace: LinkTrace,
    begin: Timestamp,
    offset: Duration,
    outage: Outage,
    /// How many gaps began.
    gaps: u64,
    down: bool,
}

impl Simulation {
    /// Steers latency, loss, rate and gaps of a link by `trace` from now on, beginning `offset`
    /// into it. Jitter and everything else stay as they are, and so does what
    /// [`fault`](Self::fault) breaks. A row without capacity stops the queue.
    pub fn replay(
        &mut self,
        link: SimLink,
        way: Way,
        trace: LinkTrace,
        offset: Duration,
        outage: Outage,
    ) {
        let begin = self.now;
        let replay = Replay { link, way, trace, begin, offset, outage, gaps: 0, down: false };
        self.replays.push(replay);
        self.row(self.replays.len() - 1);
    }

    /// A row of a trace begins.
    pub(crate) fn row(&mut self, index: usize) {
        let now = self.now;
        let replay = &mut self.replays[index];
        let (row, left) = replay.trace.at(now.since(replay.begin) + replay.offset);
        let (link, way, outage) = (replay.link, replay.way, replay.outage);
        let was_down = std::mem::replace(&mut replay.down, !row.up);
        replay.gaps += u64::from(replay.down && !was_down);
        let (down, gap) = (replay.down, replay.gaps);
        self.trace(19, u64::from(link.0));
        self.queue.push(now + left, Event::Row { replay: index });
        self.change_lanes(link, way, |lane| {
            lane.outage = down;
            if !down {
                lane.model.latency = row.latency;
                lane.model.loss = row.loss;
                lane.model.rate = row.rate.unwrap_or(lane.model.rate);
            }
            lane.stalled = !down && row.rate.is_none();
        });
        if down
            && !was_down
            && let Outage::Told { after } = outage
        {
            self.at(now + after, move |sim| {
                let replay = &sim.replays[index];
                if replay.down && replay.gaps == gap {
                    sim.take_down(link, DownReason::TimedOut);
                }
            });
        }
        if was_down && !down && outage != Outage::Silent {
            self.bring_up(link);
        }
    }
}
