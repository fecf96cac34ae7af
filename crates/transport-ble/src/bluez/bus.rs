//! bluetoothd over D-Bus.

use std::collections::{BTreeMap, HashMap};
use std::future::Future;

use futures_util::StreamExt as _;
use tokio::sync::mpsc;
use zbus::message::Type;
use zbus::zvariant::{OwnedObjectPath, Value};
use zbus::{Connection, MatchRule, Message, MessageStream};

use super::sight::{Properties, Sights, device, service};
use crate::advertisement::Advertisement;
use crate::place::Device;
use crate::radio::{RadioError, RadioEvent};

const BLUEZ: &str = "org.bluez";
const ADAPTER: &str = "org.bluez.Adapter1";
const DEVICE: &str = "org.bluez.Device1";
const ADVERTISING: &str = "org.bluez.LEAdvertisingManager1";
const OBJECTS: &str = "org.freedesktop.DBus.ObjectManager";
const PROPERTIES: &str = "org.freedesktop.DBus.Properties";

/// Where this process shows its advertisement to bluetoothd; each process has a bus name of its own.
const ADVERTISEMENT: &str = "/bitcraps/advertisement";

/// How often a node advertises while it does, in milliseconds: found within a look of four seconds
/// even when half of them are lost, at a thousandth of the radio's time.
const INTERVAL_MILLIS: (u32, u32) = (100, 150);

/// The weakest signal that a controller can tell of, in dBm (Core 5.4, vol. 4, part E, 7.7.65.2).
const WEAKEST: i16 = -127;

type Objects = BTreeMap<String, HashMap<String, Properties>>;

/// An adapter that bluetoothd has.
#[derive(Debug, Clone)]
pub(super) struct Adapter {
    path: String,
    pub(super) name: String,
    pub(super) device: Device,
    powered: bool,
    advertises: bool,
}

impl Adapter {
    /// Whether no hardware is behind it: the kernel knows it as a virtual device.
    pub(super) fn is_made_up(&self) -> bool {
        let link = std::fs::read_link(format!("/sys/class/bluetooth/{}", self.name));
        link.is_ok_and(|to| to.iter().any(|part| part == "virtual"))
    }
}

/// A connection to the system's bus.
pub(super) struct Bus(Connection);

fn text(error: &impl ToString) -> String {
    error.to_string()
}

/// What an error of bluetoothd, or of the bus, means while doing `what`.
fn translate(what: &str, error: zbus::Error) -> RadioError {
    let what = what.to_owned();
    let zbus::Error::MethodError(name, why, _) = &error else {
        return RadioError::NoDaemon(text(&error));
    };
    let why = why.clone().unwrap_or_else(|| name.to_string());
    match name.rsplit_once('.').map_or(name.as_str(), |(_, last)| last) {
        "ServiceUnknown" | "NameHasNoOwner" | "NoReply" => RadioError::NoDaemon(why),
        "AccessDenied" | "NotAuthorized" | "AuthFailed" => RadioError::NotPermitted { what, why },
        "UnknownMethod" | "UnknownInterface" | "UnknownProperty" => {
            RadioError::TooOld { what, why }
        }
        "UnknownObject" | "DoesNotExist" => RadioError::Gone { what, why },
        // What bluetoothd says when the controller advertises as much as it can.
        "NotPermitted" => RadioError::InUse { what, why },
        _ => RadioError::Failed { what, why },
    }
}

impl Bus {
    pub(super) async fn connect() -> Result<Self, RadioError> {
        let bus = Connection::system().await;
        bus.map(Self).map_err(|error| RadioError::NoDaemon(text(&error)))
    }

    async fn call<B>(&self, path: &str, method: [&str; 2], body: &B) -> zbus::Result<Message>
    where
        B: serde::Serialize + zbus::zvariant::DynamicType + Sync,
    {
        let [interface, name] = method;
        self.0.call_method(Some(BLUEZ), path, Some(interface), name, body).await
    }

    async fn objects(&self) -> Result<Objects, RadioError> {
        let listed = self.call("/", [OBJECTS, "GetManagedObjects"], &()).await;
        let listed: zbus::Result<HashMap<OwnedObjectPath, HashMap<String, Properties>>> =
            listed.and_then(|reply| reply.body().deserialize());
        let listed = listed.map_err(|error| translate("list the adapters", error))?;
        Ok(listed.into_iter().map(|(path, object)| (path.as_str().to_owned(), object)).collect())
    }

    async fn adapters(&self) -> Result<Vec<Adapter>, RadioError> {
        let described = |(path, interfaces): (String, HashMap<String, Properties>)| {
            let properties = interfaces.get(ADAPTER)?;
            Some(Adapter {
                name: path.rsplit('/').next()?.to_owned(),
                device: device(properties)?,
                powered: matches!(properties.get("Powered").map(|v| &**v), Some(Value::Bool(true))),
                advertises: interfaces.contains_key(ADVERTISING),
                path,
            })
        };
        Ok(self.objects().await?.into_iter().filter_map(described).collect())
    }

    /// The adapter of this name, or the first.
    pub(super) async fn adapter(&self, name: Option<&str>) -> Result<Adapter, RadioError> {
        let all = self.adapters().await?;
        let names: Vec<_> = all.iter().map(|adapter| adapter.name.clone()).collect();
        let wanted = |adapter: &Adapter| name.is_none_or(|name| adapter.name == name);
        let found = all.into_iter().find(wanted).ok_or_else(|| {
            let why = match names.is_empty() {
                true => "bluetoothd has none; is one plugged in, and its driver loaded?".to_owned(),
                false => format!("there is {}", names.join(", ")),
            };
            RadioError::NoAdapter { adapter: name.unwrap_or("at all").to_owned(), why }
        })?;
        if !found.powered {
            return Err(RadioError::Off { adapter: found.name });
        }
        if found.advertises {
            return Ok(found);
        }
        let why = format!("{} has no {ADVERTISING}", found.name);
        Err(RadioError::TooOld { what: "LE advertising".to_owned(), why })
    }

    /// Begins to advertise, until the connection is closed. Never anew while it lasts: seen with bluetoothd
    /// 5.66, which was told to every two seconds, and ended when an adapter was switched off.
    pub(super) async fn advertise(
        &self,
        adapter: &Adapter,
        advertisement: &Advertisement,
    ) -> Result<(), RadioError> {
        let shown = Shown { data: advertisement.encode() };
        let served = self.0.object_server().at(ADVERTISEMENT, shown).await;
        served.map_err(|error| translate("show the advertisement", error))?;
        let path = zbus::zvariant::ObjectPath::from_static_str_unchecked(ADVERTISEMENT);
        let body = (path, HashMap::<&str, Value<'_>>::new());
        let method = [ADVERTISING, "RegisterAdvertisement"];
        let done = self.call(&adapter.path, method, &body).await;
        done.map(drop).map_err(|error| translate("advertise", error))
    }

    async fn filter(&self, path: &str, least_rssi: Option<i16>) -> Result<(), RadioError> {
        let mut filter =
            HashMap::from([("Transport", Value::from("le")), ("DuplicateData", Value::from(true))]);
        if let Some(rssi) = least_rssi {
            filter.insert("RSSI", Value::from(rssi));
        }
        let set = self.call(path, [ADAPTER, "SetDiscoveryFilter"], &filter).await;
        set.map(drop).map_err(|error| translate("look for others", error))
    }

    /// Starts or stops discovery.
    ///
    /// What comes before bluetoothd has noticed that its discovery began is dropped (`adapter.c`,
    /// `btd_adapter_update_found_device`; seen with 5.66), and a controller may tell of each device once.
    /// A filter that changes makes bluetoothd begin anew without the adapter ceasing to discover, so
    /// that nothing is dropped; hence the first filter, which leaves out no signal that was measured.
    pub(super) async fn discover(&self, adapter: &Adapter, on: bool) -> Result<(), RadioError> {
        let path = adapter.path.as_str();
        let done = if on {
            self.filter(path, Some(WEAKEST)).await?;
            let started = self.call(path, [ADAPTER, "StartDiscovery"], &()).await;
            if started.is_ok() {
                self.filter(path, None).await?;
            }
            started
        } else {
            self.call(path, [ADAPTER, "StopDiscovery"], &()).await
        };
        match done {
            Ok(_) => Ok(()),
            // It looks already, or has stopped by itself.
            Err(zbus::Error::MethodError(name, _, _))
                if name.ends_with("Error.InProgress")
                    || (!on && name.ends_with("Error.Failed")) =>
            {
                Ok(())
            }
            Err(error) => Err(translate("look for others", error)),
        }
    }

    /// What reports devices that are seen, and the loss of the adapter, from now on.
    pub(super) async fn watch(
        &self,
        adapter: &Adapter,
        events: mpsc::Sender<RadioEvent>,
    ) -> Result<impl Future<Output = ()> + Send + 'static, RadioError> {
        let rule = |sender: &'static str| {
            MatchRule::builder().msg_type(Type::Signal).sender(sender).map(|rule| rule.build())
        };
        let subscribed = async {
            let bluez = MessageStream::for_match_rule(rule(BLUEZ)?, &self.0, Some(256)).await?;
            let owner = MatchRule::builder()
                .msg_type(Type::Signal)
                .sender("org.freedesktop.DBus")?
                .member("NameOwnerChanged")?
                .add_arg(BLUEZ)?
                .build();
            let owner = MessageStream::for_match_rule(owner, &self.0, Some(4)).await?;
            Ok((bluez, owner))
        };
        let (mut bluez, mut owner) =
            subscribed.await.map_err(|error| translate("listen to bluetoothd", error))?;
        let (bus, adapter) = (Self(self.0.clone()), adapter.clone());
        Ok(async move {
            let mut sights = Sights::default();
            loop {
                let lost = tokio::select! {
                    message = bluez.next() => match message {
                        Some(Ok(message)) => {
                            match bus.heard(&adapter, &mut sights, &message, &events).await {
                                None => continue,
                                Some(lost) => lost,
                            }
                        }
                        Some(Err(error)) => translate("listening to bluetoothd", error),
                        None => RadioError::NoDaemon("the system bus is gone".to_owned()),
                    },
                    _ = owner.next() => RadioError::NoDaemon("it ended or was restarted".to_owned()),
                };
                // Nobody to tell is a station that has closed.
                drop(events.send(RadioEvent::Lost(lost)).await);
                return;
            }
        })
    }

    /// What a signal means; an error when the adapter is of no use any more.
    async fn heard(
        &self,
        adapter: &Adapter,
        sights: &mut Sights,
        message: &Message,
        events: &mpsc::Sender<RadioEvent>,
    ) -> Option<RadioError> {
        let header = message.header();
        let gone = |why: &str| RadioError::Gone {
            what: format!("adapter {}", adapter.name),
            why: why.to_owned(),
        };
        let body = message.body();
        let prefix = format!("{}/", adapter.path);
        match header.member()?.as_str() {
            "InterfacesAdded" => {
                let (path, interfaces): (OwnedObjectPath, HashMap<String, Properties>) =
                    body.deserialize().ok()?;
                let properties = interfaces.get(DEVICE)?;
                if path.starts_with(&prefix) {
                    tell(events, sights.seen(&path, properties));
                }
            }
            "InterfacesRemoved" => {
                let (path, interfaces): (OwnedObjectPath, Vec<String>) = body.deserialize().ok()?;
                if *path == *adapter.path && interfaces.iter().any(|name| name == ADAPTER) {
                    return Some(gone("it was taken out"));
                }
                sights.gone(&path);
            }
            "PropertiesChanged" => {
                let (interface, mut changed, _): (String, Properties, Vec<String>) =
                    body.deserialize().ok()?;
                let path = header.path()?.as_str();
                if interface == ADAPTER && path == adapter.path {
                    let off =
                        matches!(changed.get("Powered").map(|v| &**v), Some(Value::Bool(false)));
                    return off.then(|| gone("it was switched off"));
                }
                if interface != DEVICE || !path.starts_with(&prefix) {
                    return None;
                }
                if sights.wonders(path, &changed) {
                    let all = self.call(path, [PROPERTIES, "GetAll"], &(DEVICE,)).await.ok()?;
                    changed = all.body().deserialize().ok()?;
                }
                tell(events, sights.seen(path, &changed));
            }
            _ => {}
        }
        None
    }

    /// Ends what was registered. bluetoothd would do so by itself, but only after it has noticed:
    /// who registers again at once would meet what is left of this.
    pub(super) async fn close(self, adapter: &Adapter) {
        let path = zbus::zvariant::ObjectPath::from_static_str_unchecked(ADVERTISEMENT);
        let method = [ADVERTISING, "UnregisterAdvertisement"];
        if let Err(error) = self.call(&adapter.path, method, &(path,)).await {
            tracing::debug!(%error, "ending the advertisement");
        }
        self.hang_up().await;
    }

    /// Closes the connection.
    pub(super) async fn hang_up(self) {
        if let Err(error) = self.0.close().await {
            tracing::debug!(%error, "closing the system bus");
        }
    }
}

fn tell(events: &mpsc::Sender<RadioEvent>, sighted: Option<RadioEvent>) {
    if let Some(sighted) = sighted
        && events.try_send(sighted).is_err()
    {
        tracing::trace!("a sighting found no room; it comes again");
    }
}

/// The advertisement as bluetoothd asks for it.
struct Shown {
    data: [u8; Advertisement::LEN],
}

#[zbus::interface(name = "org.bluez.LEAdvertisement1")]
impl Shown {
    #[zbus(property, name = "Type")]
    fn kind(&self) -> &str {
        "peripheral"
    }

    #[zbus(property)]
    fn service_data(&self) -> HashMap<String, Value<'static>> {
        HashMap::from([(service(), Value::from(self.data.to_vec()))])
    }

    #[zbus(property)]
    fn discoverable(&self) -> bool {
        true
    }

    #[zbus(property)]
    fn min_interval(&self) -> u32 {
        INTERVAL_MILLIS.0
    }

    #[zbus(property)]
    fn max_interval(&self) -> u32 {
        INTERVAL_MILLIS.1
    }

    fn release(&self) {}
}
