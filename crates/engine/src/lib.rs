//! The whole node as one pure machine: the delivery [`Core`] and the [`dialer`](Dialer) that keeps
//! links to every known peer.
//!
//! It takes events and `now` and returns commands. It contains no I/O, no clock, no task and no
//! lock; production and the simulator run the same bytes of it.

mod dialer;

pub use dialer::{Dialer, DialerConfig, TargetStatus};

use bitcraps_coordinator::{Command, Config, Core, LinkUp, Machine};
use bitcraps_types::{Address, ConnectTarget, DownReason, Hint, LinkId, Timestamp};

/// The machine of one node.
#[derive(Debug)]
pub struct Engine {
    core: Core,
    dialer: Dialer,
}

impl Engine {
    /// A node that knows nobody.
    pub fn new(config: Config, dialer: DialerConfig) -> Self {
        let dialer = Dialer::new(config.local, config.seed, dialer);
        Self { core: Core::new(config), dialer }
    }

    /// Where peers may be reached, and how dialling them went.
    pub fn targets(&self, now: Timestamp) -> Vec<TargetStatus> {
        self.dialer.targets(now)
    }
}

impl Machine for Engine {
    fn core(&self) -> &Core {
        &self.core
    }

    fn core_mut(&mut self) -> &mut Core {
        &mut self.core
    }

    fn link_up(&mut self, facts: LinkUp, remote: Address, now: Timestamp) {
        self.dialer.link_up(facts.link, facts.transport, facts.peer, remote);
        self.core.link_up(facts, now);
    }

    fn link_down(&mut self, link: LinkId, _reason: &DownReason, now: Timestamp) {
        self.dialer.link_down(link, now);
        self.core.link_down(link, now);
    }

    fn discovered(&mut self, hint: Hint, now: Timestamp) {
        // A full table refuses strangers; the dial would fail on it later.
        if self.core.add_peer(hint.target.peer).is_some() {
            self.dialer.discovered(hint, now);
        }
    }

    fn connected(&mut self, target: &ConnectTarget, link: Option<LinkId>, now: Timestamp) {
        self.dialer.connected(target, link, now);
    }

    fn next_deadline(&self) -> Option<Timestamp> {
        match (self.core.next_deadline(), self.dialer.next_deadline()) {
            (Some(a), Some(b)) => Some(a.min(b)),
            (a, b) => a.or(b),
        }
    }

    fn on_timer(&mut self, now: Timestamp) {
        self.dialer.on_timer(now);
        self.core.on_timer(now);
    }

    fn poll_command(&mut self) -> Option<Command> {
        let dial = self.dialer.poll_connect().map(Command::Connect);
        dial.or_else(|| self.core.poll_command())
    }
}
