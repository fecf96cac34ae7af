//! What the signals of a P2PDevice say.

use zbus::Message;
use zbus::zvariant::{OwnedObjectPath, OwnedValue, Structure, Value};

use super::Settings;
use crate::direct::device::Device;
use crate::direct::formation::{Fact, MAX_KEPT, Role};
use crate::direct::service::answered;

/// P2P status "unknown P2P group" (Wi-Fi P2P Technical Specification 1.7, table 9).
const UNKNOWN_GROUP: i32 = 8;

/// A signal, as far as this program is concerned.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) enum Signal {
    Fact(Fact),
    Started { role: Role, interface: String, group: String },
    Finished { interface: String },
}

/// The device of a peer's object.
pub(super) fn device(path: &str) -> Option<Device> {
    let (before, digits) = path.rsplit_once('/')?;
    before.ends_with("/Peers").then(|| Device::parse(digits)).flatten()
}

/// What a stored group is: its number, and with whom it was formed; of a group of this device's own
/// with each of [`MAX_KEPT`] that were let in. Without anybody once where nobody is named.
pub(super) fn kept(path: &str, settings: &Settings) -> Vec<Fact> {
    let number = path.rsplit_once('/').filter(|(before, _)| before.ends_with("/PersistentGroups"));
    let Some(group) = number.and_then(|(_, number)| number.parse().ok()) else { return Vec::new() };
    let devices = |name: &str| {
        let named = settings.get(name).and_then(text).unwrap_or_default();
        let named = named.split(' ').filter_map(Device::parse).take(MAX_KEPT);
        named.collect::<Vec<_>>()
    };
    // 3: it owns.
    let (role, with) = match settings.get("mode").and_then(text) {
        Some("3") => (Role::Owner, devices("p2p_client_list")),
        _ => (Role::Client, devices("bssid")),
    };
    let kept = |with| Fact::Kept { group, role, with };
    match with.as_slice() {
        [] => vec![kept(None)],
        some => some.iter().map(|with| kept(Some(*with))).collect(),
    }
}

fn text(value: &OwnedValue) -> Option<&str> {
    match &**value {
        Value::Str(text) => Some(text.as_str().trim_matches('"')),
        _ => None,
    }
}

fn path(settings: &Settings, name: &str) -> Option<String> {
    match &**settings.get(name)? {
        Value::ObjectPath(path) => Some(path.to_string()),
        _ => None,
    }
}

/// `None` for what concerns nobody here, and for what makes no sense.
pub(super) fn read(message: &Message) -> Option<Signal> {
    let header = message.header();
    let body = message.body();
    let peer = || match body.deserialize::<Structure<'_>>().ok()?.fields().first()? {
        Value::ObjectPath(path) => device(path),
        _ => None,
    };
    let settings = || body.deserialize::<Settings>().ok();
    let fact = match header.member()?.as_str() {
        "DeviceFound" => Fact::Found { device: peer()?, owner: false },
        "DeviceLost" => Fact::Gone(peer()?),
        "GONegotiationRequest" => Fact::Called(peer()?),
        "ProvisionDiscoveryPBCRequest"
        | "ProvisionDiscoveryRequestDisplayPin"
        | "ProvisionDiscoveryRequestEnterPin" => Fact::Knocked(peer()?),
        "GONegotiationFailure" | "GroupFormationFailure" => Fact::Failed,
        "InvitationResult" => match &**settings()?.get("status")? {
            Value::I32(0) => return None,
            Value::I32(UNKNOWN_GROUP) => Fact::Unknown,
            _ => Fact::Failed,
        },
        "ServiceDiscoveryResponse" => {
            let settings = settings()?;
            let device = device(&path(&settings, "peer_object")?)?;
            let tlvs = Vec::<u8>::try_from(settings.get("tlvs")?.try_clone().ok()?).ok()?;
            Fact::Named(device, answered(&tlvs)?)
        }
        "PersistentGroupAdded" => {
            let (path, mut object): (OwnedObjectPath, Settings) = body.deserialize().ok()?;
            // All properties of the object, of which it has one.
            let settings = object.remove("Properties")?.try_into().ok()?;
            *kept(&path, &settings).first()?
        }
        "GroupStarted" => {
            let settings = settings()?;
            let role = match text(settings.get("role")?)? {
                "GO" => Role::Owner,
                _ => Role::Client,
            };
            let interface = path(&settings, "interface_object")?;
            let group = path(&settings, "group_object")?;
            return Some(Signal::Started { role, interface, group });
        }
        "GroupFinished" => {
            return Some(Signal::Finished { interface: path(&settings()?, "interface_object")? });
        }
        _ => return None,
    };
    Some(Signal::Fact(fact))
}

#[cfg(test)]
mod tests {
    use std::collections::HashMap;

    use zbus::zvariant::DynamicType;

    use super::*;

    const STORED: &str = "/fi/w1/wpa_supplicant1/Interfaces/0/PersistentGroups/3";

    fn stored(path: &str, settings: &[(&str, &str)]) -> Vec<Fact> {
        let owned = |text: &str| OwnedValue::try_from(Value::from(text)).unwrap();
        let settings = settings.iter().map(|(name, text)| ((*name).to_owned(), owned(text)));
        kept(path, &settings.collect())
    }

    fn told<B: serde::Serialize + DynamicType>(name: &str, body: &B) -> Option<Signal> {
        let interface = "fi.w1.wpa_supplicant1.Interface.P2PDevice";
        let message = Message::signal("/fi/w1/wpa_supplicant1/Interfaces/0", interface, name);
        read(&message.unwrap().build(body).unwrap())
    }

    #[test]
    fn a_stored_group_is_with_its_owner_or_with_all_that_its_owner_let_in() {
        let of = |role, with: Option<u8>| {
            let with = with.map(|last| Device([2, 0, 0, 0, 0, last]));
            Fact::Kept { group: 3, role, with }
        };
        let client = [("mode", "0"), ("bssid", "02:00:00:00:00:07"), ("p2p_client_list", "")];
        assert_eq!(stored(STORED, &client), [of(Role::Client, Some(7))]);
        let two = "02:00:00:00:00:08 nonsense 02:00:00:00:00:09";
        let owner = [("mode", "3"), ("bssid", "02:00:00:00:00:07"), ("p2p_client_list", two)];
        let expected = [of(Role::Owner, Some(8)), of(Role::Owner, Some(9))];
        assert_eq!(stored(STORED, &owner), expected);
        assert_eq!(stored(STORED, &owner[..2]), [of(Role::Owner, None)], "nobody was let in yet");
        let many = "02:00:00:00:00:08 ".repeat(MAX_KEPT + 1);
        assert_eq!(stored(STORED, &[("mode", "3"), ("p2p_client_list", &many)]).len(), MAX_KEPT);
        for path in ["/PersistentGroups/x", "/Peers/3", "3", ""] {
            assert_eq!(stored(path, &client), [], "{path}");
        }
    }

    #[test]
    fn an_invitation_that_is_taken_says_nothing_and_an_unknown_group_is_told_from_silence() {
        let rows = [
            (0, None),
            (8, Some(Fact::Unknown)),
            (-1, Some(Fact::Failed)),
            (1, Some(Fact::Failed)),
        ];
        for (status, expected) in rows {
            let body = (HashMap::from([("status", Value::from(status))]),);
            assert_eq!(told("InvitationResult", &body), expected.map(Signal::Fact), "{status}");
        }
        assert_eq!(told("InvitationResult", &(7_u8,)), None, "nonsense");
    }
}
