//! Ways that change: with the network, with hops that fall silent, with ends that start again.

use std::collections::BTreeSet;

use bitcraps_types::{LinkId, PeerId, Timestamp};

use crate::Engine;
use crate::tunnels::{IDLE, Tunnel, WAYS};
use crate::way::relayed_ways;

impl Engine {
    /// The network has changed, or a link came: ways that are there no more are replaced, and those
    /// to neighbours closed.
    pub(crate) fn review_ways(&mut self, now: Timestamp) {
        let (Some(network), Some(tunnels)) = (&mut self.network, &mut self.tunnels) else { return };
        if !network.take_changed() {
            return;
        }
        tunnels.forget_hops();
        let peers: Vec<PeerId> = tunnels.ends.keys().copied().collect();
        for peer in peers {
            if self.core.is_neighbour(peer) {
                self.close_links(peer, now);
                continue;
            }
            let (Some(network), Some(tunnels)) = (&self.network, &mut self.tunnels) else { return };
            let Some(end) = tunnels.ends.get(&peer) else { continue };
            let links: Vec<LinkId> = end.links.into_iter().flatten().collect();
            let free = (0..WAYS).filter(|number| end.links[*number].is_none());
            let free: Vec<usize> = free.collect();
            let mut kept: Vec<LinkId> = Vec::new();
            for link in &links {
                let way = tunnels.links.get(link).map(|tunnel| &tunnel.way);
                let holds = way.is_some_and(|way| network.has_way(way));
                if holds && !kept.iter().any(|other| Some(&tunnels.links[other].way) == way) {
                    kept.push(*link);
                }
            }
            if kept.len() == WAYS {
                continue;
            }
            let mut ways = relayed_ways(network, &peer);
            ways.retain(|way| !kept.iter().any(|link| tunnels.links[link].way == *way));
            let mut fresh = ways.into_iter();
            let mut gone = Vec::new();
            for link in links.iter().filter(|link| !kept.contains(link)) {
                match (fresh.next(), tunnels.links.get_mut(link)) {
                    (Some(way), Some(tunnel)) => tunnel.way = way,
                    _ => gone.push(*link),
                }
            }
            let more: Vec<_> = free.into_iter().zip(fresh).collect();
            for link in gone {
                self.close_link(link, now);
            }
            if !more.is_empty() {
                self.bring_up(peer, more, now);
            }
            if self.core.has_unsettled(peer)
                && let Some(tunnels) = &mut self.tunnels
                && !tunnels.ends.contains_key(&peer)
            {
                tunnels.wait_for(peer);
            }
        }
    }

    /// A neighbour answers no more, or again. Ways that begin with a silent one change, or rank last.
    pub(crate) fn hop_changed(&mut self, peer: PeerId, now: Timestamp) {
        let (Some(network), Some(tunnels)) = (&self.network, &mut self.tunnels) else { return };
        tunnels.forget_hops();
        if self.core.is_answering(peer) {
            return;
        }
        let begins = |tunnel: &&Tunnel| tunnel.way.get(1) == Some(&peer);
        let ends: BTreeSet<PeerId> =
            tunnels.links.values().filter(begins).map(|t| t.peer).collect();
        let mut doubted = Vec::new();
        for end in ends {
            let answers = |hop: &PeerId| self.core.is_answering(*hop);
            let mut fresh = network.ways_by(&end, WAYS, answers);
            let links = tunnels.ends.get(&end).map(|end| end.links).into_iter().flatten().flatten();
            let mut silent = Vec::new();
            for link in links {
                let Some(tunnel) = tunnels.links.get(&link) else { continue };
                fresh.retain(|way| *way != tunnel.way);
                silent.extend(begins(&tunnel).then_some(link));
            }
            for link in silent {
                match (fresh.pop(), tunnels.links.get_mut(&link)) {
                    (Some(way), Some(tunnel)) => tunnel.way = way,
                    _ => doubted.push(link),
                }
            }
        }
        for link in doubted {
            self.core.doubt(link, now);
        }
    }

    /// Looks again for ways that were not there, and closes those that nothing uses, or that lead to
    /// an incarnation that is over. What was measured across relays is held against what the network
    /// says.
    pub(crate) fn tend_ways(&mut self, now: Timestamp) {
        let Some(tunnels) = &mut self.tunnels else { return };
        let mut restarted = Vec::new();
        if let Some(network) = &mut self.network {
            let sessions = &tunnels.sessions;
            let is_over = |peer: &&PeerId| network.epoch_of(peer) > sessions.epoch_of(peer);
            restarted.extend(tunnels.ends.keys().filter(is_over).copied());
            for peer in tunnels.ends.keys() {
                if let Some(trip) = self.core.relayed_trip(*peer) {
                    network.judge(peer, trip, &mut self.core, now);
                }
            }
        }
        let waiting = std::mem::take(&mut tunnels.waiting);
        let idle = tunnels.ends.iter().filter(|(_, end)| now.since(end.used) >= IDLE);
        let idle: Vec<PeerId> = idle.map(|(peer, _)| *peer).collect();
        for peer in waiting {
            if self.core.has_unsettled(peer) {
                self.open(peer, now);
            }
        }
        for peer in idle {
            if !self.core.has_unsettled(peer) {
                self.close_links(peer, now);
            }
        }
        for peer in restarted {
            self.close_links(peer, now);
            if self.core.has_unsettled(peer) {
                self.open(peer, now);
            }
        }
    }
}
