//! Records and bodies made by hand, for tests and evaluations.

use std::time::Duration;

use bitcraps_types::{Epoch, Kbps, PeerId, Ratio, TransportType};
use bitcraps_wire::{
    Carried, Introduction, LinkClaim, LinkState, Part, Presence, Quality, Record, Version,
};
use bytes::Bytes;
use ed25519_dalek::{Signer, SigningKey};

use crate::alias_of;
use crate::net::seed;

/// A key that says what it likes.
pub struct Forger {
    key: SigningKey,
    /// Under which key and epoch it publishes.
    pub introduction: Introduction,
}

impl Forger {
    /// The key of [`seed`], in an epoch.
    pub fn new(number: usize, epoch: u64) -> Self {
        let key = SigningKey::from_bytes(&seed(number));
        let peer = PeerId::from_bytes(key.verifying_key().to_bytes());
        Self { key, introduction: Introduction { key: peer, epoch: Epoch(epoch) } }
    }

    /// The key.
    pub fn id(&self) -> PeerId {
        self.introduction.key
    }

    /// A signed record; `base` is 0 for a full one.
    pub fn record(&self, sequence: u32, base: u8, links: &[(PeerId, Quality)]) -> Record {
        let version = Version {
            alias: alias_of(&self.id()),
            epoch: Version::epoch_bits(self.introduction.epoch),
            page: 0,
            sequence,
        };
        let claim = |(peer, quality): &(PeerId, Quality)| LinkClaim {
            neighbour: alias_of(peer),
            quality: *quality,
        };
        let mut links: Vec<_> = links.iter().map(claim).collect();
        links.sort();
        let mut record = Record { version, base, links, signature: [0; 64] };
        record.signature = self.key.sign(&record.signed_bytes(&self.introduction)).to_bytes();
        record
    }

    /// A record as it travels, introduced.
    pub fn carried(&self, record: Record) -> Part {
        Part::Record(Carried { age: 0, introduction: Some(self.introduction), record })
    }

    /// What it says of itself on a new link.
    pub fn presence(&self) -> Part {
        Part::Presence(Presence { introduction: self.introduction, listed: true })
    }
}

/// A body of these parts.
pub fn body(parts: Vec<Part>) -> Bytes {
    LinkState { parts }.encode()
}

/// A link over Wi-Fi without losses, of 1 Mbit/s.
pub fn quality(latency: Duration) -> Quality {
    let rate = Kbps::at_least_one(1_000);
    Quality::new(TransportType::WiFiDirect, latency, Ratio::ONE, rate)
}
