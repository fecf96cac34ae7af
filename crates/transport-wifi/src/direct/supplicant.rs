//! wpa_supplicant over D-Bus, as `doc/dbus.doxygen` of its source describes it.

mod error;
mod signal;

use std::collections::{BTreeMap, HashMap};

use bitcraps_types::PeerId;
use futures_util::StreamExt as _;
use zbus::connection::Builder;
use zbus::message::Type;
use zbus::zvariant::{ObjectPath, OwnedObjectPath, OwnedValue, Value};
use zbus::{Connection, MatchRule, Message, MessageStream};

use super::config::DirectConfig;
use super::device::Device;
use super::formation::{Command, FIND, Fact, Role};
use super::service::{Tag, answer, query, request};
pub use error::SupplicantError;
use signal::Signal;

const NAME: &str = "fi.w1.wpa_supplicant1";
const ROOT: &str = "/fi/w1/wpa_supplicant1";
const INTERFACE: &str = "fi.w1.wpa_supplicant1.Interface";
const DIRECT: &str = "fi.w1.wpa_supplicant1.Interface.P2PDevice";
const WPS: &str = "fi.w1.wpa_supplicant1.Interface.WPS";
const PEER: &str = "fi.w1.wpa_supplicant1.Peer";
const GROUP: &str = "fi.w1.wpa_supplicant1.Group";
const STORED: &str = "fi.w1.wpa_supplicant1.PersistentGroup";
const PROPERTIES: &str = "org.freedesktop.DBus.Properties";

/// At the end of the name of each group whose owner is a node: how a group of a former run of this
/// program is told from one of somebody else.
const MARK: &str = "-bitcraps";

/// Signals that wait: more than a supplicant sends while one is taken up.
const SIGNALS: usize = 256;

/// Bit of a peer's capabilities: it owns a group.
const OWNS_GROUP: u8 = 1;

type Settings = HashMap<String, OwnedValue>;

/// What wpa_supplicant reports.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) enum News {
    Fact(Fact),
    /// There is a group, on the interface `name`, whose object is `path`.
    Started {
        role: Role,
        path: String,
        name: String,
    },
    /// The group on the interface whose object is `path` has ended.
    Finished {
        path: String,
    },
}

/// A connection to wpa_supplicant, and one interface of its.
pub(super) struct Supplicant {
    bus: Connection,
    path: String,
    pin: Option<String>,
    signals: MessageStream,
    owner: MessageStream,
    /// What is known already, and not yet told.
    first: Vec<Fact>,
    /// References of questions that have no answer yet, one for each device asked.
    asked: BTreeMap<Device, u64>,
    /// The settings that this program changes, as they were.
    formerly: Settings,
}

/// An interface that can form groups.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Capable {
    /// Its name, as `iw dev` has it.
    pub interface: String,
    /// Whether NetworkManager uses it as well.
    pub shared: bool,
}

/// Looks whether groups could be formed as configured, and changes nothing.
///
/// # Errors
/// [`SupplicantError`], as far as nothing but looking tells.
pub async fn examine(config: &DirectConfig) -> Result<Capable, SupplicantError> {
    let bus = connect(config).await?;
    let (path, _) = choose(&bus, config.interface.as_deref()).await?;
    let interface = name_of(&bus, &path).await?;
    let shared = is_shared(&bus, &interface).await;
    Ok(Capable { interface, shared })
}

pub(super) async fn connect(config: &DirectConfig) -> Result<Connection, SupplicantError> {
    let bus = match &config.bus {
        Some(address) => async { Builder::address(address.as_str())?.build().await }.await,
        None => Connection::system().await,
    };
    bus.map_err(|error| SupplicantError::NoDaemon(error.to_string()))
}

async fn call<B>(bus: &Connection, path: &str, method: [&str; 2], body: &B) -> zbus::Result<Message>
where
    B: serde::Serialize + zbus::zvariant::DynamicType + Sync,
{
    let [interface, name] = method;
    bus.call_method(Some(NAME), path, Some(interface), name, body).await
}

async fn property<T>(bus: &Connection, path: &str, of: (&str, &str)) -> zbus::Result<T>
where
    T: TryFrom<OwnedValue>,
    T::Error: Into<zbus::Error>,
{
    let reply = call(bus, path, [PROPERTIES, "Get"], &of).await?;
    let value: OwnedValue = reply.body().deserialize()?;
    value.try_into().map_err(Into::into)
}

async fn name_of(bus: &Connection, path: &str) -> Result<String, SupplicantError> {
    let name = property(bus, path, (INTERFACE, "Ifname")).await;
    name.map_err(|error| SupplicantError::of("read an interface's name", &error))
}

/// The object of the interface of this name, or of the first that can form groups, and its settings.
async fn choose(
    bus: &Connection,
    wanted: Option<&str>,
) -> Result<(String, Settings), SupplicantError> {
    let paths = property::<Vec<OwnedObjectPath>>(bus, ROOT, (NAME, "Interfaces")).await;
    let paths = paths.map_err(|error| SupplicantError::of("list the interfaces", &error))?;
    let mut names = Vec::new();
    let mut unable = None;
    for path in &paths {
        let name = name_of(bus, path).await?;
        if wanted.is_none_or(|wanted| wanted == name) {
            match property(bus, path, (DIRECT, "P2PDeviceConfig")).await {
                Ok(settings) => return Ok((path.to_string(), settings)),
                Err(error) => unable = unable.or(Some(without(&name, &error))),
            }
        }
        names.push(name);
    }
    Err(unable.unwrap_or_else(|| SupplicantError::NotManaged {
        interface: wanted.unwrap_or("at all").to_owned(),
        present: if names.is_empty() { "none".to_owned() } else { names.join(", ") },
    }))
}

fn without(interface: &str, error: &zbus::Error) -> SupplicantError {
    match SupplicantError::of("read the settings of Wi-Fi Direct", error) {
        SupplicantError::Failed { why, .. } => {
            SupplicantError::NoDirect { interface: interface.to_owned(), why }
        }
        other => other,
    }
}

/// Whether NetworkManager, where there is one, manages the interface.
async fn is_shared(bus: &Connection, interface: &str) -> bool {
    const MANAGER: &str = "org.freedesktop.NetworkManager";
    const PLACE: &str = "/org/freedesktop/NetworkManager";
    const DEVICE: &str = "org.freedesktop.NetworkManager.Device";
    let managed = async {
        let body = (interface,);
        let found =
            bus.call_method(Some(MANAGER), PLACE, Some(MANAGER), "GetDeviceByIpIface", &body);
        let device: OwnedObjectPath = found.await?.body().deserialize()?;
        let body = (DEVICE, "Managed");
        let managed =
            bus.call_method(Some(MANAGER), device, Some(PROPERTIES), "Get", &body).await?;
        let managed: OwnedValue = managed.body().deserialize()?;
        zbus::Result::Ok(matches!(&*managed, Value::Bool(true)))
    };
    managed.await.unwrap_or(false)
}

impl Supplicant {
    /// Takes the interface: ends what a former run has left, tells others who `peer` is when they ask,
    /// and reports from now on.
    pub(super) async fn open(
        bus: Connection,
        config: &DirectConfig,
        peer: PeerId,
    ) -> Result<Self, SupplicantError> {
        let (path, settings) = choose(&bus, config.interface.as_deref()).await?;
        let subscribed = async {
            let signals =
                MatchRule::builder().msg_type(Type::Signal).sender(NAME)?.interface(DIRECT)?;
            let owner = MatchRule::builder()
                .msg_type(Type::Signal)
                .sender("org.freedesktop.DBus")?
                .member("NameOwnerChanged")?
                .add_arg(NAME)?;
            let signals =
                MessageStream::for_match_rule(signals.build(), &bus, Some(SIGNALS)).await?;
            Ok((signals, MessageStream::for_match_rule(owner.build(), &bus, Some(4)).await?))
        };
        let (signals, owner) = subscribed
            .await
            .map_err(|error| SupplicantError::of("listen to wpa_supplicant", &error))?;
        let changed = |name: &str, default: Value<'static>| {
            let former = settings.get(name).and_then(|value| value.try_clone().ok());
            let former = former.or_else(|| OwnedValue::try_from(default).ok())?;
            Some((name.to_owned(), former))
        };
        let defaults =
            [("SsidPostfix", Value::from("")), ("PersistentReconnect", Value::from(false))];
        let formerly = defaults.into_iter().filter_map(|(name, value)| changed(name, value));
        let (formerly, pin) = (formerly.collect(), config.pin.clone());
        let (first, asked) = (Vec::new(), BTreeMap::new());
        let mut opened = Self { bus, path, pin, signals, owner, first, asked, formerly };
        opened.end_left_over().await?;
        let settings = HashMap::from([
            ("SsidPostfix", Value::from(MARK)),
            ("PersistentReconnect", true.into()),
        ]);
        opened.set(settings).await?;
        opened.show(Tag::of(&peer)).await?;
        opened.tell_known().await?;
        Ok(opened)
    }

    async fn direct<B>(&self, method: &str, body: &B) -> Result<Message, SupplicantError>
    where
        B: serde::Serialize + zbus::zvariant::DynamicType + Sync,
    {
        let done = call(&self.bus, &self.path, [DIRECT, method], body).await;
        done.map_err(|error| SupplicantError::of(&format!("P2PDevice.{method}"), &error))
    }

    async fn set(&self, settings: HashMap<&str, Value<'_>>) -> Result<(), SupplicantError> {
        let body = (DIRECT, "P2PDeviceConfig", Value::from(settings));
        let set = call(&self.bus, &self.path, [PROPERTIES, "Set"], &body).await;
        set.map(drop).map_err(|error| SupplicantError::of("set up Wi-Fi Direct", &error))
    }

    /// Ends the groups that a run of this program has left that was killed.
    async fn end_left_over(&self) -> Result<(), SupplicantError> {
        let listed = property::<Vec<OwnedObjectPath>>(&self.bus, ROOT, (NAME, "Interfaces")).await;
        let listed = listed.map_err(|error| SupplicantError::of("list the interfaces", &error))?;
        for path in listed {
            let group = property::<OwnedObjectPath>(&self.bus, &path, (DIRECT, "Group")).await;
            if let Ok(group) = group
                && self.is_ours(&group).await
            {
                tracing::info!(%path, "ending a Wi-Fi Direct group of a former run");
                self.leave(&path).await?;
            }
        }
        Ok(())
    }

    /// Whether the group is one of nodes.
    async fn is_ours(&self, group: &str) -> bool {
        let name = property::<Vec<u8>>(&self.bus, group, (GROUP, "SSID")).await;
        name.is_ok_and(|name| name.ends_with(MARK.as_bytes()))
    }

    async fn show(&self, tag: Tag) -> Result<(), SupplicantError> {
        self.hide().await;
        let mut service = service();
        service.insert("response", Value::from(answer(tag)));
        self.direct("AddService", &(service,)).await.map(drop)
    }

    async fn hide(&self) {
        if let Err(error) = self.direct("DeleteService", &(service(),)).await {
            tracing::debug!(%error, "there was no service to take back");
        }
    }

    /// Peers and stored groups that were there before.
    async fn tell_known(&mut self) -> Result<(), SupplicantError> {
        let of = |name: &'static str| {
            property::<Vec<OwnedObjectPath>>(&self.bus, &self.path, (DIRECT, name))
        };
        let failed = |error| SupplicantError::of("list what is known", &error);
        let (peers, stored) = (of("Peers").await.map_err(failed)?, of("PersistentGroups").await);
        let mut known = Vec::new();
        for path in stored.map_err(failed)? {
            let settings = property::<Settings>(&self.bus, &path, (STORED, "Properties")).await;
            known.extend(settings.iter().flat_map(|settings| signal::kept(&path, settings)));
        }
        for path in peers {
            if let Some(device) = signal::device(&path) {
                known.push(Fact::Found { device, owner: self.owns(device).await });
            }
        }
        self.first = known;
        Ok(())
    }

    fn peer(&self, device: Device) -> ObjectPath<'static> {
        // Digits after a valid path make a valid path.
        ObjectPath::from_string_unchecked(format!("{}/Peers/{}", self.path, device.compact()))
    }

    async fn owns(&self, device: Device) -> bool {
        let peer = self.peer(device);
        let capabilities = property::<u8>(&self.bus, &peer, (PEER, "groupcapability")).await;
        capabilities.is_ok_and(|bits| bits & OWNS_GROUP != 0)
    }

    /// What was there before it was opened, once.
    pub(super) fn known(&mut self) -> Vec<Fact> {
        std::mem::take(&mut self.first)
    }

    /// The next signal. Dropped before it resolves, none was taken.
    ///
    /// # Errors
    /// The supplicant is gone; this is of no use any more.
    pub(super) async fn next(&mut self) -> Result<Message, SupplicantError> {
        let message = tokio::select! {
            message = self.signals.next() => message,
            _ = self.owner.next() => {
                return Err(SupplicantError::NoDaemon("it ended or was restarted".to_owned()));
            }
        };
        match message {
            Some(Ok(message)) => Ok(message),
            Some(Err(error)) => Err(SupplicantError::of("listen", &error)),
            None => Err(SupplicantError::NoDaemon("the system bus is gone".to_owned())),
        }
    }

    /// What a signal means here, which takes a question or two.
    pub(super) async fn understand(&mut self, message: &Message) -> Option<News> {
        match signal::read(message)? {
            Signal::Fact(Fact::Found { device, .. }) => {
                let owner = self.owns(device).await;
                Some(News::Fact(Fact::Found { device, owner }))
            }
            Signal::Fact(fact) => {
                if let Fact::Named(device, _) | Fact::Gone(device) = fact {
                    self.asked.remove(&device);
                }
                Some(News::Fact(fact))
            }
            Signal::Started { role, interface, group } => {
                if !self.is_ours(&group).await {
                    return None;
                }
                let name = name_of(&self.bus, &interface).await.ok()?;
                Some(News::Started { role, path: interface, name })
            }
            Signal::Finished { interface } => Some(News::Finished { path: interface }),
        }
    }

    /// Does what is commanded; `group` is the object of the group's interface, where there is one.
    ///
    /// # Errors
    /// [`SupplicantError`]; nothing was begun.
    pub(super) async fn execute(
        &mut self,
        command: Command,
        group: Option<&str>,
    ) -> Result<(), SupplicantError> {
        match command {
            Command::Find { everywhere } => {
                let seconds = FIND.as_secs() as i32; // 10
                let channels = if everywhere { "start_with_full" } else { "social" };
                let body = HashMap::from([
                    ("Timeout", Value::from(seconds)),
                    ("DiscoveryType", Value::from(channels)),
                ]);
                let body = (body,);
                self.direct("Find", &body).await.map(drop)
            }
            Command::Ask(device) => self.ask(device).await,
            Command::Connect { device, intent, join, enters } => {
                let join = join || self.owns(device).await;
                let mut body = HashMap::from([
                    ("peer", Value::from(self.peer(device))),
                    ("persistent", Value::from(true)),
                    ("join", Value::from(join)),
                    ("wps_method", Value::from(self.method(enters))),
                ]);
                if !join {
                    body.insert("go_intent", Value::from(i32::from(intent)));
                }
                if let Some(pin) = &self.pin {
                    body.insert("pin", Value::from(pin.as_str()));
                }
                self.direct("Connect", &(body,)).await.map(drop)
            }
            Command::Invite(device, group) => {
                let stored = format!("{}/PersistentGroups/{group}", self.path);
                let stored = ObjectPath::from_string_unchecked(stored);
                let body = HashMap::from([
                    ("peer", Value::from(self.peer(device))),
                    ("persistent_group_object", Value::from(stored)),
                ]);
                self.direct("Invite", &(body,)).await.map(drop)
            }
            Command::Admit(device) => match group {
                Some(group) => self.admit(device, group).await,
                None => Ok(()),
            },
            Command::Cancel => self.direct("Cancel", &()).await.map(drop),
            Command::Leave => match group {
                Some(group) => self.leave(group).await,
                None => Ok(()),
            },
        }
    }

    fn method(&self, enters: bool) -> &'static str {
        match (&self.pin, enters) {
            (None, _) => "pbc",
            (Some(_), true) => "keypad",
            (Some(_), false) => "display",
        }
    }

    async fn ask(&mut self, device: Device) -> Result<(), SupplicantError> {
        if let Some(former) = self.asked.remove(&device)
            && let Err(error) = self.direct("ServiceDiscoveryCancelRequest", &(former,)).await
        {
            tracing::debug!(%device, %error, "the former question had ended");
        }
        let body = HashMap::from([
            ("peer_object", Value::from(self.peer(device))),
            ("tlv", Value::from(request())),
        ]);
        let reply = self.direct("ServiceDiscoveryRequest", &(body,)).await?;
        if let Ok(reference) = reply.body().deserialize() {
            self.asked.insert(device, reference);
        }
        Ok(())
    }

    /// An owner takes part in what is pushed or entered at the other end.
    async fn admit(&self, device: Device, group: &str) -> Result<(), SupplicantError> {
        let mut body = HashMap::from([("Role", Value::from("enrollee"))]);
        match &self.pin {
            None => {
                body.insert("Type", Value::from("pbc"));
                body.insert("P2PDeviceAddress", Value::from(device.0.to_vec()));
            }
            Some(pin) => {
                body.insert("Type", Value::from("pin"));
                body.insert("Pin", Value::from(pin.as_str()));
            }
        }
        let started = call(&self.bus, group, [WPS, "Start"], &(body,)).await;
        started.map(drop).map_err(|error| SupplicantError::of("let a device in", &error))
    }

    async fn leave(&self, group: &str) -> Result<(), SupplicantError> {
        let left = call(&self.bus, group, [DIRECT, "Disconnect"], &()).await;
        left.map(drop).map_err(|error| SupplicantError::of("leave a group", &error))
    }

    /// Ends what was begun, and puts the settings back.
    pub(super) async fn close(self, group: Option<&str>) {
        if let Some(group) = group
            && let Err(error) = self.leave(group).await
        {
            tracing::debug!(%error, "leaving the Wi-Fi Direct group");
        }
        if let Err(error) = self.direct("StopFind", &()).await {
            tracing::debug!(%error, "ending the look for devices");
        }
        for (device, reference) in &self.asked {
            if let Err(error) = self.direct("ServiceDiscoveryCancelRequest", &(*reference,)).await {
                tracing::debug!(%device, %error, "taking a question back");
            }
        }
        self.hide().await;
        let formerly = self.formerly.iter();
        let formerly = formerly.filter_map(|(name, value)| {
            Some((name.as_str(), Value::from(value.try_clone().ok()?)))
        });
        if let Err(error) = self.set(formerly.collect()).await {
            tracing::debug!(%error, "putting the settings back");
        }
    }
}

fn service() -> HashMap<&'static str, Value<'static>> {
    HashMap::from([("service_type", Value::from("bonjour")), ("query", Value::from(query()))])
}
