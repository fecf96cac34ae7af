use std::sync::Arc;

use bitcraps_transport_ble::{
    BleConfig, BleTransport, Bluez, ConfigError, Identity as LinkIdentity,
};
use bitcraps_types::TransportType;

use crate::{Config, Identity};

/// Why there are no Bluetooth links.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[error("bluetooth: {0}")]
pub struct BluetoothError(#[from] ConfigError);

/// The Bluetooth transport as configured; `None` when it is switched off.
pub(crate) fn transport(
    config: &Config,
    identity: &Identity,
) -> Result<Option<BleTransport>, BluetoothError> {
    let bluetooth = config.bluetooth();
    if !bluetooth.enabled {
        return Ok(None);
    }
    let limits = config.transport().limits(TransportType::Bluetooth);
    // The frame is not configured: both ends must agree on its bound, and the coordinator sends
    // shorter ones when it is told to.
    let settings =
        BleConfig { connection_timeout: limits.connection_timeout, ..BleConfig::default() };
    let seed = zeroize::Zeroizing::new(identity.signing_key().to_bytes());
    let radio = Arc::new(Bluez::new(bluetooth.adapter.clone()));
    Ok(Some(BleTransport::new(settings, LinkIdentity::from_seed(&seed), radio)?))
}
