use bitcraps_transport_inet::{
    AddressError, ConfigError, InetConfig, InetTransport, PemError, Relay, certificates,
};
use bitcraps_types::TransportType;

use crate::{Config, Identity};

/// Why there are no internet links.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum InternetError {
    /// A relay of the configuration names none.
    #[error("internet.relays: {0}")]
    Relay(#[from] AddressError),
    /// Certificates that cannot be read.
    #[error("internet.relay_roots: {0}")]
    Roots(#[from] PemError),
    /// The transport refused its configuration.
    #[error("internet: {0}")]
    Refused(#[from] ConfigError),
}

/// The internet transport as configured; `None` when it is switched off, or when nobody has chosen
/// an address to listen on.
pub(crate) fn transport(
    config: &Config,
    identity: &Identity,
) -> Result<Option<InetTransport>, InternetError> {
    let internet = config.internet();
    if !internet.is_on() {
        if internet.enabled {
            tracing::info!(
                "no internet links: internet.listen is empty; for links over every interface write \
                 listen = [\"0.0.0.0:47802\", \"[::]:47802\"] below [internet]"
            );
        }
        return Ok(None);
    }
    let limits = config.transport().limits(TransportType::Internet);
    let relays = internet.relays.iter().map(|relay| relay.parse::<Relay>());
    let settings = InetConfig {
        public: internet.public.clone(),
        relays: relays.collect::<Result<_, _>>()?,
        relay_roots: internet.relay_roots.as_deref().map_or(Ok(Vec::new()), certificates)?,
        max_frame: limits.max_packet_size,
        connection_timeout: limits.connection_timeout,
        ..InetConfig::new(internet.listen.clone())
    };
    Ok(Some(InetTransport::new(settings, identity.signing_key().clone().into())?))
}
