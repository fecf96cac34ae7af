use std::collections::BTreeMap;

use bitcraps_transport_api::Transport;
use bitcraps_types::{Address, Packet, PeerId, TransportType};
use bytes::Bytes;

use crate::driver::{Driver, lock};
use crate::receipt::Tickets;
use crate::{
    Confirmed, CoordinationError, Counters, Decision, FailoverPolicy, GamePacketType, GroupReceipt,
    Machine, PeerStatus, Receipt, SendError, SendOptions, TransportMetrics,
};
use std::sync::Arc;

impl<M: Machine> Driver<M> {
    /// Takes a message for `peer` and returns at once; the receipt tells how it ends.
    ///
    /// # Errors
    /// [`SendError`]; nothing was taken.
    pub fn send(
        &self,
        peer: PeerId,
        payload: impl Into<Bytes>,
        options: SendOptions,
    ) -> Result<Receipt, SendError> {
        self.send_by(None, peer, payload.into(), options)
    }

    fn send_by(
        &self,
        policy: Option<FailoverPolicy>,
        peer: PeerId,
        payload: Bytes,
        options: SendOptions,
    ) -> Result<Receipt, SendError> {
        let shared = &self.shared;
        let known = shared.directory.get(&peer);
        let (ticket, outcome) = shared.run(|state, now| {
            let known = known.filter(|handle| state.machine.core().is_current(*handle));
            let known = known.or_else(|| state.machine.core().peer(peer));
            let handle = match known {
                Some(handle) => handle,
                None => {
                    let sought = state.machine.seek(peer, now);
                    let found = state.machine.core().peer(peer);
                    found.ok_or(SendError::NoRoute { to: peer, sought })?
                }
            };
            let core = state.machine.core_mut();
            let ticket = core.send_to(handle, payload, options, policy, now)?;
            // Commands run after this, so the receipt is ready before any outcome.
            Ok::<_, SendError>((ticket, state.wait_for(ticket)))
        })?;
        let tickets: Arc<dyn Tickets> = Arc::clone(shared) as _;
        Ok(Receipt::new(ticket, outcome, tickets))
    }

    /// Sends one message to several peers, each over the link that suits it: a dice roll is for the
    /// whole table. One peer's failure does not stop the others.
    pub fn send_group(
        &self,
        peers: &[PeerId],
        payload: impl Into<Bytes>,
        options: SendOptions,
    ) -> GroupReceipt {
        let payload = payload.into();
        let receipt = |peer: &PeerId| (*peer, self.send(*peer, payload.clone(), options));
        GroupReceipt { receipts: peers.iter().map(receipt).collect() }
    }

    /// Sends by the configured default policy and waits for the destination's confirmation.
    ///
    /// # Errors
    /// [`CoordinationError`] for everything but a confirmed delivery.
    pub async fn send_packet(
        &self,
        peer: PeerId,
        packet: &Packet,
    ) -> Result<Confirmed, CoordinationError> {
        let policy = self.with(|machine, _| machine.core().config().default_policy);
        self.send_with_policy(policy, peer, packet).await
    }

    /// Sends by `policy`, in the class that the policy was made for, and waits for the
    /// destination's confirmation.
    ///
    /// # Errors
    /// [`CoordinationError`] for everything but a confirmed delivery.
    pub async fn send_with_policy(
        &self,
        policy: FailoverPolicy,
        peer: PeerId,
        packet: &Packet,
    ) -> Result<Confirmed, CoordinationError> {
        let payload = packet.payload.clone().unwrap_or_default();
        let options = SendOptions::new(policy.class());
        self.send_by(Some(policy), peer, payload, options)?.await.confirmed()
    }

    /// Sends a game's packet the way its type asks for, and waits for the confirmation.
    ///
    /// # Errors
    /// [`CoordinationError`] for everything but a confirmed delivery.
    pub async fn send_game_packet(
        &self,
        packet_type: GamePacketType,
        peer: PeerId,
        packet: &Packet,
    ) -> Result<Confirmed, CoordinationError> {
        let payload = packet.payload.clone().unwrap_or_default();
        let (policy, options) = (packet_type.policy(), packet_type.options());
        self.send_by(Some(policy), peer, payload, options)?.await.confirmed()
    }

    /// Families of links that carry data to `peer` now.
    pub fn get_available_transports(&self, peer: PeerId) -> Vec<TransportType> {
        let peers = self.peers();
        let links = peers.iter().filter(|p| p.peer == peer).flat_map(|p| &p.links);
        let mut found: Vec<_> = links.filter(|l| l.ready).map(|l| l.facts.transport).collect();
        found.sort_unstable();
        found.dedup();
        found
    }

    /// The family of the link that confirmed a message last.
    pub fn get_last_successful_transport(&self) -> Option<TransportType> {
        self.with(|machine, _| machine.core().last_success()).map(|success| success.transport)
    }

    /// What happened over each family of links since the start.
    pub fn get_transport_stats(&self) -> BTreeMap<TransportType, TransportMetrics> {
        self.with(|machine, _| {
            let core = machine.core();
            TransportType::ALL.map(|t| (t, core.transport_metrics(t))).into_iter().collect()
        })
    }

    /// Where peers may dial this node, as its transports say.
    pub fn listening(&self) -> Vec<(TransportType, Address)> {
        let transports: Vec<_> = lock(&self.shared.transports).clone();
        let of = |t: &Arc<dyn Transport>| {
            let kind = t.transport_type();
            t.listening().into_iter().map(move |address| (kind, address)).collect::<Vec<_>>()
        };
        transports.iter().flat_map(of).collect()
    }

    /// Every peer that was ever known, with its links.
    pub fn peers(&self) -> Vec<PeerStatus> {
        self.with(|machine, now| machine.core().peers(now))
    }

    /// The latest decisions about a peer: why its packets went where they went.
    pub fn decisions(&self, peer: PeerId) -> Vec<Decision> {
        self.with(|machine, _| machine.core().decisions(peer))
    }

    /// What was refused, dropped or repeated.
    pub fn counters(&self) -> Counters {
        self.with(|machine, _| machine.core().counters())
    }
}
