use std::sync::Arc;
use std::time::Duration;

use bitcraps_transport_ble::{
    BleConfig, BleTransport, Bluez, ConfigError, Identity as LinkIdentity, Radio,
};
#[cfg(feature = "hci")]
use bitcraps_transport_ble::{Hci, ParsePortError, Port, RadioError};
use bitcraps_types::TransportType;

use crate::config::{Policy, TransportSettings};
use crate::{Config, Identity};

/// Why there are no Bluetooth links.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum BluetoothError {
    /// A bound that does not hold.
    #[error("bluetooth: {0}")]
    Config(#[from] ConfigError),
    /// A controller is to be driven by this node and this build cannot.
    #[cfg(not(feature = "hci"))]
    #[error(
        "bluetooth.hci = \"{0}\", but this program was built without HCI; build it with the feature \
         `hci`, or leave bluetooth.hci empty and use BlueZ"
    )]
    NoHci(String),
    /// Where the controller is cannot be read.
    #[cfg(feature = "hci")]
    #[error("bluetooth.hci = \"{port}\": {why}")]
    Port {
        /// What was written.
        port: String,
        /// What is wrong with it.
        why: ParsePortError,
    },
    /// The radio cannot even be prepared.
    #[cfg(feature = "hci")]
    #[error("bluetooth: {0}")]
    Radio(#[from] RadioError),
}

/// The controller at `hci`, which this node drives itself.
#[cfg(feature = "hci")]
pub(crate) fn controller(hci: &str) -> Result<Hci, BluetoothError> {
    let port: Result<Port, _> = hci.parse();
    let port = port.map_err(|why| BluetoothError::Port { port: hci.to_owned(), why })?;
    Ok(Hci::new(port)?)
}

/// Nothing can be driven.
#[cfg(not(feature = "hci"))]
pub(crate) fn controller(hci: &str) -> Result<Bluez, BluetoothError> {
    Err(BluetoothError::NoHci(hci.to_owned()))
}

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
    let settings = BleConfig {
        connection_timeout: limits.connection_timeout,
        look_every: look_every(config.transport()),
        ..BleConfig::default()
    };
    let seed = zeroize::Zeroizing::new(identity.signing_key().to_bytes());
    let radio: Arc<dyn Radio> = match &bluetooth.hci {
        Some(hci) => Arc::new(controller(hci)?),
        None => Arc::new(Bluez::new(bluetooth.adapter.clone())),
    };
    Ok(Some(BleTransport::new(settings, LinkIdentity::from_seed(&seed), radio)?))
}

/// How often the radio looks for others while nothing is new, by what energy is worth to this node. A look
/// costs 4.5 s of receiving: 45 % of the time, 7.5 %, or 1.5 %.
fn look_every(transport: &TransportSettings) -> Duration {
    Duration::from_secs(match (transport.energy_aware_mode, transport.default_policy) {
        (false, _) => 10,
        (true, Policy::EnergyEfficient) => 300,
        (true, _) => 60,
    })
}

#[cfg(test)]
mod tests {
    use std::path::Path;

    use super::*;
    use crate::config::Environment;

    #[test]
    fn a_radio_looks_for_others_as_often_as_its_energy_allows() {
        let every = |text: &str| {
            let text = format!("[coordination.transport]\n{text}");
            let home: Environment = [("HOME", "/h")].into_iter().collect();
            let config = Config::parse(&text, Path::new("test"), &home);
            look_every(config.unwrap().transport()).as_secs()
        };
        assert_eq!(every("default_policy = \"EnergyEfficient\""), 300);
        assert_eq!(every(""), 60);
        assert_eq!(every("energy_aware_mode = false"), 10);
        assert_eq!(every("energy_aware_mode = false\ndefault_policy = \"EnergyEfficient\""), 10);
    }

    #[test]
    fn a_controller_that_cannot_be_driven_is_refused_with_the_reason() {
        #[cfg(not(feature = "hci"))]
        let refused = [("tcp:127.0.0.1:7300", "but this program was built without HCI")];
        #[cfg(feature = "hci")]
        let refused = [
            ("tcp:192.0.2.1:7300", "192.0.2.1:7300 is not on this machine"),
            ("/dev/ttyACM0", "expected serial:/dev/ttyACM0 or tcp:127.0.0.1:7300"),
        ];
        for (hci, why) in refused {
            let error = controller(hci).err().unwrap().to_string();
            assert!(error.contains(why) && error.contains(hci), "{error}");
        }
    }
}
