use bitcraps_types::{PeerId, TransportType};
use bitcraps_wire::Quality;
use foldhash::fast::FixedState;
use hashbrown::HashMap;

use crate::Link;
use crate::sorted::Sorted;

/// What names a link: the lower end, the other one, what carries it.
pub(crate) type LinkKey = (PeerId, PeerId, TransportType);

/// What a link is like, and whether both ends are verified.
pub(crate) type Look = (Quality, bool);

/// The links that count, by their lower ends.
#[derive(Debug)]
pub(crate) struct Shown(HashMap<PeerId, Sorted<(PeerId, TransportType), Look, 4>, FixedState>);

impl Shown {
    /// Without links. `hash` keys the hash of ids.
    pub(crate) fn new(hash: u64) -> Self {
        Self(HashMap::with_hasher(FixedState::with_seed(hash)))
    }

    pub(crate) fn get(&self, (a, b, transport): &LinkKey) -> Option<Link> {
        let look = self.0.get(a)?.get(&(*b, *transport))?;
        Some(link(*a, *b, *look))
    }

    /// Whether that is a change.
    pub(crate) fn set(&mut self, (a, b, transport): LinkKey, look: Option<Look>) -> bool {
        let key = (b, transport);
        match look {
            Some(look) => self.0.entry(a).or_default().insert(key, look) != Some(look),
            None => {
                let Some(links) = self.0.get_mut(&a) else { return false };
                let gone = links.remove(&key).is_some();
                if links.is_empty() {
                    self.0.remove(&a);
                }
                gone
            }
        }
    }

    /// Ascending. O(n log n).
    pub(crate) fn links(&self) -> impl Iterator<Item = Link> {
        let mut ends: Vec<_> = self.0.iter().collect();
        ends.sort_unstable_by_key(|(a, _)| *a);
        ends.into_iter()
            .flat_map(|(a, links)| links.iter().map(|((b, _), look)| link(*a, *b, *look)))
    }
}

fn link(a: PeerId, b: PeerId, (quality, verified): Look) -> Link {
    Link { a, b, quality, verified }
}
