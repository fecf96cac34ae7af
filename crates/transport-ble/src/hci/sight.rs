//! What is advertised, and what is heard.

use bt_hci::param::{AddrKind, BdAddr, LeAdvReportsIter, LeExtAdvReportsIter};
use tokio::sync::mpsc;
use trouble_host::Address;
use trouble_host::prelude::EventHandler;

use crate::advertisement::{Advertisement, SERVICE};
use crate::place::Device;
use crate::radio::RadioEvent;

/// Length of an advertisement in bytes, all that a legacy one holds.
const LEN: usize = 31;

/// Kinds of what an advertisement holds (Supplement to the Core, part A).
const FLAGS: u8 = 0x01;
const SERVICE_DATA_128: u8 = 0x21;

/// Found by anybody, and no Bluetooth but LE.
const DISCOVERABLE_LE_ONLY: u8 = 0x06;

/// What a controller says that has not measured a signal's strength (Core 5.4, vol. 4, part E, 7.7.65.2).
const NOT_MEASURED: i8 = 127;

/// The bytes of an advertisement.
pub(super) fn written(advertisement: &Advertisement) -> [u8; LEN] {
    let mut out = [0; LEN];
    out[..5].copy_from_slice(&[2, FLAGS, DISCOVERABLE_LE_ONLY, 27, SERVICE_DATA_128]);
    out[5..21].copy_from_slice(&SERVICE.to_le_bytes());
    out[21..].copy_from_slice(&advertisement.encode());
    out
}

/// The advertisement of a node in `data`, if it is one.
fn read(mut data: &[u8]) -> Option<Advertisement> {
    while let Some((&len, rest)) = data.split_first() {
        let (field, next) = rest.split_at_checked(usize::from(len))?;
        if let Some((&SERVICE_DATA_128, field)) = field.split_first()
            && let Some(told) = field.strip_prefix(&SERVICE.to_le_bytes())
        {
            return Advertisement::decode(told).ok();
        }
        data = next;
    }
    None
}

/// The device of an address as HCI writes it, least significant byte first.
pub(super) fn device(address: Address) -> Device {
    let mut bytes = [0; 6];
    bytes.copy_from_slice(address.addr.raw());
    bytes.reverse();
    // 0 and 2 are public ones, 1 and 3 random ones; those above 1 were resolved.
    Device { bytes, random: address.kind.as_raw() % 2 == 1 }
}

/// The address of a device.
pub(super) fn address(device: Device) -> Address {
    let mut bytes = device.bytes;
    bytes.reverse();
    let kind = if device.random { AddrKind::RANDOM } else { AddrKind::PUBLIC };
    Address::new(kind, BdAddr::new(bytes))
}

/// Tells the station of every node that is heard.
pub(super) struct Sights {
    pub(super) events: mpsc::Sender<RadioEvent>,
}

impl Sights {
    fn heard(&self, from: Address, rssi: i8, data: &[u8]) {
        if let Some(advertisement) = read(data) {
            let rssi = if rssi == NOT_MEASURED { i16::MIN } else { i16::from(rssi) };
            let sighted = RadioEvent::Sighted { device: device(from), advertisement, rssi };
            // What finds no room comes again.
            drop(self.events.try_send(sighted));
        }
    }
}

impl EventHandler for Sights {
    fn on_adv_reports(&self, reports: LeAdvReportsIter<'_>) {
        for report in reports.flatten() {
            self.heard(Address::new(report.addr_kind, report.addr), report.rssi, report.data);
        }
    }

    // Some controllers report what they hear in this form even when they were told to scan in the other.
    fn on_ext_adv_reports(&self, reports: LeExtAdvReportsIter<'_>) {
        for report in reports.flatten() {
            self.heard(Address::new(report.addr_kind, report.addr), report.rssi, report.data);
        }
    }
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;
    use crate::advertisement::Tag;

    const SENT: Advertisement = Advertisement { psm: 0x80, tag: Tag([1, 2, 3, 4, 5, 6, 7, 8]) };

    #[test]
    fn the_layout_is_this_one() {
        let data = written(&SENT);
        assert_eq!(data[..9], [2, 1, 6, 27, 0x21, 0x5c, 0x5e, 0xa9, 0xc7]);
        assert_eq!(data[17..], [1, 0, 0xce, 0xd1, 1, 0x80, 1, 2, 3, 4, 5, 6, 7, 8]);
        assert_eq!(read(&data), Some(SENT));
    }

    #[test]
    fn what_is_cut_or_says_a_wrong_length_is_not_read() {
        let good = written(&SENT);
        for cut in 0..good.len() {
            assert_eq!(read(&good[..cut]), None, "{cut} bytes");
        }
        for (at, byte) in [(3, 26), (3, 28), (3, 255), (0, 30), (0, 31), (4, 0x16), (21, 9)] {
            let mut bad = good;
            bad[at] = byte;
            assert_eq!(read(&bad), None, "{byte} at {at}");
        }
        // A controller pads with fields of no length.
        assert_eq!(read(&[&[0, 0][..], &good[3..], &[0, 0]].concat()), Some(SENT));
    }

    #[test]
    fn an_address_is_written_the_other_way_round() {
        let bytes = [0xc1, 2, 3, 4, 5, 6];
        for random in [false, true] {
            let there = Device { bytes, random };
            assert_eq!(address(there).addr.raw(), &[6, 5, 4, 3, 2, 0xc1]);
            assert_eq!(device(address(there)), there);
        }
    }

    proptest! {
        #[test]
        fn no_bytes_break_it(data in prop::collection::vec(any::<u8>(), 0..60)) {
            read(&data);
        }

        #[test]
        fn what_is_read_was_written(at in 0..31_usize, byte: u8) {
            let mut data = written(&SENT);
            data[at] = byte;
            if let Some(told) = read(&data) {
                prop_assert!(data.ends_with(&told.encode()));
            }
        }
    }
}
