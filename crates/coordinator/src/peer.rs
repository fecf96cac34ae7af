use std::collections::{BTreeMap, VecDeque};

use bitcraps_types::{Epoch, LinkId, PeerId, Sequence, Timestamp, TrafficClass, TransportType};
use bitcraps_wire::Status;

use crate::budget::Budget;
use crate::config::bounds::{DECISIONS, VERDICTS, WINDOW};
use crate::contest::{Clash, Contest};
use crate::damping::Damping;
use crate::explain::Decision;
use crate::link::Link;
use crate::outbound::FullInbox;
use crate::policy::Candidate;
use crate::record::{StreamId, StreamRecord};
use crate::standing::stranger_allowance;
use crate::window::Window;
use crate::{Standing, Ticket};

/// Names a peer in the table; found once by id, then used without a lookup. Its slot, and how often
/// that was given to another peer: the handle of one that was forgotten means nobody.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct PeerHandle(pub(crate) u32, pub(crate) u32);

/// Names a stream of a peer: its incarnation and the class.
pub(crate) type Stream = (Epoch, TrafficClass);

/// Numbers that one incarnation of this node gave out, from the lowest that is not settled on.
#[derive(Debug, Default)]
pub(crate) struct Numbers {
    /// Number of `ring`'s first entry: nothing lower will ever be sent again.
    lowest_live: Sequence,
    /// Message slots by number; `None` where the message is settled.
    ring: VecDeque<Option<u32>>,
}

impl Numbers {
    pub(crate) fn lowest_live(&self) -> Sequence {
        self.lowest_live
    }

    /// Whether the span from the oldest unsettled is as long as it may be.
    pub(crate) fn is_full(&self) -> bool {
        self.ring.len() as u64 >= WINDOW
    }

    /// A number for `slot`, unless the span from the oldest unsettled would exceed the window.
    pub(crate) fn give(&mut self, slot: u32) -> Option<Sequence> {
        if self.is_full() {
            return None;
        }
        self.ring.push_back(Some(slot));
        Some(self.lowest_live + self.ring.len() as u64 - 1)
    }

    /// `slot` has the number `sequence`, which is above all recalled before.
    pub(crate) fn recall(&mut self, sequence: Sequence, slot: u32) {
        if self.ring.is_empty() {
            self.lowest_live = sequence;
        }
        while self.end() < sequence && !self.is_full() {
            self.ring.push_back(None);
        }
        if self.end() == sequence {
            self.ring.push_back(Some(slot));
        }
    }

    pub(crate) fn slot_of(&self, sequence: Sequence) -> Option<u32> {
        let index = sequence.checked_sub(self.lowest_live)?;
        *self.ring.get(usize::try_from(index).ok()?)?
    }

    /// Slots of the messages that have a number and no outcome.
    fn live(&self) -> impl Iterator<Item = u32> + '_ {
        self.ring.iter().flatten().copied()
    }

    /// The end of the numbers given out.
    pub(crate) fn end(&self) -> Sequence {
        self.lowest_live + self.ring.len() as u64
    }

    fn settle(&mut self, sequence: Sequence) {
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

/// Messages of one class on their way to one peer.
#[derive(Debug, Default)]
pub(crate) struct Outgoing {
    /// The first number that this incarnation gives out to the peer.
    pub(crate) begin: Sequence,
    pub(crate) numbers: Numbers,
    /// What former incarnations of this node left in the outbox.
    pub(crate) former: BTreeMap<Epoch, Numbers>,
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
    pub(crate) closing: BTreeMap<(Option<Epoch>, Sequence), u64>,
    /// Waiting messages that a newer one may replace, by conflation key.
    pub(crate) conflated: BTreeMap<u64, Ticket>,
    /// The peer had no room for messages of this class.
    pub(crate) full: Option<FullInbox>,
}

impl Outgoing {
    /// Numbers begin there. Before any was given out.
    pub(crate) fn begin_at(&mut self, begin: Sequence) {
        self.begin = begin;
        self.numbers.lowest_live = begin;
    }

    /// The numbers of this incarnation, or of a former one.
    pub(crate) fn numbers_of(&self, former: Option<Epoch>) -> Option<&Numbers> {
        match former {
            None => Some(&self.numbers),
            Some(epoch) => self.former.get(&epoch),
        }
    }

    /// Slots of the messages that have a number and no outcome.
    pub(crate) fn numbered(&self) -> impl Iterator<Item = u32> + '_ {
        self.former.values().chain([&self.numbers]).flat_map(Numbers::live)
    }

    /// Gives a number up; tells the lowest that is still live beside it.
    pub(crate) fn settle(&mut self, former: Option<Epoch>, sequence: Sequence) -> Sequence {
        let Some(epoch) = former else {
            self.numbers.settle(sequence);
            return self.numbers.lowest_live;
        };
        let Some(numbers) = self.former.get_mut(&epoch) else {
            return Sequence::MAX;
        };
        numbers.settle(sequence);
        let lowest_live = numbers.lowest_live;
        if numbers.ring.is_empty() {
            self.former.remove(&epoch);
            return Sequence::MAX;
        }
        lowest_live
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
    /// Lowest number that the sender may still send, as far as its frames told.
    pub(crate) lowest_live: Sequence,
    /// The store knows of it.
    pub(crate) recorded: bool,
    /// Messages that are being made durable, and where the newest copy of each came from.
    pub(crate) writing: BTreeMap<Sequence, (LinkId, u16)>,
    /// The application's answers that are being made durable.
    pub(crate) deciding: BTreeMap<Sequence, bool>,
}

impl Incoming {
    pub(crate) fn new() -> Self {
        Self {
            window: Window::new(),
            verdicts: BTreeMap::new(),
            unproven: None,
            alone: None,
            lowest_live: 0,
            recorded: false,
            writing: BTreeMap::new(),
            deciding: BTreeMap::new(),
        }
    }

    /// What a former incarnation of this node took.
    pub(crate) fn recalled(record: &StreamRecord) -> Self {
        let status = |applied| if applied { Status::Applied } else { Status::Refused };
        let verdicts = record.verdicts.iter().map(|(number, applied)| (*number, status(*applied)));
        Self {
            window: Window::recalled(record),
            verdicts: verdicts.collect(),
            recorded: true,
            ..Self::new()
        }
    }

    /// Its state once everything that is being made durable is.
    pub(crate) fn record(&self, stream: StreamId) -> StreamRecord {
        let wanted = self.verdicts.range(self.lowest_live..);
        let told = wanted.filter_map(|(number, status)| match status {
            Status::Applied => Some((*number, true)),
            Status::Refused => Some((*number, false)),
            Status::Late
            | Status::TooOld
            | Status::Unrecorded
            | Status::NotAdmitted
            | Status::NoRoom => None,
        });
        let mut verdicts: BTreeMap<Sequence, bool> = told.collect();
        verdicts.extend(&self.deciding);
        let mut window = self.window.clone();
        self.writing.keys().for_each(|sequence| window.take(*sequence));
        window.record(stream, verdicts.into_iter().collect())
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
    /// Streams of its former incarnations that its outbox may still send of.
    pub(crate) former: BTreeMap<Stream, Box<Incoming>>,
    /// Streams of this incarnation of it and of older ones are forgotten.
    pub(crate) forgotten: Epoch,
    /// Since which of its incarnations it remembers what it took from this node.
    pub(crate) memory: Epoch,
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
    /// Somebody named it: it is not forgotten.
    pub(crate) pinned: bool,
    /// Since when it may be forgotten, and whether messages were exchanged with it.
    pub(crate) idle: Option<(Timestamp, bool)>,
    /// Nobody is here.
    pub(crate) vacant: bool,
}

/// What the current turn has to acknowledge.
#[derive(Debug, Default)]
pub(crate) struct PendingAcks {
    pub(crate) streams: [Option<PendingStream>; TrafficClass::COUNT],
    /// Of the peer's former incarnations.
    pub(crate) former: BTreeMap<Stream, PendingStream>,
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
            former: BTreeMap::new(),
            forgotten: Epoch::default(),
            memory: Epoch::default(),
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
            pinned: false,
            idle: None,
            vacant: false,
        }
    }

    /// What is known of a stream of it.
    pub(crate) fn stream(&self, stream: Stream) -> Option<&Incoming> {
        let (epoch, class) = stream;
        if self.epoch == Some(epoch) {
            return self.incoming[class.index()].as_deref();
        }
        self.former.get(&stream).map(|incoming| &**incoming)
    }

    /// What is known of a stream of it.
    pub(crate) fn stream_mut(&mut self, stream: Stream) -> Option<&mut Incoming> {
        let (epoch, class) = stream;
        if self.epoch == Some(epoch) {
            return self.incoming[class.index()].as_deref_mut();
        }
        self.former.get_mut(&stream).map(|incoming| &mut **incoming)
    }

    /// The place of a peer that was forgotten.
    pub(crate) fn vacant() -> Self {
        Self { vacant: true, ..Self::new(PeerId::from_bytes([0; PeerId::LEN])) }
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
