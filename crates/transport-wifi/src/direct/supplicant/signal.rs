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
