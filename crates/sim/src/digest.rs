use std::fmt;

const OFFSET: u64 = 0xcbf2_9ce4_8422_2325;
const PRIME: u64 = 0x0000_0100_0000_01b3;

/// Running FNV-1a over everything that happens, eight bytes a step: two runs with the same digest
/// took the same course. Not for secrets.
#[derive(Debug, Clone, Copy)]
pub(crate) struct Digest(u64);

impl Default for Digest {
    fn default() -> Self {
        Self(OFFSET)
    }
}

impl Digest {
    pub(crate) const fn value(self) -> u64 {
        self.0
    }

    pub(crate) const fn word(&mut self, word: u64) {
        // The rotation lets high bits of a word reach the low bits of the sum.
        self.0 = (self.0 ^ word).wrapping_mul(PRIME).rotate_left(29);
    }

    pub(crate) fn bytes(&mut self, bytes: &[u8]) {
        self.word(bytes.len() as u64);
        let (words, rest) = bytes.as_chunks::<8>();
        words.iter().for_each(|w| self.word(u64::from_le_bytes(*w)));
        if !rest.is_empty() {
            let mut last = [0; 8];
            last[..rest.len()].copy_from_slice(rest);
            self.word(u64::from_le_bytes(last));
        }
    }

    /// Whatever `value` shows of itself.
    pub(crate) fn shown(&mut self, value: &impl fmt::Debug) {
        // Writing into a digest cannot fail.
        fmt::write(self, format_args!("{value:?}")).unwrap_or_default();
    }
}

impl fmt::Write for Digest {
    fn write_str(&mut self, text: &str) -> fmt::Result {
        self.bytes(text.as_bytes());
        Ok(())
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn of(bytes: &[u8]) -> u64 {
        let mut digest = Digest::default();
        digest.bytes(bytes);
        digest.value()
    }

    #[test]
    fn every_bit_and_the_length_count() {
        let text = [7u8; 21];
        for bit in 0..text.len() * 8 {
            let mut other = text;
            other[bit / 8] ^= 1 << (bit % 8);
            assert_ne!(of(&text), of(&other), "bit {bit}");
        }
        assert_ne!(of(&[0; 8]), of(&[0; 9]));
        assert_eq!(of(&text), of(&text));
    }
}
