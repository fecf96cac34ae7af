//! What bluetoothd tells of devices.

use std::collections::{BTreeMap, HashMap};

use zbus::zvariant::{OwnedValue, Value};

use crate::advertisement::{Advertisement, SERVICE};
use crate::place::Device;
use crate::radio::RadioEvent;

/// Properties of one interface, by name.
pub(super) type Properties = HashMap<String, OwnedValue>;

/// Devices that are remembered, because later reports tell only what has changed.
/// bluetoothd forgets them after 30 s; of whoever is left out, reports that tell everything count.
const MAX_SIGHTS: usize = 256;

/// What a controller says that has not measured a signal's strength (Core 5.4, vol. 4, part E, 7.7.65.2).
const NOT_MEASURED: i16 = 127;

/// The UUID as bluetoothd writes it.
pub(super) fn service() -> String {
    let hex = format!("{SERVICE:032x}");
    format!("{}-{}-{}-{}-{}", &hex[..8], &hex[8..12], &hex[12..16], &hex[16..20], &hex[20..])
}

/// Devices by bluetoothd's path: what they advertise of our service, if they do.
#[derive(Default)]
pub(super) struct Sights(BTreeMap<String, Option<(Device, Advertisement)>>);

impl Sights {
    /// Properties of the device at `path` are new or have changed; what there is to report of it.
    pub(super) fn seen(&mut self, path: &str, properties: &Properties) -> Option<RadioEvent> {
        let known = self.0.get(path).copied();
        let mut sight = known.flatten();
        if let Some(advertisement) = advertisement(properties) {
            let device = device(properties).or(sight.map(|(device, _)| device));
            sight = Some((device.or_else(|| public_of(path))?, advertisement));
        }
        if known.is_some() || self.0.len() < MAX_SIGHTS {
            self.0.insert(path.to_owned(), sight);
        }
        // A device that bluetoothd only remembers has no signal strength.
        let Value::I16(rssi) = **properties.get("RSSI")? else { return None };
        let rssi = if rssi == NOT_MEASURED { i16::MIN } else { rssi };
        let (device, advertisement) = sight?;
        Some(RadioEvent::Sighted { device, advertisement, rssi })
    }

    /// Whether everything about the device at `path` has to be asked for to know what `changed` means:
    /// bluetoothd tells only what is not as it was before this node began to listen.
    pub(super) fn wonders(&self, path: &str, changed: &Properties) -> bool {
        match self.0.get(path) {
            Some(Some(_)) => false,
            Some(None) => changed.contains_key("ServiceData"),
            None => {
                let heard = changed.contains_key("RSSI") && self.0.len() < MAX_SIGHTS;
                heard || changed.contains_key("ServiceData")
            }
        }
    }

    /// The device at `path` is forgotten.
    pub(super) fn gone(&mut self, path: &str) {
        self.0.remove(path);
    }
}

/// The address in a path such as `/org/bluez/hci0/dev_00_AA_01_00_00_24`.
fn public_of(path: &str) -> Option<Device> {
    let (_, name) = path.rsplit_once("/dev_")?;
    Device::parse(&name.replace('_', ":"), false)
}

/// The device that `properties` describe.
pub(super) fn device(properties: &Properties) -> Option<Device> {
    let text = |name: &str| match **properties.get(name)? {
        Value::Str(ref text) => Some(text.as_str()),
        _ => None,
    };
    Device::parse(text("Address")?, text("AddressType")? == "random")
}

fn advertisement(properties: &Properties) -> Option<Advertisement> {
    let Value::Dict(ref data) = **properties.get("ServiceData")? else { return None };
    let service = service();
    let data: Value<'_> = data.get(&service).ok()??;
    let bytes: Vec<u8> = data.try_into().ok()?;
    Advertisement::decode(&bytes).ok()
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::advertisement::Tag;

    const PATH: &str = "/org/bluez/hci0/dev_00_AA_01_00_00_24";

    fn data(psm: u8) -> OwnedValue {
        let mut bytes = vec![1, psm];
        bytes.extend([7; 8]);
        let data = HashMap::from([(service(), Value::from(bytes))]);
        Value::from(data).try_into().unwrap()
    }

    fn properties(all: Vec<(&str, OwnedValue)>) -> Properties {
        all.into_iter().map(|(name, value)| (name.to_owned(), value)).collect()
    }

    fn text(text: &str) -> OwnedValue {
        Value::from(text).try_into().unwrap()
    }

    #[test]
    fn the_uuid_is_written_as_bluetoothd_writes_it() {
        assert_eq!(service(), "d1ce0001-6c62-4372-a150-73b1c7a95e5c");
    }

    #[test]
    fn a_device_is_reported_when_it_is_heard_and_says_what_it_is() {
        let mut sights = Sights::default();
        let rssi = || ("RSSI", OwnedValue::from(-50_i16));
        assert!(sights.seen(PATH, &properties(vec![rssi()])).is_none(), "of no service");
        let remembered = properties(vec![
            ("Address", text("00:AA:01:00:00:24")),
            ("AddressType", text("random")),
            ("ServiceData", data(0x81)),
        ]);
        assert!(sights.seen(PATH, &remembered).is_none(), "not heard");
        let Some(RadioEvent::Sighted { device, advertisement, rssi: -50 }) =
            sights.seen(PATH, &properties(vec![rssi()]))
        else {
            panic!("heard, and not reported")
        };
        assert_eq!(device.to_string(), "00:AA:01:00:00:24/random");
        assert_eq!(advertisement, Advertisement { psm: 0x81, tag: Tag([7; 8]) });
        let changed = properties(vec![rssi(), ("ServiceData", data(0x82))]);
        let Some(RadioEvent::Sighted { device: same, advertisement, .. }) =
            sights.seen(PATH, &changed)
        else {
            panic!("changed, and not reported")
        };
        assert_eq!((same, advertisement.psm), (device, 0x82));
        let unmeasured = properties(vec![("RSSI", OwnedValue::from(127_i16))]);
        let told = sights.seen(PATH, &unmeasured);
        assert!(
            matches!(told, Some(RadioEvent::Sighted { rssi: i16::MIN, .. })),
            "no signal is so strong"
        );
        sights.gone(PATH);
        assert!(sights.seen(PATH, &properties(vec![rssi()])).is_none(), "forgotten");
    }

    #[test]
    fn a_device_known_to_bluetoothd_from_before_is_asked_for_once() {
        let mut sights = Sights::default();
        let heard = properties(vec![("RSSI", OwnedValue::from(-50_i16))]);
        let gone = properties(vec![("Connected", OwnedValue::from(false))]);
        let told = properties(vec![("ServiceData", data(0x81))]);
        assert!(sights.wonders(PATH, &heard) && sights.wonders(PATH, &told));
        assert!(!sights.wonders(PATH, &gone));
        assert!(sights.seen(PATH, &heard).is_none(), "nobody of ours");
        assert!(!sights.wonders(PATH, &heard), "asked for once");
        assert!(sights.wonders(PATH, &told), "it is one now");
        let all = vec![("Address", text("00:AA:01:00:00:24")), ("ServiceData", data(0x81))];
        assert!(sights.seen(PATH, &properties(all)).is_none(), "not heard");
        assert!(!sights.wonders(PATH, &told) && !sights.wonders(PATH, &heard));
        assert!(sights.seen(PATH, &heard).is_some());
        for number in 0..MAX_SIGHTS {
            sights.seen(&format!("/{number}"), &heard);
        }
        assert!(!sights.wonders("/one/more", &heard), "a crowd of strangers is not asked about");
        assert!(sights.wonders("/one/more", &told));
    }

    #[test]
    fn what_is_no_advertisement_of_ours_is_not_reported() {
        let mut sights = Sights::default();
        for bad in [data(0x7f), text("text"), OwnedValue::from(3_u8)] {
            let all = vec![("RSSI", OwnedValue::from(-50_i16)), ("ServiceData", bad)];
            assert!(sights.seen(PATH, &properties(all)).is_none());
        }
    }

    #[test]
    fn what_is_remembered_is_bounded() {
        let mut sights = Sights::default();
        for number in 0..1_000 {
            let path = format!(
                "/org/bluez/hci0/dev_00_AA_01_00_{:02X}_{:02X}",
                number / 256,
                number % 256
            );
            let rssi = || ("RSSI", OwnedValue::from(-50_i16));
            let all = vec![rssi(), ("ServiceData", data(0x81))];
            assert!(sights.seen(&path, &properties(all)).is_some(), "{number}: it told everything");
            let later = sights.seen(&path, &properties(vec![rssi()]));
            assert_eq!(later.is_some(), number < MAX_SIGHTS, "{number}");
        }
    }
}
