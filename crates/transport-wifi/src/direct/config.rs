use super::formation::Company;

/// UDP port of the beacon within a group unless configured otherwise.
pub const GROUP_PORT: u16 = 45_677;

/// Longest name of an interface, as of Linux.
const MAX_NAME: usize = 15;

/// How this machine takes part in Wi-Fi Direct.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct DirectConfig {
    /// The interface as wpa_supplicant calls it, `wlan0`; the first one that can when absent.
    pub interface: Option<String>,
    /// D-Bus address of the bus that wpa_supplicant is on, `unix:path=/run/dbus/other`; the system's
    /// when absent.
    pub bus: Option<String>,
    /// With whom groups are formed.
    pub company: Company,
    /// The number that both ends of a pair were given, eight digits of which the last is a check
    /// digit; groups are formed by push button, pushed by this program, when absent.
    pub pin: Option<String>,
    /// UDP port of the beacon within a group, above 0 and the same at every node.
    pub port: u16,
    /// Number of the first beacon; must grow from one incarnation of the node to the next.
    pub first_sequence: u64,
}

impl Default for DirectConfig {
    fn default() -> Self {
        Self {
            interface: None,
            bus: None,
            company: Company::Anybody,
            pin: None,
            port: GROUP_PORT,
            first_sequence: 0,
        }
    }
}

/// Why a [`DirectConfig`] was refused.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum DirectConfigError {
    /// No interface is called so.
    #[error(
        "wifi_direct.interface: {0:?} is no interface's name; write wlan0, or what `iw dev` shows"
    )]
    Interface(String),
    /// Not a number that Wi-Fi takes.
    #[error(
        "wifi_direct.pin is not eight digits with a check digit at the end; `wpa_cli wps_pin get` \
         makes one"
    )]
    Pin,
    /// Nodes must agree on the port.
    #[error("wifi direct: port must be above 0, the same at every node")]
    Port,
}

impl DirectConfig {
    /// Checks every relation stated at the fields.
    ///
    /// # Errors
    /// [`DirectConfigError`] with the first value that is wrong.
    pub fn check(&self) -> Result<(), DirectConfigError> {
        if let Some(name) = self.interface.as_ref().filter(|name| !is_name(name)) {
            return Err(DirectConfigError::Interface(name.clone()));
        }
        if self.pin.as_ref().is_some_and(|pin| !is_pin(pin)) {
            return Err(DirectConfigError::Pin);
        }
        if self.port == 0 {
            return Err(DirectConfigError::Port);
        }
        Ok(())
    }
}

fn is_name(name: &str) -> bool {
    let plain = |byte: u8| byte.is_ascii_alphanumeric() || b"_-.".contains(&byte);
    (1..=MAX_NAME).contains(&name.len()) && name.bytes().all(plain)
}

/// Wi-Fi Simple Configuration 2.0.8, section 7.4.1: the digits, every other one thrice, add up to a
/// multiple of ten.
fn is_pin(pin: &str) -> bool {
    let weighed = |(at, digit): (usize, u8)| match at % 2 {
        0 => 3 * u32::from(digit - b'0'),
        _ => u32::from(digit - b'0'),
    };
    pin.len() == 8
        && pin.bytes().all(|byte| byte.is_ascii_digit())
        && pin.bytes().enumerate().map(weighed).sum::<u32>().is_multiple_of(10)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn every_relation_is_checked_on_both_sides() {
        let with = |change: &dyn Fn(&mut DirectConfig)| {
            let mut config = DirectConfig::default();
            change(&mut config);
            config.check()
        };
        assert_eq!(with(&|_| {}), Ok(()));
        for name in ["w", "wlan0", "p2p-dev-wlan0.1"] {
            assert_eq!(with(&|c| c.interface = Some(name.to_owned())), Ok(()));
        }
        for name in ["", "p2p-dev-wlan0.12", "wlan/0", "wlän"] {
            let refused = Err(DirectConfigError::Interface(name.to_owned()));
            assert_eq!(with(&|c| c.interface = Some(name.to_owned())), refused);
        }
        for pin in ["12345670", "00000000", "31874625"] {
            assert_eq!(with(&|c| c.pin = Some(pin.to_owned())), Ok(()), "{pin}");
        }
        for pin in ["", "12345678", "1234567", "123456700", "1234567a", "１2345"] {
            let refused = Err(DirectConfigError::Pin);
            assert_eq!(with(&|c| c.pin = Some(pin.to_owned())), refused, "{pin}");
        }
        assert_eq!(with(&|c| c.port = 0), Err(DirectConfigError::Port));
    }
}
