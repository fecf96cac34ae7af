use std::time::Duration;

use bitcraps_types::{EnergyProfile, Kbps, LinkCapabilities, Medium, PeerId, Ratio, TransportType};
use bitcraps_wire::{HopHeader, MAX_VIA, NO_DEADLINE, Relayed, Route};

use crate::network::Network;
use crate::tunnels::WAYS;

/// Bytes that sealing adds to a frame, with the number of its way.
const SEALED: usize = bitcraps_session::OVERHEAD + 8 + 1;
/// Frames that any link but Bluetooth carries, in bytes.
const WIDE_FRAME: usize = 1_200;
/// Frames that a Bluetooth link carries, in bytes.
const BLUETOOTH_FRAME: usize = 512;
/// Ways to a peer that lead through a relay at least.
pub(crate) fn relayed_ways(network: &Network, peer: &PeerId) -> Vec<Vec<PeerId>> {
    let mut ways = network.ways(peer, WAYS);
    ways.retain(|way| way.len() > 2);
    ways
}

/// What is left of a frame's time after a hop; `None` when nothing is.
pub(crate) fn left_of(deadline_ms: u32, half_trip: Duration) -> Option<u32> {
    if deadline_ms == NO_DEADLINE {
        return Some(deadline_ms);
    }
    let spent = u32::try_from(half_trip.as_millis()).unwrap_or(u32::MAX);
    deadline_ms.checked_sub(spent).filter(|left| *left > 0)
}

/// What a way can do, and as links of which family it is judged: that of its slowest kind of link.
pub(crate) fn capabilities(
    network: &Network,
    way: &[PeerId],
    medium: Medium,
) -> (TransportType, LinkCapabilities) {
    let topology = network.topology();
    let kind = |ends: &[PeerId]| {
        let links = topology.links_between(&ends[0], &ends[1]);
        let fastest = links.iter().min_by_key(|link| link.latency());
        fastest.map(|link| link.transport())
    };
    // Of a hop that this node has not heard of, nothing is known.
    let kinds: Vec<TransportType> = way.windows(2).filter_map(kind).collect();
    let has = |kind| kinds.contains(&kind);
    let transport = if has(TransportType::Bluetooth) {
        TransportType::Bluetooth
    } else if has(TransportType::Internet) || kinds.is_empty() {
        TransportType::Internet
    } else {
        TransportType::WiFiDirect
    };
    let frame = if has(TransportType::Bluetooth) { BLUETOOTH_FRAME } else { WIDE_FRAME };
    let head =
        HopHeader::LEN + Route::LEN + Relayed::HEADER_LEN + Relayed::VIA_LEN * MAX_VIA + SEALED;
    let rate = way.windows(2).flat_map(|ends| {
        let links = topology.links_between(&ends[0], &ends[1]);
        links.iter().map(|link| link.bandwidth()).max()
    });
    let capabilities = LinkCapabilities {
        max_frame: (frame - head).max(LinkCapabilities::MIN_FRAME),
        nominal_rate: rate.min().unwrap_or(Kbps::at_least_one(1_000)),
        // Every relay pays for it: probed like a radio on a battery.
        energy: EnergyProfile::WIFI,
        metered: false,
        prior_reliability: Ratio::clamped(0.95),
        medium,
    };
    (transport, capabilities)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_deadline_is_spent_hop_by_hop() {
        let ms = Duration::from_millis;
        assert_eq!(left_of(NO_DEADLINE, ms(5_000)), Some(NO_DEADLINE));
        assert_eq!(left_of(100, ms(30)), Some(70));
        assert_eq!(left_of(31, ms(30)), Some(1));
        assert_eq!(left_of(30, ms(30)), None);
        assert_eq!(left_of(29, ms(30)), None);
    }
}
