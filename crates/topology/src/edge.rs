use std::time::Duration;

use bitcraps_types::{Kbps, Ratio, Timestamp, TransportType};
use smallvec::SmallVec;

/// Why numbers do not describe a link.
#[derive(Debug, Clone, Copy, PartialEq, thiserror::Error)]
pub enum EdgeInfoError {
    /// Below zero, not a number, or above [`EdgeInfo::MAX_LATENCY`].
    #[error("latency_ms = {0}: a latency lies between 0 and 3600000 ms")]
    Latency(f64),
    /// Not above zero, not a number, or above `u32::MAX`.
    #[error("bandwidth_kbps = {0}: a bandwidth lies between 1 and 4294967295 kbit/s")]
    Bandwidth(f64),
    /// Outside of 0 to 1, or not a number.
    #[error("reliability = {0}: a reliability lies between 0 and 1")]
    Reliability(f64),
}

/// One transport's link between two peers.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct EdgeInfo {
    last_active: Timestamp,
    reliability: Ratio,
    latency_us: u32,
    bandwidth: Kbps,
    transport: TransportType,
}

impl EdgeInfo {
    /// One hour: what takes longer carries no packet.
    pub const MAX_LATENCY: Duration = Duration::from_secs(3_600);

    /// Of checked units. A latency above [`Self::MAX_LATENCY`] is lowered to it; it is kept in
    /// whole microseconds.
    pub fn of_units(
        transport: TransportType,
        latency: Duration,
        bandwidth: Kbps,
        reliability: Ratio,
        last_active: Timestamp,
    ) -> Self {
        let latency = latency.min(Self::MAX_LATENCY);
        // An hour is 3.6e9 microseconds and fits.
        let latency_us = u32::try_from(latency.as_micros()).unwrap_or(u32::MAX);
        Self { last_active, reliability, latency_us, bandwidth, transport }
    }

    /// Of plain numbers, as they come from a report of another peer.
    ///
    /// # Errors
    /// [`EdgeInfoError`] with the first number that is NaN, negative or out of range.
    pub fn new(
        transport: TransportType,
        latency_ms: f64,
        bandwidth_kbps: f64,
        reliability: f64,
        last_active: Timestamp,
    ) -> Result<Self, EdgeInfoError> {
        let most = Self::MAX_LATENCY.as_secs_f64() * 1e3;
        if !(0.0..=most).contains(&latency_ms) {
            return Err(EdgeInfoError::Latency(latency_ms));
        }
        if !(1.0..=f64::from(u32::MAX)).contains(&bandwidth_kbps) {
            return Err(EdgeInfoError::Bandwidth(bandwidth_kbps));
        }
        let reliability =
            Ratio::new(reliability).map_err(|_| EdgeInfoError::Reliability(reliability))?;
        let latency = Duration::from_secs_f64(latency_ms / 1e3);
        let bandwidth = Kbps::at_least_one(bandwidth_kbps as u32);
        Ok(Self::of_units(transport, latency, bandwidth, reliability, last_active))
    }

    /// What carries it.
    pub const fn transport(&self) -> TransportType {
        self.transport
    }

    /// Time from one end to the other, in whole microseconds.
    pub const fn latency(&self) -> Duration {
        Duration::from_micros(self.latency_us as u64)
    }

    /// What it carries in a second.
    pub const fn bandwidth(&self) -> Kbps {
        self.bandwidth
    }

    /// Probability that a transmission arrives.
    pub const fn reliability(&self) -> Ratio {
        self.reliability
    }

    /// When it last carried something.
    pub const fn last_active(&self) -> Timestamp {
        self.last_active
    }

    /// The same link, seen at `now`.
    #[must_use]
    pub const fn active_at(mut self, now: Timestamp) -> Self {
        self.last_active = now;
        self
    }
}

impl Default for EdgeInfo {
    /// A link over the local network of which nothing was measured: 10 ms, 1 Mbit/s, reliability 1.
    fn default() -> Self {
        Self {
            last_active: Timestamp::ZERO,
            reliability: Ratio::ONE,
            latency_us: 10_000,
            bandwidth: Kbps::at_least_one(1_000),
            transport: TransportType::WiFiDirect,
        }
    }
}

/// The links between one pair of peers: one a transport, sorted by it, never none.
#[derive(Debug, Clone)]
pub(crate) struct LinkSet(SmallVec<[EdgeInfo; 1]>);

impl LinkSet {
    pub(crate) fn of(first: EdgeInfo) -> Self {
        Self(SmallVec::from_buf([first]))
    }

    pub(crate) fn links(&self) -> &[EdgeInfo] {
        &self.0
    }

    fn find(&self, transport: TransportType) -> Result<usize, usize> {
        self.0.binary_search_by_key(&transport, EdgeInfo::transport)
    }

    /// Whether it was added: there is one link a transport.
    pub(crate) fn add(&mut self, link: EdgeInfo) -> bool {
        match self.find(link.transport) {
            Ok(_) => false,
            Err(at) => {
                self.0.insert(at, link);
                true
            }
        }
    }

    /// What was there before.
    pub(crate) fn replace(&mut self, link: EdgeInfo) -> Option<EdgeInfo> {
        let at = self.find(link.transport).ok()?;
        Some(std::mem::replace(&mut self.0[at], link))
    }

    pub(crate) fn remove(&mut self, transport: TransportType) -> Option<EdgeInfo> {
        self.find(transport).ok().map(|at| self.0.remove(at))
    }

    pub(crate) fn is_empty(&self) -> bool {
        self.0.is_empty()
    }

    /// Probability that one of them at least delivers, failures being independent: 1 - product of
    /// the failures.
    pub(crate) fn reliability(&self) -> Ratio {
        let all_fail: f64 = self.0.iter().map(|link| 1.0 - link.reliability.get()).product();
        Ratio::clamped(1.0 - all_fail)
    }

    /// Latency of the fastest.
    pub(crate) fn latency(&self) -> Duration {
        self.0.iter().map(EdgeInfo::latency).min().unwrap_or(EdgeInfo::MAX_LATENCY)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn new(latency: f64, bandwidth: f64, reliability: f64) -> Result<EdgeInfo, EdgeInfoError> {
        let at = Timestamp::from_millis(7);
        EdgeInfo::new(TransportType::Bluetooth, latency, bandwidth, reliability, at)
    }

    #[test]
    fn numbers_are_checked_on_both_sides_of_each_bound() {
        let link = new(12.5, 300.0, 0.25).unwrap();
        assert_eq!(link.latency(), Duration::from_micros(12_500));
        assert_eq!((link.bandwidth().get(), link.reliability().get()), (300, 0.25));
        assert_eq!(link.last_active(), Timestamp::from_millis(7));
        assert!(new(0.0, 1.0, 0.0).is_ok() && new(3.6e6, 4_294_967_295.0, 1.0).is_ok());
        for bad in [-0.1, 3.6e6 + 1.0, f64::INFINITY] {
            assert_eq!(new(bad, 1.0, 1.0), Err(EdgeInfoError::Latency(bad)));
        }
        for bad in [0.0, -1.0, 0.99, 4_294_967_296.0] {
            assert_eq!(new(1.0, bad, 1.0), Err(EdgeInfoError::Bandwidth(bad)));
        }
        for bad in [-0.01, 1.01] {
            assert_eq!(new(1.0, 1.0, bad), Err(EdgeInfoError::Reliability(bad)));
        }
        for (latency, bandwidth, reliability) in
            [(f64::NAN, 1.0, 1.0), (1.0, f64::NAN, 1.0), (1.0, 1.0, f64::NAN)]
        {
            assert!(new(latency, bandwidth, reliability).is_err());
        }
    }

    #[test]
    fn parallel_links_are_one_that_fails_only_when_all_do() {
        let mut set = LinkSet::of(new(40.0, 300.0, 0.5).unwrap());
        assert!(!set.add(new(1.0, 1.0, 1.0).unwrap()));
        let other = EdgeInfo { transport: TransportType::Internet, ..new(9.0, 1.0, 0.8).unwrap() };
        assert!(set.add(other));
        assert!((set.reliability().get() - 0.9).abs() < 1e-12);
        assert_eq!(set.latency(), Duration::from_millis(9));
        assert_eq!(set.replace(EdgeInfo { latency_us: 1, ..other }), Some(other));
        assert_eq!(set.latency(), Duration::from_micros(1));
        assert!(set.remove(TransportType::Internet).is_some());
        assert_eq!(set.remove(TransportType::Internet), None);
        assert!(!set.is_empty());
        assert_eq!(set.links().len(), 1);
    }
}
