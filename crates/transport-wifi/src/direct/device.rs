use std::fmt;

/// A Wi-Fi Direct device by its device address, which it keeps from one group to the next. A claim:
/// anybody can take another one's.
#[derive(Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct Device(pub [u8; 6]);

impl Device {
    /// Reads twelve hexadecimal digits, with or without a colon between two; `None` for anything else.
    pub fn parse(text: &str) -> Option<Self> {
        let digits = match text.len() {
            12 => text.to_owned(),
            17 if text.bytes().skip(2).step_by(3).all(|byte| byte == b':') => text.replace(':', ""),
            _ => return None,
        };
        if digits.len() != 12 || !digits.bytes().all(|byte| byte.is_ascii_hexdigit()) {
            return None;
        }
        let number = u64::from_str_radix(&digits, 16).ok()?;
        let [_, _, bytes @ ..] = number.to_be_bytes();
        Some(Self(bytes))
    }

    /// Twelve hexadecimal digits, as the last part of a peer's object path has them.
    pub fn compact(&self) -> String {
        self.0.iter().map(|byte| format!("{byte:02x}")).collect()
    }
}

impl fmt::Display for Device {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let [a, b, c, d, e, g] = self.0;
        write!(f, "{a:02x}:{b:02x}:{c:02x}:{d:02x}:{e:02x}:{g:02x}")
    }
}

impl fmt::Debug for Device {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "Device({self})")
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn both_ways_of_writing_are_read_and_nothing_else() {
        let device = Device([0x02, 0, 0xab, 0xcd, 0xef, 0x10]);
        assert_eq!(Device::parse("0200abcdef10"), Some(device));
        assert_eq!(Device::parse("02:00:AB:cd:ef:10"), Some(device));
        assert_eq!(Device::parse(&device.compact()), Some(device));
        assert_eq!(Device::parse(&device.to_string()), Some(device));
        for text in ["", "0200abcdef1", "0200abcdef1g", "+200abcdef10", "02:00:ab:cd:ef:1é"] {
            assert_eq!(Device::parse(text), None, "{text}");
        }
        for text in ["02-00-ab-cd-ef-10", "02:00:ab:cd:ef::1", "é200abcdef1", ":::::::::::::::::"]
        {
            assert_eq!(Device::parse(text), None, "{text}");
        }
    }
}
