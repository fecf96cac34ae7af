use std::collections::BTreeMap;

use bitcraps_types::{PeerId, TransportType};
use bitcraps_wire::Quality;

use crate::Link;
use crate::sorted::Sorted;

/// What names a link: the lower end, the other one, what carries it.
pub(crate) type LinkKey = (PeerId, PeerId, TransportType);

/// What a link is like, and whether both ends are verified.
pub(crate) type Look = (Quality, bool);

/// The links that count, by their lower ends.
#[derive(Debug, Default)]
pub(crate) struct Shown(BTreeMap<PeerId, Sorted<(PeerId, TransportType), Look>>);

impl Shown {
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

    /// Ascending.
    pub(crate) fn links(&self) -> impl Iterator<Item = Link> {
        self.0.iter().flat_map(|(a, links)| links.iter().map(|((b, _), look)| link(*a, *b, *look)))
    }
}

fn link(a: PeerId, b: PeerId, (quality, verified): Look) -> Link {
    Link { a, b, quality, verified }
}
