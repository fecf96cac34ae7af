//! Two nodes, and a path between them that loses what it is told to.

use std::time::Duration;

use bitcraps_session::{Command, Config, HandshakeError, Identity, Sessions, Suite};
use bitcraps_types::{Epoch, MessageId, PeerId, Timestamp, TrafficClass};
use bytes::Bytes;
use rand_chacha::ChaCha20Rng;
use rand_chacha::rand_core::SeedableRng;

pub(crate) struct Node {
    pub(crate) sessions: Sessions,
    pub(crate) epoch: Epoch,
    pub(crate) rng: ChaCha20Rng,
    pub(crate) established: Vec<Command>,
    seed: [u8; 32],
}

impl Node {
    pub(crate) fn new(number: u8, epoch: u64, suite: Suite) -> Self {
        let seed = [number; 32];
        let epoch = Epoch(epoch);
        Self {
            sessions: Sessions::new(Identity::from_seed(&seed), Config { epoch, suite }),
            epoch,
            rng: ChaCha20Rng::seed_from_u64(u64::from(number) << 32 | epoch.0),
            established: Vec::new(),
            seed,
        }
    }

    pub(crate) fn id(&self) -> PeerId {
        self.sessions.peer()
    }

    /// The same node, restarted: nothing is left but its key and a higher epoch.
    pub(crate) fn restarted(&self, suite: Suite) -> Self {
        Self::new(self.seed[0], self.epoch.0 + 1, suite)
    }

    pub(crate) fn connect(&mut self, to: &Self, now: Timestamp) {
        let (to, epoch) = (to.id(), to.epoch);
        self.sessions.connect(to, epoch, now, &mut self.rng).unwrap();
    }

    pub(crate) fn take(
        &mut self,
        from: PeerId,
        bytes: &Bytes,
        now: Timestamp,
    ) -> Result<(), HandshakeError> {
        self.sessions.on_handshake(&from, bytes, now, &mut self.rng)
    }

    /// What it wants sent; the rest is noted.
    pub(crate) fn outgoing(&mut self) -> Vec<Bytes> {
        let mut out = Vec::new();
        while let Some(command) = self.sessions.poll_command() {
            match command {
                Command::Transmit { bytes, .. } => out.push(bytes),
                other => self.established.push(other),
            }
        }
        out
    }

    pub(crate) fn message(&self, sequence: u64) -> MessageId {
        let class = TrafficClass::Critical;
        MessageId { source: self.id(), epoch: self.epoch, class, sequence }
    }
}

pub(crate) struct Pair {
    pub(crate) a: Node,
    pub(crate) b: Node,
    pub(crate) now: Timestamp,
    /// Handshake messages that were carried and refused.
    pub(crate) refused: usize,
}

impl Pair {
    pub(crate) fn new() -> Self {
        Self::of(Suite::Classic)
    }

    pub(crate) fn of(suite: Suite) -> Self {
        let now = Timestamp::from_millis(1_000_000);
        Self { a: Node::new(1, 5, suite), b: Node::new(2, 9, suite), now, refused: 0 }
    }

    pub(crate) fn connected() -> Self {
        let mut pair = Self::new();
        pair.a.connect(&pair.b, pair.now);
        pair.settle();
        assert!(pair.both_established());
        pair
    }

    pub(crate) fn both_established(&self) -> bool {
        self.a.sessions.is_established(&self.b.id()) && self.b.sessions.is_established(&self.a.id())
    }

    /// Carries everything, both ways, until nothing more is said.
    pub(crate) fn settle(&mut self) {
        self.settle_with(|_| true);
    }

    /// Carries what `passes`.
    pub(crate) fn settle_with(&mut self, mut passes: impl FnMut(&Bytes) -> bool) {
        loop {
            let (there, back) = (self.a.outgoing(), self.b.outgoing());
            if there.is_empty() && back.is_empty() {
                return;
            }
            for bytes in there.iter().filter(|bytes| passes(bytes)) {
                self.refused += usize::from(self.b.take(self.a.id(), bytes, self.now).is_err());
            }
            for bytes in back.iter().filter(|bytes| passes(bytes)) {
                self.refused += usize::from(self.a.take(self.b.id(), bytes, self.now).is_err());
            }
        }
    }

    /// Lets `time` pass, with every timer at its time.
    pub(crate) fn pass(&mut self, time: Duration, mut passes: impl FnMut(&Bytes) -> bool) {
        let until = self.now + time;
        self.settle_with(&mut passes);
        loop {
            let next = [&self.a, &self.b].map(|node| node.sessions.next_deadline());
            let Some(next) = next.into_iter().flatten().min().filter(|at| *at <= until) else {
                break;
            };
            assert!(next >= self.now || self.now == Timestamp::ZERO, "a timer in the past");
            self.now = next.max(self.now);
            for node in [&mut self.a, &mut self.b] {
                node.sessions.on_timer(self.now, &mut node.rng);
            }
            self.settle_with(&mut passes);
        }
        self.now = until;
    }

    /// A message from a to b, sealed and opened.
    pub(crate) fn crosses(&mut self, sequence: u64) -> bool {
        let id = self.a.message(sequence);
        let sealed = self.a.sessions.seal(&self.b.id(), &id, 0, b"a bet", self.now).unwrap();
        self.b.sessions.open(&id, 0, &sealed.bytes, self.now).is_ok_and(|got| got == "a bet")
    }
}
