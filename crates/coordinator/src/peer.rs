use std::collections::{BTreeMap, VecDeque};

use bitcraps_types::{Epoch, LinkId, PeerId, Sequence, Timestamp, TrafficClass, TransportType};
use bitcraps_wire::Status;

use crate::budget::Budget;
use crate::config::bounds::{DECISIONS, VERDICTS, WINDOW};
use crate::contest::{Clash, Contest};
use crate::damping::Damping;
use crate::explain::Decision;
use crate::link::Link;
use crate::policy::Candidate;
use crate::standing::stranger_allowance;
use crate::window::Window;
use crate::{Standing, Ticket};

/// Names a peer in the table; found once by id, then used without a lookup.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct PeerHandle(pub(crate) u32);

/// Messages of one class on their way to one peer.
#[derive(Debug, Default)]
pub(crate) struct Outgoing {
    /// Number of `ring`'s first entry: nothing lower will ever be sent again.
    lowest_live: Sequence,
    /// Message slots by number; `None` where the message is settled.
    ring: VecDeque<Option<u32>>,
    /// Messages that wait for a link, oldest first.
    pub(crate) queue: VecDeque<Ticket>,
    /// Entries of `queue` whose message is settled; they are skipped, and swept when there are many.
    pub(crate) stale: usize,
    /// Messages unsettled, waiting included.
    pub(crate) messages: usize,
    /// Their bytes.
    pub(crate) bytes: usize,
    /// Successors of the message in flight, by ordering key.
    pub(crate) gates: BTreeMap<u64, VecDeque<Ticket>>,
    /// Keys whose gate opens when the number of a message that ended unknown is given up.
    pub(crate) closing: BTreeMap<Sequence, u64>,
    /// Waiting messages that a newer one may replace, by conflation key.
    pub(crate) conflated: BTreeMap<u64, Ticket>,
}

impl Outgoing {
    pub(crate) fn lowest_live(&self) -> Sequence {
        self.lowest_live
    }

    /// A number for `slot`, unless the span from the oldest unsettled would exceed the window.
    pub(crate) fn number(&mut self, slot: u32) -> Option<Sequence> {
        if self.ring.len() as u64 >= WINDOW {
            return None;
        }
        self.ring.push_back(Some(slot));
        Some(self.lowest_live + self.ring.len() as u64 - 1)
    }

    pub(crate) fn slot_of(&self, sequence: Sequence) -> Option<u32> {
        let index = sequence.checked_sub(self.lowest_live)?;
        *self.ring.get(usize::try_from(index).ok()?)?
    }

    /// Slots of the messages that have a number and no outcome.
    pub(crate) fn numbered(&self) -> impl Iterator<Item = u32> + '_ {
        self.ring.iter().flatten().copied()
    }

    /// Whether `sequence` was ever given out.
    pub(crate) fn knows(&self, sequence: Sequence) -> bool {
        sequence < self.lowest_live + self.ring.len() as u64
    }

    /// The end of the numbers given out.
    pub(crate) fn end(&self) -> Sequence {
        self.lowest_live + self.ring.len() as u64
    }

    pub(crate) fn settle(&mut self, sequence: Sequence) {
        let index = sequence.checked_sub(self.lowest_live).and_then(|i| usize::try_from(i).ok());
        if let Some(entry) = index.and_then(|i| self.ring.get_mut(i)) {
            *entry = None;
        }
        while self.ring.front() == Some(&None) {
            self.ring.pop_front();
            self.lowest_live += 1;
        }
    }
}

/// An end ack that left.
#[derive(Debug, Clone, Copy)]
pub(crate) struct AckSent {
    pub(crate) sequence: Sequence,
    pub(crate) path: LinkId,
    pub(crate) alone: bool,
}

/// End acks in a row that left over one link alone.
#[derive(Debug, Clone, Copy)]
pub(crate) struct AloneAcks {
    /// The oldest message whose acknowledgement is not known to have arrived.
    pub(crate) oldest: Sequence,
    pub(crate) newest: Sequence,
    pub(crate) path: LinkId,
}

/// Messages of one class coming from one incarnation of a peer.
#[derive(Debug)]
pub(crate) struct Incoming {
    pub(crate) window: Window,
    /// The application's verdicts, for repeats of the question.
    verdicts: BTreeMap<Sequence, Status>,
    /// The first acknowledgement whose arrival the sender's frames have not shown yet.
    pub(crate) unproven: Option<AckSent>,
    /// The latest acknowledgements, if they left over one link alone.
    pub(crate) alone: Option<AloneAcks>,
}

impl Incoming {
    pub(crate) fn new() -> Self {
        Self { window: Window::new(), verdicts: BTreeMap::new(), unproven: None, alone: None }
    }

    pub(crate) fn set_verdict(&mut self, sequence: Sequence, status: Status) {
        self.verdicts.insert(sequence, status);
        while self.verdicts.len() > VERDICTS {
            self.verdicts.pop_first();
        }
    }

    pub(crate) fn verdict(&self, sequence: Sequence) -> Option<Status> {
        self.verdicts.get(&sequence).copied()
    }
}

/// Retries: 20 % of sends plus 10 a second, 20 saved (Finagle's retry budget).
pub(crate) const fn retry_budget() -> Budget {
    Budget::new(0.2, 10.0, 20.0)
}

/// Hedges: 10 % of the bytes sent plus a trickle for peers that rarely send, 8 KiB saved.
pub(crate) const fn hedge_budget() -> Budget {
    Budget::new(0.1, 64.0, 8_192.0)
}

/// Copies that a class mandates: 32 KiB a second, 64 KiB saved.
pub(crate) const fn copy_budget() -> Budget {
    Budget::new(0.0, 32_768.0, 65_536.0)
}

/// Everything about one peer.
#[derive(Debug)]
pub(crate) struct Peer {
    pub(crate) id: PeerId,
    /// Its current incarnation, once it greeted.
    pub(crate) epoch: Option<Epoch>,
    pub(crate) links: Vec<Link>,
    pub(crate) damping: [Damping; TransportType::COUNT],
    pub(crate) outgoing: [Outgoing; TrafficClass::COUNT],
    pub(crate) incoming: [Option<Box<Incoming>>; TrafficClass::COUNT],
    pub(crate) retries: Budget,
    pub(crate) hedges: Budget,
    pub(crate) copies: Budget,
    pub(crate) decisions: VecDeque<Decision>,
    /// Acks to send when the current turn ends.
    pub(crate) acks: PendingAcks,
    pub(crate) in_turn: bool,
    /// What it may do.
    pub(crate) standing: Standing,
    /// What it may send while it is a stranger.
    pub(crate) allowance: Budget,
    /// Messages numbered below that were refused while it was a stranger, or came before one that
    /// was: a late copy of one is refused again.
    pub(crate) refused_below: [Sequence; TrafficClass::COUNT],
    /// The process that greeted in its current incarnation.
    pub(crate) instance: Option<u64>,
    /// When that greeted first.
    pub(crate) epoch_since: Timestamp,
    pub(crate) contest: Option<Contest>,
    pub(crate) clash: Option<Clash>,
}

/// What the current turn has to acknowledge.
#[derive(Debug, Default)]
pub(crate) struct PendingAcks {
    pub(crate) streams: [Option<PendingStream>; TrafficClass::COUNT],
    /// The link that the newest frame came by.
    pub(crate) link: Option<LinkId>,
}

#[derive(Debug, Default, Clone)]
pub(crate) struct PendingStream {
    pub(crate) echo: (Sequence, u16),
    /// Messages in custody that the ack is to name.
    pub(crate) taken: Vec<Sequence>,
    pub(crate) results: Vec<bitcraps_wire::ResultEntry>,
    pub(crate) partials: Vec<Sequence>,
}

impl Peer {
    pub(crate) fn new(id: PeerId) -> Self {
        Self {
            id,
            epoch: None,
            links: Vec::new(),
            damping: Default::default(),
            outgoing: Default::default(),
            incoming: Default::default(),
            retries: retry_budget(),
            hedges: hedge_budget(),
            copies: copy_budget(),
            decisions: VecDeque::new(),
            acks: PendingAcks::default(),
            in_turn: false,
            standing: Standing::Admitted,
            allowance: stranger_allowance(),
            refused_below: [0; TrafficClass::COUNT],
            instance: None,
            epoch_since: Timestamp::ZERO,
            contest: None,
            clash: None,
        }
    }

    pub(crate) fn link_index(&self, link: LinkId) -> Option<usize> {
        self.links.iter().position(|l| l.id() == link)
    }

    pub(crate) fn link_mut(&mut self, link: LinkId) -> Option<&mut Link> {
        self.links.iter_mut().find(|l| l.id() == link)
    }

    pub(crate) fn remember(&mut self, decision: Decision, candidates: &[Candidate]) {
        let full = self.decisions.len() == DECISIONS;
        let forgotten = if full { self.decisions.pop_front() } else { None };
        self.decisions.push_back(decision.among(candidates, forgotten));
    }

    pub(crate) fn is_reachable(&self) -> bool {
        self.links.iter().any(|l| l.ready)
    }
}
