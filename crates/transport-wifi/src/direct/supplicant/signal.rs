//! What the signals of a P2PDevice say.

use zbus::Message;
use zbus::zvariant::{OwnedObjectPath, OwnedValue, Structure, Value};

use super::Settings;
use crate::direct::device::Device;
use crate::direct::formation::{Fact, Role};
use crate::direct::service::answered;

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

/// What a stored group is: its number, and whose it is.
pub(super) fn kept(path: &str, settings: &Settings) -> Option<Fact> {
    let (before, number) = path.rsplit_once('/')?;
    let number = number.parse().ok().filter(|_| before.ends_with("/PersistentGroups"))?;
    // Of a group of this device's own it is nobody's, or this device's, which is no peer. 3: it owns.
    let owned = settings.get("mode").and_then(text) == Some("3");
    let owner = settings.get("bssid").and_then(text).and_then(Device::parse);
    let owner = owner.filter(|_| !owned);
    Some(Fact::Kept(number, owner))
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
            _ => Fact::Failed,
        },
        "ServiceDiscoveryResponse" => {
            let settings = settings()?;
            let device = device(&path(&settings, "peer_object")?)?;
            let tlvs = Vec::<u8>::try_from(settings.get("tlvs")?.try_clone().ok()?).ok()?;
            Fact::Named(device, answered(&tlvs)?)
        }
        "PersistentGroupAdded" => {
            let (path, settings): (OwnedObjectPath, Settings) = body.deserialize().ok()?;
            kept(&path, &settings)?
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
