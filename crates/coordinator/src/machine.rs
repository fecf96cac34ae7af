use bitcraps_types::{Address, ConnectTarget, DownReason, Hint, LinkId, PeerId, Timestamp};

use crate::{Command, Core, LinkUp, Sought};

/// A pure machine that a driver can run: the [`Core`] alone, or a whole node around it.
///
/// What concerns messages and frames goes to [`Self::core_mut`]; what concerns links and peers
/// comes here, because a node has more to do with it.
pub trait Machine: Send + 'static {
    /// The delivery core.
    fn core(&self) -> &Core;
    /// The delivery core, for messages, frames and the application's inbox.
    fn core_mut(&mut self) -> &mut Core;
    /// A link came up; `remote` is where its other end is, in the transport's words.
    fn link_up(&mut self, facts: LinkUp, remote: Address, now: Timestamp);
    /// A link is gone.
    fn link_down(&mut self, link: LinkId, reason: &DownReason, now: Timestamp);
    /// A peer may be reachable.
    fn discovered(&mut self, hint: Hint, now: Timestamp);
    /// How a [`Command::Connect`] ended: the link that came of it, or none.
    fn connected(&mut self, target: &ConnectTarget, link: Option<LinkId>, now: Timestamp);
    /// A message is about to be sent to a peer that the core does not know: makes it known, if there
    /// is a way to it, and tells where it was looked for.
    fn seek(&mut self, peer: PeerId, now: Timestamp) -> Sought;
    /// When [`Self::on_timer`] wants to be called next.
    fn next_deadline(&self) -> Option<Timestamp>;
    /// Serves what is due.
    fn on_timer(&mut self, now: Timestamp);
    /// The next command.
    fn poll_command(&mut self) -> Option<Command>;
}

impl Machine for Core {
    fn core(&self) -> &Core {
        self
    }

    fn core_mut(&mut self) -> &mut Core {
        self
    }

    fn link_up(&mut self, facts: LinkUp, _remote: Address, now: Timestamp) {
        Self::link_up(self, facts, now);
    }

    fn link_down(&mut self, link: LinkId, _reason: &DownReason, now: Timestamp) {
        Self::link_down(self, link, now);
    }

    /// Makes the peer known, so that messages to it may wait; dialling is the caller's business.
    fn discovered(&mut self, hint: Hint, now: Timestamp) {
        self.enter(hint.target.peer, now);
    }

    fn connected(&mut self, _target: &ConnectTarget, _link: Option<LinkId>, _now: Timestamp) {}

    /// Whom the core does not know nobody knows.
    fn seek(&mut self, _peer: PeerId, _now: Timestamp) -> Sought {
        Sought { known: self.peer_ids().len(), network: None }
    }

    fn next_deadline(&self) -> Option<Timestamp> {
        Self::next_deadline(self)
    }

    fn on_timer(&mut self, now: Timestamp) {
        Self::on_timer(self, now);
    }

    fn poll_command(&mut self) -> Option<Command> {
        Self::poll_command(self)
    }
}
