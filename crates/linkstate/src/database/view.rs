//! What is known, as links between peers.

use std::collections::BTreeSet;
use std::time::Duration;

use bitcraps_types::{PeerId, TransportType};
use bitcraps_wire::{Alias, Quality};

use super::LinkDatabase;
use crate::shown::{LinkKey, Look};
use crate::table::{ClaimKey, Claims, Origin};
use crate::{Change, Command, Flag, Link};

/// A round trip this much longer than the links of the shortest path say has another path.
const TOO_LONG: u32 = 4;
/// What a path may take beyond its links: queues, retransmissions, sleeping radios.
const SLACK: Duration = Duration::from_millis(250);

impl LinkDatabase {
    /// Every link that counts, ascending. What this node measures of its own links is shown whatever
    /// others say of them.
    pub fn links(&self) -> impl Iterator<Item = Link> {
        self.shown.links()
    }

    /// Links that could be made: who says so, with whom, over what. Ends that are not known by name are
    /// left out. O(origins and offers).
    pub fn offers(&self) -> impl Iterator<Item = (PeerId, PeerId, TransportType)> + '_ {
        self.table.iter().flat_map(move |(alias, origin)| {
            let from = self.shown_name(alias);
            origin
                .offers()
                .into_iter()
                .filter_map(move |(end, transport)| Some((from?, self.shown_name(end)?, transport)))
        })
    }

    /// What was found to be wrong with what a peer says.
    pub fn flags(&self, peer: &PeerId) -> impl Iterator<Item = Flag> + use<> {
        let bits = self.table.get(crate::alias_of(peer)).map_or(0, |origin| origin.flags);
        let all = [
            Flag::NoSuchLink,
            Flag::EndsDisagree,
            Flag::TooManyLinks,
            Flag::Forgery,
            Flag::TooNear,
        ];
        all.into_iter().filter(move |flag| bits & 1 << *flag as u8 != 0)
    }

    /// A round trip to a peer was measured end to end. One that is far longer than the links on the
    /// shortest path say is a sign of a relay that nobody tells of: the peer is flagged. O(m log n)
    /// for what takes longer than a path may anyway, O(1) for anything else.
    pub fn on_round_trip(&mut self, peer: &PeerId, round_trip: Duration) {
        if round_trip <= SLACK {
            return;
        }
        let Some(told) = self.shortest(peer) else { return };
        if round_trip > told * 2 * TOO_LONG + SLACK {
            self.flag(crate::alias_of(peer), Flag::TooNear);
        }
    }

    /// Latency of the fastest path to a peer, as the links say. Dijkstra's algorithm.
    fn shortest(&self, to: &PeerId) -> Option<Duration> {
        let mut open = BTreeSet::from([(Duration::ZERO, self.me)]);
        let mut done = BTreeSet::new();
        while let Some((latency, peer)) = open.pop_first() {
            if peer == *to {
                return Some(latency);
            }
            if !done.insert(peer) {
                continue;
            }
            // Links are stored by their lower end: of the others every link is looked at.
            for link in self.links_of(&peer) {
                let other = if link.a == peer { link.b } else { link.a };
                if !done.contains(&other) {
                    open.insert((latency + link.quality.latency(), other));
                }
            }
        }
        None
    }

    fn links_of(&self, peer: &PeerId) -> impl Iterator<Item = Link> {
        let alias = match *peer == self.me {
            true => self.publisher.alias,
            false => self.alias_of_shown(peer),
        };
        let claims = self.table.get(alias).map(Origin::claims).unwrap_or_default();
        let named = claims.keys().map(|(end, transport)| (self.shown_name(*end), *transport));
        let own = self.neighbours.keys().flat_map(|n| TransportType::ALL.map(|t| (*n, t)));
        let own = own.filter(|_| *peer == self.me).map(|(n, t)| (Some(n), t));
        let keys: BTreeSet<LinkKey> = named
            .chain(own)
            .filter_map(|(end, transport)| Some(key(*peer, end?, transport)))
            .collect();
        keys.into_iter().filter_map(|key| self.shown.get(&key))
    }

    fn alias_of_shown(&self, peer: &PeerId) -> Alias {
        let published = self.published_key(peer);
        crate::alias_of(&published.unwrap_or(*peer))
    }

    /// Under which id the owner of an alias is shown: the peer itself for neighbours, the key that
    /// it publishes under for others.
    fn shown_name(&self, alias: Alias) -> Option<PeerId> {
        if alias == self.publisher.alias {
            return Some(self.me);
        }
        let neighbour = self.by_alias.get(&alias).copied();
        neighbour.or_else(|| Some(self.table.get(alias)?.introduction.key))
    }

    /// The same for an origin that was looked up, if it is known.
    fn name_of(&self, alias: Alias, origin: Option<&Origin>) -> Option<PeerId> {
        let neighbour = self.by_alias.get(&alias).copied();
        neighbour.or_else(|| Some(origin?.introduction.key))
    }

    /// An origin may say something else of its links than `before`: of which it does, and whether
    /// links came or went.
    pub(super) fn claims_changed(
        &mut self,
        alias: Alias,
        before: &Claims,
        after: &Claims,
    ) -> (Vec<ClaimKey>, bool) {
        let structural = !before.keys().eq(after.keys());
        let changed: Vec<_> = before
            .iter()
            .filter(|(key, quality)| after.get(key) != Some(quality))
            .map(|(key, _)| *key)
            .chain(after.keys().filter(|key| !before.contains_key(key)).copied())
            .collect();
        for (neighbour, transport) in changed.iter().copied() {
            self.pair_changed(alias, neighbour, transport);
        }
        (changed, structural)
    }

    /// What one end says of a pair has changed.
    pub(super) fn pair_changed(&mut self, a: Alias, b: Alias, transport: TransportType) {
        let ends = [a, b].map(|alias| (alias, self.table.get(alias)));
        let by = |transport| confirmed(ends, transport);
        let quality = by(transport);
        if quality.is_some() || TransportType::ALL.into_iter().any(|t| by(t).is_some()) {
            self.graph.insert(a, b);
        } else {
            self.graph.remove(a, b);
        }
        if let Some((key, look)) = self.look(ends, transport, quality) {
            self.set_shown(key, look);
        }
    }

    /// Shows a link of others as it is now.
    pub(super) fn show(&mut self, a: Alias, b: Alias, transport: TransportType) {
        let ends = [a, b].map(|alias| (alias, self.table.get(alias)));
        if let Some((key, look)) = self.look(ends, transport, confirmed(ends, transport)) {
            self.set_shown(key, look);
        }
    }

    /// How a link of this quality is to be shown, if its ends have names and it is not one of this node.
    fn look(
        &self,
        [(a, here), (b, there)]: Ends<'_>,
        transport: TransportType,
        quality: Option<Quality>,
    ) -> Option<(LinkKey, Option<Look>)> {
        let own = self.publisher.alias;
        if a == own || b == own {
            return None;
        }
        let (from, to) = self.name_of(a, here).zip(self.name_of(b, there))?;
        let verified = [here, there].into_iter().flatten().all(|origin| origin.verified);
        Some((key(from, to, transport), quality.map(|quality| (quality, verified))))
    }

    /// Shows every link of an alias again, whose name has changed.
    pub(super) fn show_again(&mut self, alias: Alias) {
        let Some(origin) = self.table.get(alias) else { return };
        let claims = origin.claims();
        let names = [self.by_alias.get(&alias).copied(), Some(origin.introduction.key)];
        let published = origin.introduction.key;
        if names[0] == Some(published) {
            return;
        }
        for (neighbour, transport) in claims.keys().copied() {
            let Some(other) = self.shown_name(neighbour).filter(|other| *other != self.me) else {
                continue;
            };
            for name in names.into_iter().flatten() {
                self.set_shown(key(name, other, transport), None);
            }
            self.show(alias, neighbour, transport);
        }
    }

    /// Shows the links with a neighbour as they are measured.
    pub(super) fn show_own(&mut self, peer: &PeerId) {
        let Some(neighbour) = self.neighbours.get(peer) else { return };
        let qualities: Vec<_> = neighbour.qualities().collect();
        for transport in TransportType::ALL {
            let quality = qualities.iter().find(|quality| quality.transport() == transport);
            let (a, b, _) = key(self.me, *peer, transport);
            self.set_shown((a, b, transport), quality.map(|quality| (*quality, true)));
        }
    }

    fn set_shown(&mut self, key: LinkKey, look: Option<Look>) {
        if self.shown.set(key, look) {
            let (a, b, transport) = key;
            let change = match look {
                Some((quality, verified)) => Change::Link(Link { a, b, quality, verified }),
                None => Change::LinkGone { a, b, transport },
            };
            self.commands.push_back(Command::Changed(change));
        }
    }
}

/// The ends of a link, and what is known of them.
type Ends<'a> = [(Alias, Option<&'a Origin>); 2];

/// The worse of what both ends say of a link, when both know of it.
fn confirmed([(a, here), (b, there)]: Ends<'_>, transport: TransportType) -> Option<Quality> {
    let there = there?.claim(&(a, transport))?;
    let here = here?.claim(&(b, transport))?;
    Some(here.worse(there))
}

fn key(a: PeerId, b: PeerId, transport: TransportType) -> LinkKey {
    (a.min(b), a.max(b), transport)
}
