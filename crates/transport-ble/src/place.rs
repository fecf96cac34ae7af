use std::fmt;
use std::str::FromStr;

/// A Bluetooth device: six bytes that say nothing about who it is, and may change at any time.
#[derive(Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct Device {
    /// The address, most significant byte first.
    pub bytes: [u8; 6],
    /// Whether the address is a random one.
    pub random: bool,
}

impl fmt::Display for Device {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let [a, b, c, d, e, g] = self.bytes;
        write!(f, "{a:02X}:{b:02X}:{c:02X}:{d:02X}:{e:02X}:{g:02X}")?;
        f.write_str(if self.random { "/random" } else { "/public" })
    }
}

impl fmt::Debug for Device {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        fmt::Display::fmt(self, f)
    }
}

impl Device {
    /// Reads an address as Bluetooth writes it, `AA:BB:CC:DD:EE:FF`.
    pub fn parse(address: &str, random: bool) -> Option<Self> {
        let mut bytes = [0; 6];
        let mut parts = address.split(':');
        for byte in &mut bytes {
            let part = parts.next().filter(|part| part.len() == 2)?;
            *byte = u8::from_str_radix(part, 16).ok()?;
        }
        parts.next().is_none().then_some(Self { bytes, random })
    }
}

/// Where a node listens: a device and the number of its channel. Written
/// `AA:BB:CC:DD:EE:FF/public/129`.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct Place {
    /// Which device.
    pub device: Device,
    /// Its channel number.
    pub psm: u16,
}

impl fmt::Display for Place {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}/{}", self.device, self.psm)
    }
}

/// A text that is no [`Place`].
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[error("expected AA:BB:CC:DD:EE:FF/public/129, or /random/")]
pub struct ParsePlaceError;

impl FromStr for Place {
    type Err = ParsePlaceError;

    fn from_str(text: &str) -> Result<Self, Self::Err> {
        let mut parts = text.split('/');
        let (address, kind, psm) = (parts.next(), parts.next(), parts.next());
        let (Some(address), Some(kind), Some(psm), None) = (address, kind, psm, parts.next())
        else {
            return Err(ParsePlaceError);
        };
        let random = match kind {
            "public" => false,
            "random" => true,
            _ => return Err(ParsePlaceError),
        };
        let device = Device::parse(address, random).ok_or(ParsePlaceError)?;
        Ok(Self { device, psm: psm.parse().map_err(|_| ParsePlaceError)? })
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_place_is_read_as_it_is_written_and_nothing_else_is() {
        let device = Device { bytes: [0, 0xaa, 1, 0, 0x10, 0xff], random: true };
        let place = Place { device, psm: 129 };
        assert_eq!(place.to_string(), "00:AA:01:00:10:FF/random/129");
        assert_eq!(place.to_string().parse(), Ok(place));
        assert_eq!("00:aa:01:00:10:ff/random/129".parse(), Ok(place));
        for bad in [
            "",
            "00:AA:01:00:10:FF",
            "00:AA:01:00:10:FF/random",
            "00:AA:01:00:10:FF/static/129",
            "00:AA:01:00:10/random/129",
            "00:AA:01:00:10:FF:00/random/129",
            "0:AA:01:00:10:FF/random/129",
            "00:AA:01:00:10:FG/random/129",
            "00:AA:01:00:10:FF/random/x",
            "00:AA:01:00:10:FF/random/129/",
        ] {
            assert_eq!(bad.parse::<Place>(), Err(ParsePlaceError), "{bad}");
        }
    }
}
