//! A relay server in this process: iroh's, bounded.

use std::net::{IpAddr, Ipv4Addr, SocketAddr};
use std::num::NonZeroU32;
use std::path::Path;
use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering};

use bitcraps_quic_link::crypto_provider;
use iroh::EndpointId;
use iroh_relay::defaults::DEFAULT_RELAY_QUIC_PORT;
use iroh_relay::server::{
    Access, AccessControl, CertConfig, ClientRateLimit, ClientRequest, ConnectionId, QuicConfig,
    RelayConfig, Server, ServerConfig, SpawnError, TlsConfig,
};
use rustls::pki_types::pem::PemObject as _;
use rustls::pki_types::{CertificateDer, PrivateKeyDer};

use crate::address::Relay;
use crate::certificate::PemError;

/// Default of [`RelayServerConfig::max_clients`].
pub const DEFAULT_MAX_CLIENTS: usize = 1_024;

/// Default of [`RelayServerConfig::client_rate`]: 8 Mbit/s, an ordinary way up from a home.
pub const DEFAULT_CLIENT_RATE: NonZeroU32 = NonZeroU32::new(1_000_000).expect("above zero");

/// Keys of clients remembered ready for use: a few for each client, 56 bytes each.
const KEYS_PER_CLIENT: usize = 4;

/// What a [`RelayServer`] is made of.
#[derive(Debug)]
pub struct RelayServerConfig {
    /// The TCP address to serve on; port 0 lets the system choose.
    pub listen: SocketAddr,
    /// Serves HTTPS with it, and tells clients over QUIC, on [`DEFAULT_RELAY_QUIC_PORT`] beside, how
    /// their addresses are seen. Without it plain HTTP, for loopback and for use behind a proxy;
    /// what is relayed is encrypted between its ends in any case.
    pub tls: Option<RelayTls>,
    /// The host that the URL names; the address listened on when absent.
    pub host: Option<String>,
    /// Most clients connected at a time. The next one is told that there is no room.
    pub max_clients: usize,
    /// Bytes a second taken from one client; beyond them it is read more slowly.
    pub client_rate: NonZeroU32,
}

impl RelayServerConfig {
    /// Plain HTTP on `listen`, with every default.
    pub fn new(listen: SocketAddr) -> Self {
        Self {
            listen,
            tls: None,
            host: None,
            max_clients: DEFAULT_MAX_CLIENTS,
            client_rate: DEFAULT_CLIENT_RATE,
        }
    }
}

/// A certificate with its key.
#[derive(Debug)]
pub struct RelayTls {
    certificates: Vec<CertificateDer<'static>>,
    key: PrivateKeyDer<'static>,
}

impl RelayTls {
    /// From two PEM files: the certificate with those that lead to a root, and its private key.
    ///
    /// # Errors
    /// [`RelayServerError::Pem`] with the file that could not be used.
    pub fn from_files(certificates: &Path, key: &Path) -> Result<Self, RelayServerError> {
        let certificates = crate::certificate::certificates(certificates)?;
        let key = PrivateKeyDer::from_pem_file(key).map_err(|error| PemError::new(key, error))?;
        Ok(Self { certificates, key })
    }

    fn server(self) -> Result<rustls::ServerConfig, RelayServerError> {
        let config = rustls::ServerConfig::builder_with_provider(Arc::new(crypto_provider()))
            .with_safe_default_protocol_versions()?
            .with_no_client_auth()
            .with_single_cert(self.certificates, self.key)?;
        Ok(config)
    }
}

/// Why there is no relay server.
#[derive(Debug, thiserror::Error)]
pub enum RelayServerError {
    /// A certificate or key that cannot be read.
    #[error(transparent)]
    Pem(#[from] PemError),
    /// A certificate and a key that do not work together.
    #[error("the certificate cannot be used: {0}")]
    Tls(#[from] rustls::Error),
    /// The address is taken or not this machine's.
    #[error("cannot serve on {listen}: {why}")]
    Bind {
        /// The address asked for.
        listen: SocketAddr,
        /// What the system said.
        why: String,
    },
    /// A host that makes no URL.
    #[error(transparent)]
    Host(#[from] crate::address::AddressError),
    /// It did not end in order.
    #[error("the relay ended with {0}")]
    Ended(String),
}

/// Counts who is in.
#[derive(Debug)]
struct Door {
    inside: AtomicUsize,
    max: usize,
}

impl Door {
    fn enter(&self) -> bool {
        let count = |inside| (inside < self.max).then_some(inside + 1);
        self.inside.fetch_update(Ordering::AcqRel, Ordering::Acquire, count).is_ok()
    }

    fn leave(&self) {
        self.inside.fetch_sub(1, Ordering::AcqRel);
    }
}

/// [`Door`] where iroh asks.
#[derive(Debug)]
struct Doorkeeper(Arc<Door>);

impl AccessControl for Doorkeeper {
    async fn on_connect(&self, _request: &ClientRequest) -> Access {
        if self.0.enter() {
            Access::Allow
        } else {
            Access::Deny { reason: Some("this relay has no room".to_owned()) }
        }
    }

    fn on_disconnect(&self, _client: EndpointId, _connection: ConnectionId) {
        self.0.leave();
    }
}

/// A relay server that runs until it is shut down or dropped.
pub struct RelayServer {
    server: Server,
    relay: Relay,
    local: SocketAddr,
    door: Arc<Door>,
}

impl RelayServer {
    /// Starts serving.
    ///
    /// # Errors
    /// [`RelayServerError`]; nothing is left running.
    pub async fn start(config: RelayServerConfig) -> Result<Self, RelayServerError> {
        let door = Arc::new(Door { inside: AtomicUsize::new(0), max: config.max_clients });
        let (listen, tls) = (config.listen, config.tls.is_some());
        let mut relay = RelayConfig::new(listen);
        relay.limits.client_rx = Some(ClientRateLimit::new(config.client_rate));
        relay.key_cache_capacity = Some(config.max_clients.saturating_mul(KEYS_PER_CLIENT).max(1));
        relay.access = Arc::new(Doorkeeper(door.clone()));
        let mut server = ServerConfig::default();
        if let Some(tls) = config.tls {
            let cert = CertConfig::Manual { server_config: tls.server()? };
            relay.tls = Some(TlsConfig::new(listen, cert));
            // Beside HTTPS the server insists on a plain port for a check that is not used here.
            relay.http_bind_addr = SocketAddr::from((Ipv4Addr::LOCALHOST, 0));
            let quic = SocketAddr::new(listen.ip(), DEFAULT_RELAY_QUIC_PORT);
            server.quic = Some(QuicConfig::new(quic));
        }
        server.relay = Some(relay);
        let server = Server::spawn(server).await.map_err(|error| bind_error(listen, &error))?;
        let address = if tls { server.https_addr() } else { server.http_addr() };
        let local = address.unwrap_or(listen);
        let relay = url(config.host.as_deref(), local, tls)?;
        Ok(Self { server, relay, local, door })
    }

    /// What clients name it by.
    pub fn relay(&self) -> &Relay {
        &self.relay
    }

    /// The address it serves on, with the port that the system chose.
    pub fn local_address(&self) -> SocketAddr {
        self.local
    }

    /// Clients connected now.
    pub fn clients(&self) -> usize {
        self.door.inside.load(Ordering::Acquire)
    }

    /// Waits until it has ended by itself.
    ///
    /// # Errors
    /// [`RelayServerError::Ended`] with the reason, when it was not asked to.
    pub async fn ended(&mut self) -> Result<(), RelayServerError> {
        match self.server.join().await {
            Ok(Ok(())) => Ok(()),
            Ok(Err(error)) => Err(RelayServerError::Ended(error.to_string())),
            Err(error) => Err(RelayServerError::Ended(error.to_string())),
        }
    }

    /// Closes every connection and frees the address.
    pub async fn shut_down(self) {
        if let Err(error) = self.server.shutdown().await {
            tracing::debug!(%error, "the relay was ended");
        }
    }
}

fn url(host: Option<&str>, address: SocketAddr, tls: bool) -> Result<Relay, RelayServerError> {
    let (scheme, usual) = if tls { ("https", 443) } else { ("http", 80) };
    let host = host.map_or_else(
        || match address.ip() {
            IpAddr::V4(ip) => ip.to_string(),
            IpAddr::V6(ip) => format!("[{ip}]"),
        },
        str::to_owned,
    );
    let url = match address.port() {
        port if port == usual => format!("{scheme}://{host}"),
        port => format!("{scheme}://{host}:{port}"),
    };
    Ok(url.parse()?)
}

fn bind_error(listen: SocketAddr, error: &SpawnError) -> RelayServerError {
    let mut why = error.to_string();
    let mut source = std::error::Error::source(error);
    while let Some(error) = source {
        why = format!("{why}: {error}");
        source = error.source();
    }
    RelayServerError::Bind { listen, why }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_url_names_the_host_and_an_unusual_port() {
        let rows = [
            (None, "127.0.0.1:3340", false, "http://127.0.0.1:3340"),
            (None, "[::1]:443", true, "https://[::1]"),
            (Some("relay.example"), "0.0.0.0:443", true, "https://relay.example"),
            (Some("relay.example"), "0.0.0.0:8443", true, "https://relay.example:8443"),
            (Some("relay.example"), "0.0.0.0:80", false, "http://relay.example"),
        ];
        for (host, address, tls, expected) in rows {
            let url = url(host, address.parse().unwrap(), tls).unwrap();
            assert_eq!(url.to_string(), expected);
        }
        assert!(matches!(
            url(Some("a b"), "0.0.0.0:80".parse().unwrap(), false),
            Err(RelayServerError::Host(_))
        ));
    }

    #[test]
    fn the_door_lets_in_as_many_as_it_may() {
        let door = Door { inside: AtomicUsize::new(0), max: 2 };
        assert!(door.enter() && door.enter());
        assert!(!door.enter());
        door.leave();
        assert!(door.enter());
        assert!(!door.enter());
    }
}
