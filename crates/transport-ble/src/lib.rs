//! Bluetooth LE as a [`Transport`](bitcraps_transport_api::Transport).
//!
//! A node advertises a [`Tag`] of its key and the number of its L2CAP channel, and looks for the
//! advertisements of others. Of two nodes that see each other the one with the greater tag connects;
//! both prove their keys before there is a link ([`bitcraps_session::link`]). Bluetooth's own
//! addresses, pairing and encryption are not relied on.
//!
//! - What to dial, when to look for others and when to try again is decided by [`Neighbourhood`],
//!   which is pure: it takes sightings and the time, and says what to do.
//! - [`BleTransport`] is the shell: one task that owns every link's place, a task for each link.
//! - [`Radio`] is the seam to whatever drives the hardware. Feature `bluez`: [`Bluez`], a Linux
//!   machine's BlueZ over D-Bus and the kernel's L2CAP sockets. Feature `hci`: `Hci`, a controller
//!   that this process drives itself.

mod advertisement;
#[cfg(all(feature = "bluez", target_os = "linux"))]
mod bluez;
mod config;
mod dial;
mod driver;
mod handshake;
#[cfg(feature = "hci")]
mod hci;
mod link;
mod neighbourhood;
mod place;
mod precedence;
mod radio;
mod record;
mod station;
mod transport;

pub use advertisement::{Advertisement, AdvertisementError, SERVICE, Tag};
pub use bitcraps_session::Identity;
#[cfg(all(feature = "bluez", target_os = "linux"))]
pub use bluez::Bluez;
pub use config::{BleConfig, ConfigError};
#[cfg(feature = "hci")]
pub use hci::{Hci, ParsePortError, Port};
pub use neighbourhood::{MAX_NEIGHBOURS, Neighbourhood, Outcome};
pub use place::{Device, ParsePlaceError, Place};
pub use radio::{Channel, MAX_SDU, Radio, RadioError, RadioEvent};
pub use transport::BleTransport;
