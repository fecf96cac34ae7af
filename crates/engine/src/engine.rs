use std::collections::VecDeque;

use bitcraps_coordinator::{
    CloseReason, Command, Config, Control, Core, LinkUp, Machine, Notice, Session, Sought, Standing,
};
use bitcraps_linkstate::{Config as LinkStateConfig, Verified};
use bitcraps_types::{
    Address, ConnectTarget, DownReason, Hint, HintSource, LinkId, PeerId, Timestamp,
};
use bitcraps_wire::{Body, HopHeader, Invitation, Join, JoinReply, JoinVerdict};

use crate::admission::{Admission, AdmissionMode, Welcome};
use crate::healing::Healing;
use crate::health::Health;
use crate::invitation::{End, Invitations, Judgement, proof};
use crate::joining::Joins;
use crate::network::Network;
use crate::relaying::Passing;
use crate::tunnels::{RelayCounters, Tunnels};
use crate::{
    AdmissionConfig, Decision, Dialer, DialerConfig, Grant, InvitationName, Redemption,
    TargetStatus, TooManyDecisions, TooManyInvitations, TooManyJoins,
};

/// The machine of one node.
#[derive(Debug)]
pub struct Engine {
    pub(crate) core: Core,
    pub(crate) dialer: Dialer,
    pub(crate) admission: Admission,
    invitations: Invitations,
    joins: Joins,
    /// Proofs that wait for whoever makes them durable. At most one a peer and invitation.
    redemptions: VecDeque<Redemption>,
    pub(crate) commands: VecDeque<Command>,
    pub(crate) network: Option<Network>,
    pub(crate) tunnels: Option<Tunnels>,
    pub(crate) health: Option<Health>,
    pub(crate) healing: Option<Healing>,
}

impl Engine {
    /// A node that knows nobody and admits everybody.
    pub fn new(config: Config, dialer: DialerConfig) -> Self {
        let dialer = Dialer::new(config.local, config.seed, dialer);
        Self {
            core: Core::new(config),
            dialer,
            admission: Admission::new(AdmissionConfig::default()),
            invitations: Invitations::default(),
            joins: Joins::default(),
            redemptions: VecDeque::new(),
            commands: VecDeque::new(),
            network: None,
            tunnels: None,
            health: None,
            healing: None,
        }
    }

    /// Publishes this node's links from now on, and learns of those of others. `seed` is that of the
    /// node's Ed25519 key.
    pub fn publish(&mut self, seed: &[u8; 32], config: LinkStateConfig, now: Timestamp) {
        let mut network = Network::new(seed, config, self.core.config().seed, now);
        for peer in self.core.peer_ids() {
            network.meet(peer, &mut self.core, now);
        }
        self.network = Some(network);
    }

    /// Shares what is found to be signed with other nodes of this process, as in a simulation of many;
    /// nothing before [`Self::publish`]. What is taken and refused stays the same.
    pub fn share_verified(&mut self, verified: Verified) {
        if let Some(network) = &mut self.network {
            network.share(verified);
        }
    }

    /// Carries messages across hops from now on, for this node and for admitted others. `seed` is
    /// that of the node's key; `chance` is secret, and new at each start.
    pub fn relay_for(&mut self, seed: &[u8; 32], chance: [u8; 32], now: Timestamp) {
        let epoch = self.core.config().epoch;
        self.tunnels = Some(Tunnels::new(seed, chance, epoch, now));
    }

    /// What was relayed for others; `None` before [`Self::relay_for`].
    pub fn relay_counters(&self) -> Option<RelayCounters> {
        self.tunnels.as_ref().map(|tunnels| tunnels.counters)
    }

    /// The whole network as this node sees it; `None` before [`Self::publish`].
    pub const fn network(&self) -> Option<&Network> {
        self.network.as_ref()
    }

    /// Where peers may be reached, and how dialling them went.
    pub fn targets(&self, now: Timestamp) -> Vec<TargetStatus> {
        self.dialer.targets(now)
    }

    /// Who may do what, as configured.
    pub fn admission(&self) -> &AdmissionConfig {
        self.admission.config()
    }

    /// Who may do what from now on. Decisions stay. O(peers).
    pub fn set_admission(&mut self, config: AdmissionConfig, now: Timestamp) {
        if *self.admission.config() == config {
            return;
        }
        self.admission.reconfigure(config);
        for peer in self.core.peer_ids() {
            self.review(peer, now);
        }
    }

    /// Decides about one peer, or takes a decision back.
    ///
    /// # Errors
    /// [`TooManyDecisions`]; nothing has changed.
    pub fn decide(
        &mut self,
        peer: PeerId,
        decision: Option<Decision>,
        now: Timestamp,
    ) -> Result<(), TooManyDecisions> {
        self.admission.decide(peer, decision)?;
        self.review(peer, now);
        Ok(())
    }

    /// Puts in force what may have changed about a peer.
    fn review(&mut self, peer: PeerId, now: Timestamp) {
        let standing = self.admission.standing(peer);
        self.core.set_standing(peer, standing, now);
        if standing == Standing::Blocked {
            self.dialer.withdraw_peer(peer);
        }
        self.pin(peer, now);
    }

    /// A peer that was admitted by name, or whose place is written down, is not forgotten.
    fn pin(&mut self, peer: PeerId, now: Timestamp) {
        let standing = self.admission.standing(peer);
        let friend = self.admission.is_friend(peer) || self.dialer.has_fixed(peer);
        if friend && standing != Standing::Blocked {
            // In a full table it stays unknown until it links and there is room.
            if self.core.meet(peer, standing, now).is_some() {
                self.core.add_peer(peer, now);
            }
        } else {
            self.core.release_peer(peer, now);
        }
    }

    /// What a peer may do, known or not.
    pub fn standing(&self, peer: PeerId) -> Standing {
        self.admission.standing(peer)
    }

    /// Whether traffic of others may be relayed by the peer or to it, and whether healing may ask
    /// it for links: only one who is admitted, and whose key nobody else was seen to use.
    pub fn may_relay(&self, peer: PeerId, now: Timestamp) -> bool {
        self.admission.standing(peer) == Standing::Admitted && !self.core.is_contested(peer, now)
    }

    /// A peer is no longer to be reached at an address that the config or an invitation named.
    pub fn withdrawn(&mut self, target: &ConnectTarget, now: Timestamp) {
        self.dialer.withdraw(target);
        self.pin(target.peer, now);
    }

    /// Makes an invitation that admits whoever proves its secret.
    ///
    /// # Errors
    /// [`TooManyInvitations`]; nothing has changed.
    pub fn grant(
        &mut self,
        grant: Grant,
        now: Timestamp,
    ) -> Result<InvitationName, TooManyInvitations> {
        self.invitations.grant(grant, now)
    }

    /// Takes an invitation back.
    pub fn withdraw_grant(&mut self, name: InvitationName) {
        self.invitations.withdraw(name);
    }

    /// The invitations that are remembered, those of no more use included.
    pub fn grants(&self) -> impl Iterator<Item = (InvitationName, &Grant)> {
        self.invitations.grants()
    }

    /// The next proof that was accepted. Its peer is told when [`Self::redeem`] is called.
    #[must_use]
    pub fn poll_redemption(&mut self) -> Option<Redemption> {
        self.redemptions.pop_front()
    }

    /// The decision to admit a peer by an invitation is durable, or cannot be made so.
    pub fn redeem(&mut self, redemption: Redemption, durable: bool, now: Timestamp) {
        if !self.invitations.redeem(redemption, durable) {
            return;
        }
        let peer = redemption.peer;
        let admitted = durable
            && self.admission.decide(peer, Some(Decision::Admitted)).is_ok()
            && self.admission.standing(peer) == Standing::Admitted;
        self.review(peer, now);
        let verdict = if admitted { JoinVerdict::Admitted } else { JoinVerdict::Unavailable };
        if let Some(link) = self.core.ready_links(peer).first().copied() {
            self.reply(link, redemption.invitation, verdict, now);
        }
    }

    fn reply(&mut self, link: LinkId, name: InvitationName, verdict: JoinVerdict, now: Timestamp) {
        let body = Body::JoinReply(JoinReply { invitation: name.0, verdict });
        self.core.send_control(link, body, now);
    }

    /// Proves an invitation to its inviter as soon as there is a link to it; `targets` are where it
    /// may be reached. [`Self::verdict`] tells what came of it, a
    /// [`Notice::Admission`] that there is one.
    ///
    /// # Errors
    /// [`TooManyJoins`]; nothing has changed.
    pub fn join(
        &mut self,
        invitation: &Invitation,
        targets: Vec<ConnectTarget>,
        now: Timestamp,
    ) -> Result<(), TooManyJoins> {
        self.joins.begin(invitation.inviter, invitation.secret, now)?;
        for target in targets {
            self.discovered(Hint { target, source: HintSource::Static }, now);
        }
        self.prove_due(now);
        Ok(())
    }

    /// What an inviter said to the invitation that is being proved to it.
    pub fn verdict(&self, inviter: PeerId) -> Option<JoinVerdict> {
        self.joins.verdict(inviter)
    }

    /// Proves an invitation no longer; what was said to it, if anything.
    pub fn end_join(&mut self, inviter: PeerId) -> Option<JoinVerdict> {
        self.joins.end(inviter)
    }

    fn prove_due(&mut self, now: Timestamp) {
        for (inviter, secret) in self.joins.due(now) {
            let links = self.core.ready_links(inviter);
            let session = links.first().and_then(|link| Some((*link, self.core.session(*link)?)));
            if let Some((link, session)) = session {
                let (joiner, inviter) = self.ends(&session);
                let proof = proof(&secret, joiner, inviter);
                let invitation = InvitationName::of(&secret).0;
                self.core.send_control(link, Body::Join(Join { invitation, proof }), now);
            }
            self.joins.asked(inviter, session.is_some(), now);
        }
    }

    /// This end and the other one.
    fn ends(&self, session: &Session) -> (End, End) {
        let config = self.core.config();
        let near = End { peer: config.local, epoch: config.epoch, challenge: session.challenge };
        let far = End {
            peer: session.peer,
            epoch: session.peer_epoch,
            challenge: session.peer_challenge,
        };
        (near, far)
    }

    fn on_control(&mut self, control: Control) {
        let Control { peer, link, body, passing, at } = control;
        match body {
            Body::Relayed(relayed) => {
                if let Some((HopHeader { ttl, deadline_ms, .. }, route)) = passing {
                    self.pass(Passing { from: peer, ttl, deadline_ms, route, relayed }, at);
                }
            }
            Body::Join(join) => self.on_join(peer, link, &join, at),
            Body::JoinReply(reply) => {
                let name = InvitationName(reply.invitation);
                if self.joins.answered(peer, name, reply.verdict) {
                    self.commands.push_back(Command::Notice(Notice::Admission { peer }));
                }
            }
            Body::LinkState(body) => {
                if let Some(network) = &mut self.network {
                    network.hear(peer, body, &mut self.core, at);
                }
            }
            // The core keeps these to itself.
            Body::Empty
            | Body::Data(_)
            | Body::EndAck(_)
            | Body::Probe(_)
            | Body::ProbeReply(_)
            | Body::Hello(_) => {}
        }
    }

    fn on_join(&mut self, peer: PeerId, link: LinkId, join: &Join, now: Timestamp) {
        let Some(session) = self.core.session(link) else {
            return;
        };
        let (inviter, joiner) = self.ends(&session);
        let judgement = match self.admission.config().mode {
            AdmissionMode::AllowList => Judgement::Answer(JoinVerdict::Closed),
            AdmissionMode::Open | AdmissionMode::Invitation => {
                let is_admitted = self.admission.standing(peer) == Standing::Admitted;
                self.invitations.judge(join, joiner, inviter, is_admitted, now)
            }
        };
        match judgement {
            Judgement::Answer(verdict) => {
                self.reply(link, InvitationName(join.invitation), verdict, now);
            }
            Judgement::Redeem(redemption) => {
                self.redemptions.push_back(redemption);
                self.commands.push_back(Command::Notice(Notice::Admission { peer }));
            }
            Judgement::Wait => {}
        }
    }

    /// Whether a peer may be dialled at a place that was heard of.
    fn is_worth_dialling(&self, hint: &Hint) -> bool {
        let peer = hint.target.peer;
        match self.admission.standing(peer) {
            Standing::Admitted => true,
            Standing::Stranger => hint.source == HintSource::Static || self.joins.is_joining(peer),
            Standing::Blocked => false,
        }
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
        let LinkUp { link, peer, transport, .. } = facts;
        let core = &self.core;
        let mut close = |link, why| self.commands.push_back(Command::Close { link, why });
        match self.admission.link_up(link, peer, |peer| core.has_history(peer), now) {
            Welcome::Stays => {}
            Welcome::InPlaceOf(oldest) => close(oldest, CloseReason::Evicted),
            Welcome::Refused(why) => return close(link, why),
        }
        self.core.meet(peer, self.admission.standing(peer), now);
        self.dialer.link_up(link, transport, peer, remote, now);
        self.core.link_up(facts, now);
    }

    fn link_down(&mut self, link: LinkId, _reason: &DownReason, now: Timestamp) {
        self.admission.link_down(link);
        self.dialer.link_down(link, now);
        self.core.link_down(link, now);
    }

    fn discovered(&mut self, hint: Hint, now: Timestamp) {
        if !self.is_worth_dialling(&hint) {
            return;
        }
        let peer = hint.target.peer;
        // A full table refuses newcomers; the dial would fail on it later.
        if self.core.meet(peer, self.admission.standing(peer), now).is_some() {
            let fixed = hint.source == HintSource::Static;
            self.dialer.discovered(hint, now);
            if fixed {
                self.core.add_peer(peer, now);
            }
        }
    }

    fn connected(&mut self, target: &ConnectTarget, link: Option<LinkId>, now: Timestamp) {
        self.dialer.connected(target, link, now);
        if link.is_none() && !self.dialer.is_busy_with(target.peer, target.transport) {
            self.not_linked(&target.peer, target.transport, now);
        }
    }

    fn seek(&mut self, peer: PeerId, now: Timestamp) -> Sought {
        Self::seek(self, peer, now);
        Sought {
            known: self.core.peer_ids().len(),
            network: self.network.as_ref().map(|network| network.topology().peers()),
        }
    }

    fn next_deadline(&self) -> Option<Timestamp> {
        let network = self.network.as_ref().map(Network::next_deadline);
        let own = [self.dialer.next_deadline(), self.joins.next_deadline()];
        let sessions = self.tunnels.as_ref().and_then(|tunnels| tunnels.sessions.next_deadline());
        let (health, healing) = (self.health_deadline(), self.healing_deadline());
        let others = [self.core.next_deadline(), network, sessions, health, healing];
        own.into_iter().chain(others).flatten().min()
    }

    fn on_timer(&mut self, now: Timestamp) {
        self.dialer.on_timer(now);
        self.core.on_timer(now);
        if let Some(network) = &mut self.network
            && network.on_timer(&mut self.core, now)
        {
            self.tend_ways(now);
        }
        if let Some(tunnels) = &mut self.tunnels {
            tunnels.sessions.on_timer(now, &mut tunnels.rng);
            self.agree(now);
        }
        self.judge_health(now);
        self.tend_network(now);
        self.prove_due(now);
    }

    fn poll_command(&mut self) -> Option<Command> {
        loop {
            while let Some(control) = self.core.poll_control() {
                self.on_control(control);
            }
            let dial = self.dialer.poll_connect().map(Command::Connect);
            let command = dial.or_else(|| self.commands.pop_front());
            if command.is_some() {
                return command;
            }
            let Some(command) = self.core.poll_command() else {
                match self.core.poll_stranded() {
                    Some(peer) => self.open(peer, self.core.turn()),
                    None => return None,
                }
                continue;
            };
            if let Command::Notice(notice) = &command {
                if let Notice::LinkChanged { peer, .. } = notice {
                    self.hop_changed(*peer, self.core.turn());
                }
                if let Some(network) = &mut self.network {
                    network.observe(notice, &mut self.core);
                }
            }
            self.review_ways(self.core.turn());
            if let Some(command) = self.take_relayed(command) {
                return Some(command);
            }
        }
    }
}

#[cfg(test)]
mod tests;
