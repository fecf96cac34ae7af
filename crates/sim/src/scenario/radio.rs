use std::time::Duration;

use bitcraps_types::{Kbps, TransportType};

use super::Radio;
use super::error::ScenarioError;
use super::read::MAX_METRES;
use super::section::Section;
use crate::LinkModel;

/// Most links a node may hold over a radio.
const MAX_HELD: u64 = 64;

const KINDS: [(&str, TransportType); 3] = [
    ("bluetooth", TransportType::Bluetooth),
    ("wifi", TransportType::WiFiDirect),
    ("internet", TransportType::Internet),
];

impl Radio {
    pub(super) fn read(name: &str, mut section: Section<'_>) -> Result<Self, ScenarioError> {
        let kind = section.word("kind", &KINDS)?;
        let kind =
            kind.ok_or_else(|| section.missing("kind", "write bluetooth, wifi or internet"))?;
        let (mut model, notices_after, most) = match kind {
            TransportType::Bluetooth => (LinkModel::bluetooth_le(), 4, 8),
            TransportType::WiFiDirect => (LinkModel::wifi(), 1, 16),
            TransportType::Internet => (LinkModel::internet(), 3, 16),
        };
        if let Some(latency) = section.time("latency_ms", 0.0..=60_000.0)? {
            model.latency = latency;
        }
        if let Some(jitter) = section.time("jitter_ms", 0.0..=60_000.0)? {
            model.jitter = jitter;
        }
        if let Some(loss) = section.number("loss", 0.0..=1.0)? {
            model = model.loss(loss);
        }
        if let Some(rate) = section.whole("rate_kbps", 1..=100_000_000)? {
            model.rate = Kbps::at_least_one(rate as u32);
        }
        let range = section.number("range_m", 0.1..=MAX_METRES)?;
        let most = section.whole("links", 1..=MAX_HELD)?.unwrap_or(most) as usize;
        let silent = section.time("notices_after_s", 0.0..=60.0)?;
        let silent = silent.unwrap_or(Duration::from_secs(notices_after));
        section.only_where(
            range.is_some(),
            &["links", "notices_after_s"],
            "only of links that nodes find by themselves, within range_m",
        )?;
        section.done()?;
        Ok(Self { name: name.to_owned(), model, range, most, silent })
    }
}
