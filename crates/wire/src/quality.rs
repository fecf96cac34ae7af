use std::time::Duration;

use bitcraps_types::{Kbps, Ratio, TransportType};

use crate::DecodeError;

/// What one end says of a link, in 16 bits: transport, latency, delivery probability, rate, each in
/// steps fine enough to choose a path by. Rounded so that no claim is better than what was measured.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct Quality(u16);

/// Delivery probabilities of the codes 1 to 15, in thousandths; code 0 stands for a link that is gone.
const RELIABILITIES: [u16; 15] =
    [50, 100, 200, 300, 400, 500, 600, 700, 800, 850, 900, 950, 980, 990, 999];

/// Rates of the codes 0 to 15 in kbit/s: 2.5 times more each.
const RATES: [u32; 16] = [
    8, 20, 50, 125, 312, 781, 1_953, 4_883, 12_207, 30_518, 76_294, 190_735, 476_837, 1_192_093,
    2_980_232, 4_000_000,
];

/// In place of a transport, for a link that is not there and could be.
const OFFER: u16 = 3;

/// Latency of code 0 in microseconds.
const LEAST_LATENCY: u64 = 100;
/// The fourth root of two to the powers of 0 to 3, in ten thousandths.
const ROOTS: [u64; 4] = [10_000, 11_892, 14_142, 16_818];
const LATENCY_CODES: u16 = 64;

const fn latency_of(code: u16) -> u64 {
    (LEAST_LATENCY << (code / 4)) * ROOTS[(code % 4) as usize] / 10_000
}

impl Quality {
    /// Encoded length in bytes.
    pub const LEN: usize = 2;
    /// The longest latency that can be told; anything longer is told as this.
    pub const MAX_LATENCY: Duration = Duration::from_micros(latency_of(LATENCY_CODES - 1));

    /// Of a link that works. Latency one way, rounded up by at most 19 %; the rest rounded down.
    pub fn new(
        transport: TransportType,
        latency: Duration,
        reliability: Ratio,
        rate: Kbps,
    ) -> Self {
        let micros = u64::try_from(latency.as_micros()).unwrap_or(u64::MAX);
        let latency = (0..LATENCY_CODES).find(|code| latency_of(*code) >= micros);
        let latency = latency.unwrap_or(LATENCY_CODES - 1);
        let reaches = |bound: &&u16| reliability.get() * 1_000.0 >= f64::from(**bound);
        // There are 15 and 16 of them.
        let reliability = RELIABILITIES.iter().filter(reaches).count().max(1) as u16;
        let rate = RATES.iter().filter(|bound| rate.get() >= **bound).count().max(1) as u16 - 1;
        Self((transport.index() as u16) << 14 | latency << 8 | reliability << 4 | rate)
    }

    /// Of a link that is gone.
    pub const fn gone(transport: TransportType) -> Self {
        Self((transport.index() as u16) << 14)
    }

    /// Of a link that is not there and could be: its end has found the other one, and admits it.
    pub const fn offer(transport: TransportType) -> Self {
        Self(OFFER << 14 | 1 << 4 | transport.index() as u16)
    }

    /// Whether the link is not there and could be.
    pub const fn is_offer(self) -> bool {
        self.0 >> 14 == OFFER
    }

    /// Whether the link is gone.
    pub const fn is_gone(self) -> bool {
        self.0 >> 4 & 15 == 0
    }

    /// What carries the link.
    pub fn transport(self) -> TransportType {
        let index = if self.is_offer() { self.0 & 3 } else { self.0 >> 14 };
        TransportType::ALL[usize::from(index) % TransportType::COUNT]
    }

    /// Time from one end to the other.
    pub const fn latency(self) -> Duration {
        Duration::from_micros(latency_of(self.0 >> 8 & 63))
    }

    /// Probability that a transmission arrives; 0 for a link that is gone, or not there yet.
    pub fn reliability(self) -> Ratio {
        if self.is_offer() {
            return Ratio::ZERO;
        }
        let code = usize::from(self.0 >> 4 & 15);
        let thousandths = code.checked_sub(1).map_or(0, |code| RELIABILITIES[code]);
        Ratio::clamped(f64::from(thousandths) / 1_000.0)
    }

    /// What it carries in a second.
    pub const fn rate(self) -> Kbps {
        Kbps::at_least_one(RATES[(self.0 & 15) as usize])
    }

    /// The worse of what two ends say of one link; gone when one of them says so, or offers it only.
    #[must_use]
    pub fn worse(self, other: Self) -> Self {
        let field = |quality: Self, mask: u16| quality.0 & mask;
        let latency = field(self, 63 << 8).max(field(other, 63 << 8));
        let reliability = field(self, 15 << 4).min(field(other, 15 << 4));
        let rate = field(self, 15).min(field(other, 15));
        if reliability == 0 || self.is_offer() || other.is_offer() {
            return Self::gone(self.transport());
        }
        Self(field(self, 3 << 14) | latency | reliability | rate)
    }

    /// Largest difference of two fields in steps: 0 for equal ones. Transports and links that are
    /// gone differ by more than any two others.
    pub fn distance(self, other: Self) -> u16 {
        let state = |quality: Self| (quality.transport(), quality.is_gone(), quality.is_offer());
        if state(self) != state(other) {
            return u16::MAX;
        }
        let field =
            |shift: u16, mask: u16| (self.0 >> shift & mask).abs_diff(other.0 >> shift & mask);
        field(8, 63).max(field(4, 15)).max(field(0, 15))
    }

    pub(crate) const fn to_wire(self) -> u16 {
        self.0
    }

    pub(crate) fn from_wire(bits: u16) -> Result<Self, DecodeError> {
        let quality = Self(bits);
        if quality.is_offer() {
            let known = TransportType::ALL.into_iter().any(|kind| quality == Self::offer(kind));
            let none = DecodeError::Inconsistent("a link has a transport that does not exist");
            return known.then_some(quality).ok_or(none);
        }
        if quality.is_gone() && bits << 2 != 0 {
            return Err(DecodeError::Inconsistent("a link that is gone has a quality"));
        }
        Ok(quality)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn of(latency_us: u64, reliability: f64, kbps: u32) -> Quality {
        let latency = Duration::from_micros(latency_us);
        let rate = Kbps::at_least_one(kbps);
        Quality::new(TransportType::WiFiDirect, latency, Ratio::clamped(reliability), rate)
    }

    #[test]
    fn no_claim_is_better_than_what_was_measured_and_none_much_worse() {
        let mut rng = fastrand::Rng::with_seed(9);
        for _ in 0..20_000 {
            let latency = 1 << rng.u32(7..22);
            let latency = latency + rng.u64(..latency);
            let (reliability, kbps) = (0.05 + 0.95 * rng.f64(), 8 + rng.u32(..4_000_000));
            let quality = of(latency, reliability, kbps);
            assert!(quality.latency() >= Duration::from_micros(latency));
            assert!(quality.latency() <= Duration::from_micros(latency * 1_190 / 1_000 + 1));
            assert!(quality.reliability().get() <= reliability);
            assert!(quality.rate().get() <= kbps && 5 * quality.rate().get() / 2 + 2 > kbps);
            assert!(!quality.is_gone());
        }
    }

    #[test]
    fn ends_of_the_scales_are_kept() {
        let best = of(0, 1.0, u32::MAX);
        assert_eq!(best.latency(), Duration::from_micros(100));
        assert_eq!((best.reliability().get(), best.rate().get()), (0.999, 4_000_000));
        let worst = of(u64::MAX, 0.0, 1);
        assert_eq!(worst.latency(), Quality::MAX_LATENCY);
        assert_eq!(Quality::MAX_LATENCY, Duration::from_micros(5_510_922));
        assert_eq!((worst.reliability().get(), worst.rate().get()), (0.05, 8));
        assert!(!worst.is_gone());
    }

    #[test]
    fn the_worse_of_two_is_worse_in_everything() {
        let (fast, sure) = (of(1_000, 0.5, 10_000), of(40_000, 0.95, 300));
        let worse = fast.worse(sure);
        assert_eq!(worse, sure.worse(fast));
        assert_eq!((worse.latency(), worse.rate()), (sure.latency(), sure.rate()));
        assert_eq!(worse.reliability(), fast.reliability());
        let gone = Quality::gone(TransportType::WiFiDirect);
        assert_eq!((fast.worse(gone), gone.worse(fast)), (gone, gone));
        assert_eq!(fast.distance(fast), 0);
        assert_eq!(fast.distance(sure), 21);
        assert_eq!(fast.distance(gone), u16::MAX);
    }

    #[test]
    fn an_offer_is_no_link_and_has_one_form() {
        for transport in TransportType::ALL {
            let offer = Quality::offer(transport);
            assert!(offer.is_offer() && !offer.is_gone());
            assert_eq!((offer.transport(), offer.reliability()), (transport, Ratio::ZERO));
            assert_eq!(Quality::from_wire(offer.to_wire()), Ok(offer));
            assert_eq!(offer.distance(Quality::gone(transport)), u16::MAX);
        }
        let (link, offer) = (of(1_000, 0.5, 10_000), Quality::offer(TransportType::WiFiDirect));
        assert!(!link.is_offer() && link.distance(offer) == u16::MAX);
        assert_eq!(
            (link.worse(offer), offer.worse(link)),
            (Quality::gone(link.transport()), Quality::gone(link.transport()))
        );
        let forms = (3_u16 << 14..=u16::MAX).filter(|bits| Quality::from_wire(*bits).is_ok());
        assert_eq!(forms.count(), TransportType::COUNT);
    }
}
