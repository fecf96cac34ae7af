//! What anybody would write first: wpa_supplicant's own sequence to a group, and quinn in it.

use std::collections::HashMap;
use std::net::{SocketAddr, SocketAddrV6};
use std::sync::Arc;
use std::time::Duration;

use futures_util::StreamExt as _;
use quinn::crypto::rustls::{QuicClientConfig, QuicServerConfig};
use quinn::{ClientConfig, Connection, Endpoint, ServerConfig};
use rustls::RootCertStore;
use rustls::pki_types::{CertificateDer, PrivateKeyDer};
use zbus::connection::Builder;
use zbus::zvariant::{OwnedObjectPath, OwnedValue, Value};
use zbus::{Connection as Bus, MatchRule, Message, MessageStream};

const NAME: &str = "fi.w1.wpa_supplicant1";
const ROOT: &str = "/fi/w1/wpa_supplicant1";
const DIRECT: &str = "fi.w1.wpa_supplicant1.Interface.P2PDevice";

/// Signals that wait while one is looked at.
const SIGNALS: usize = 256;
/// Between two attempts to bind to an address that is not there yet.
const LOOK: Duration = Duration::from_millis(50);

type Settings = HashMap<String, OwnedValue>;

/// One radio by its supplicant.
pub(crate) struct Raw {
    bus: Bus,
    path: OwnedObjectPath,
    signals: MessageStream,
}

/// The group as one end has it.
pub(crate) struct Grouped {
    /// Its interface's object.
    path: OwnedObjectPath,
    /// And name.
    pub(crate) name: String,
}

impl Raw {
    pub(crate) async fn open(address: &str, interface: &str) -> Self {
        let bus = Builder::address(address).unwrap().build().await.unwrap();
        let found = bus
            .call_method(Some(NAME), ROOT, Some(NAME), "GetInterface", &(interface,))
            .await
            .unwrap();
        let path = found.body().deserialize().unwrap();
        let rule = MatchRule::builder().sender(NAME).unwrap().interface(DIRECT).unwrap().build();
        let signals = MessageStream::for_match_rule(rule, &bus, Some(SIGNALS)).await.unwrap();
        Self { bus, path, signals }
    }

    async fn call<B>(&self, path: &OwnedObjectPath, method: &str, body: &B) -> zbus::Result<Message>
    where
        B: serde::Serialize + zbus::zvariant::DynamicType + Sync,
    {
        self.bus.call_method(Some(NAME), path, Some(DIRECT), method, body).await
    }

    async fn signal(&mut self, member: &str) -> Message {
        loop {
            let message = self.signals.next().await.unwrap().unwrap();
            if message.header().member().is_some_and(|name| name == member) {
                return message;
            }
        }
    }

    /// Looks for devices until one is there.
    pub(crate) async fn find(&mut self) -> OwnedObjectPath {
        let nothing: HashMap<&str, Value<'_>> = HashMap::new();
        self.call(&self.path, "Find", &(nothing,)).await.unwrap();
        self.signal("DeviceFound").await.body().deserialize().unwrap()
    }

    /// Waits until another device asks for a group: two that ask at once may end with half of one.
    pub(crate) async fn called(&mut self) {
        self.signal("GONegotiationRequest").await;
    }

    /// Forms a group with `peer` by push button.
    pub(crate) async fn connect(&mut self, peer: &OwnedObjectPath, intent: i32) -> Grouped {
        let settings = HashMap::from([
            ("peer", Value::from(peer.clone())),
            ("wps_method", Value::from("pbc")),
            ("go_intent", Value::from(intent)),
        ]);
        // Refused while the other end is not ready for it.
        while self.call(&self.path, "Connect", &(&settings,)).await.is_err() {
            tokio::time::sleep(LOOK).await;
        }
        let started = self.signal("GroupStarted").await;
        let mut settings: Settings = started.body().deserialize().unwrap();
        let path: OwnedObjectPath =
            settings.remove("interface_object").unwrap().try_into().unwrap();
        let of = ("fi.w1.wpa_supplicant1.Interface", "Ifname");
        let get = Some("org.freedesktop.DBus.Properties");
        let name = self.bus.call_method(Some(NAME), &path, get, "Get", &of).await.unwrap();
        let name: OwnedValue = name.body().deserialize().unwrap();
        Grouped { path, name: name.try_into().unwrap() }
    }

    /// Ends the group, and forgets whom it saw.
    pub(crate) async fn leave(&mut self, group: &Grouped) {
        if self.call(&group.path, "Disconnect", &()).await.is_ok() {
            self.signal("GroupFinished").await;
        }
        self.forget().await;
    }

    /// Forgets whom it saw, and every stored group.
    pub(crate) async fn forget(&self) {
        for method in ["Flush", "RemoveAllPersistentGroups"] {
            self.call(&self.path, method, &()).await.unwrap();
        }
    }
}

/// The IPv6 address that the interface gave itself, once it can be bound to.
pub(crate) async fn address(interface: &str) -> SocketAddrV6 {
    loop {
        for found in if_addrs::get_if_addrs().unwrap() {
            if let (std::net::IpAddr::V6(ip), Some(zone)) = (found.ip(), found.index)
                && found.name == interface
                && ip.is_unicast_link_local()
            {
                let address = SocketAddrV6::new(ip, 0, 0, zone);
                if std::net::UdpSocket::bind(address).is_ok() {
                    return address;
                }
            }
        }
        tokio::time::sleep(LOOK).await;
    }
}

/// Two ends of a connection of quinn over the group.
pub(crate) async fn quic(near: SocketAddrV6, far: SocketAddrV6) -> [(Endpoint, Connection); 2] {
    let signed = rcgen::generate_simple_self_signed(["raw".to_owned()]).unwrap();
    let key = PrivateKeyDer::try_from(signed.signing_key.serialize_der()).unwrap();
    let certificate = CertificateDer::from(signed.cert);
    let provider = Arc::new(rustls::crypto::aws_lc_rs::default_provider());
    let server = rustls::ServerConfig::builder_with_provider(provider.clone())
        .with_protocol_versions(&[&rustls::version::TLS13])
        .unwrap()
        .with_no_client_auth()
        .with_single_cert(vec![certificate.clone()], key)
        .unwrap();
    let server = QuicServerConfig::try_from(server).unwrap();
    let mut roots = RootCertStore::empty();
    roots.add(certificate).unwrap();
    let client = rustls::ClientConfig::builder_with_provider(provider)
        .with_protocol_versions(&[&rustls::version::TLS13])
        .unwrap()
        .with_root_certificates(roots)
        .with_no_client_auth();
    let client = QuicClientConfig::try_from(client).unwrap();
    let server = ServerConfig::with_crypto(Arc::new(server));
    let called = Endpoint::server(server, SocketAddr::V6(far)).unwrap();
    let caller = Endpoint::client(SocketAddr::V6(near)).unwrap();
    // To the other end's address, by this end's interface.
    let port = called.local_addr().unwrap().port();
    let to = SocketAddrV6::new(*far.ip(), port, 0, near.scope_id());
    let client = ClientConfig::new(Arc::new(client));
    let connecting = caller.connect_with(client, SocketAddr::V6(to), "raw").unwrap();
    let (near, far) = tokio::join!(async { connecting.await.unwrap() }, async {
        called.accept().await.unwrap().await.unwrap()
    });
    [(caller, near), (called, far)]
}
