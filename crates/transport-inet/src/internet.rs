use std::sync::{Arc, Weak};

use bitcraps_quic_link::{Exchange, Shape, Tasks};
use bitcraps_transport_api::LinkPath;
use bitcraps_types::{EnergyProfile, LinkCapabilities, Medium, PeerId};
use iroh::Endpoint;
use tokio::sync::watch;

use crate::address::Relay;
use crate::config::InetConfig;
use crate::connection::Connection;

/// Silent seconds after which a link is given up: ten times nothing was heard of what QUIC says on
/// every path. iroh alone keeps a silent relay path for 30 s.
const QUIET_LIMIT: u32 = 3;

/// What the tasks of one run share.
pub(crate) struct Internet {
    pub(crate) endpoint: Endpoint,
    pub(crate) config: InetConfig,
    /// One link for each peer.
    pub(crate) exchange: Arc<Exchange<PeerId>>,
    pub(crate) tasks: Weak<Tasks>,
    pub(crate) stop: watch::Receiver<bool>,
}

impl Internet {
    /// Resolves when the transport shuts down.
    pub(crate) async fn stopped(&self) {
        // An error means that the sender is gone, and with it the transport.
        let mut stop = self.stop.clone();
        if stop.wait_for(|stop| *stop).await.is_err() {
            tracing::debug!("transport dropped without shutdown");
        }
    }

    /// What a link over `connection` is.
    pub(crate) fn shape(&self, connection: &Connection) -> Shape {
        let path = connection.path_view(self.endpoint.id());
        let loopback = self.is_loopback(&path());
        let capabilities = LinkCapabilities {
            max_frame: self.config.max_frame,
            nominal_rate: self.config.nominal_rate,
            energy: if loopback { EnergyProfile::MAINS } else { EnergyProfile::WIFI },
            metered: false,
            prior_reliability: self.config.prior_reliability,
            medium: if loopback { Medium::Loopback } else { Medium::Real },
        };
        Shape { capabilities, path, quiet_limit: Some(QUIET_LIMIT) }
    }

    /// Whether a link that began over `path` stays on this machine whichever way it takes later.
    fn is_loopback(&self, path: &LinkPath) -> bool {
        let relay = path.relay.as_ref().and_then(|url| url.parse::<Relay>().ok());
        relay.is_none_or(|relay| relay.is_loopback())
            && self.config.relays.iter().all(Relay::is_loopback)
            && self.config.listen.iter().all(|listen| listen.ip().is_loopback())
    }
}
