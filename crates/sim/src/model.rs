use std::time::Duration;

use bitcraps_types::{EnergyProfile, Kbps, LinkCapabilities, Medium, Ratio, TransportType};

/// One direction of an emulated link: how it carries frames, and what it tells of itself.
///
/// A frame waits in a bounded queue, takes its bytes over the rate to leave, is lost or not, and
/// arrives a latency and a share of the jitter later.
#[derive(Debug, Clone, Copy, PartialEq)]
pub struct LinkModel {
    /// The family it belongs to.
    pub transport: TransportType,
    /// Time on the way, without queueing and serialisation.
    pub latency: Duration,
    /// Most that is added to the latency, drawn evenly for each frame.
    pub jitter: Duration,
    /// Whether jitter may let frames overtake each other.
    pub reorder: bool,
    /// Share of frames that vanish.
    pub loss: Ratio,
    /// Share of frames that arrive twice.
    pub duplication: Ratio,
    /// Share of frames that arrive with one bit flipped. No real link does that, each authenticates
    /// its frames: what reaches the engine so is to be survived, not to be delivered right.
    pub corruption: Ratio,
    /// How fast frames leave the queue.
    pub rate: Kbps,
    /// Most bytes that wait in the queue, the frame that is leaving included. A frame that finds
    /// the queue empty is always taken.
    pub queue_bytes: usize,
    /// Largest frame in bytes.
    pub max_frame: usize,
    /// What the radio is said to cost.
    pub energy: EnergyProfile,
    /// Whether bytes are said to cost money.
    pub metered: bool,
    /// Delivery probability that the link tells before anything was measured.
    pub prior: Ratio,
}

impl LinkModel {
    /// A wire without flaw: 1 ms, 1 Gbit/s, frames of 1,400 bytes, mains power.
    pub const fn perfect(transport: TransportType) -> Self {
        Self {
            transport,
            latency: Duration::from_millis(1),
            jitter: Duration::ZERO,
            reorder: false,
            loss: Ratio::ZERO,
            duplication: Ratio::ZERO,
            corruption: Ratio::ZERO,
            rate: Kbps::at_least_one(1_000_000),
            queue_bytes: 1 << 20,
            max_frame: 1_400,
            energy: EnergyProfile::MAINS,
            metered: false,
            prior: Ratio::ONE,
        }
    }

    /// Bluetooth LE, one L2CAP channel at a connection interval of 30 ms: 300 kbit/s net, half to
    /// one interval of latency (15-30 ms), 1 % residual loss, frames of 512 bytes, a queue of
    /// about 220 ms. Rate and latency are those of the pedestrian traces (TU Dublin RSSI, interval
    /// of 30 ms, `300 (1 - PER)` kbit/s, 15 ms and more); energy after the AOSP power profile. The
    /// 244 bytes of an attribute payload are below the least frame of a link, so a frame is two.
    pub fn bluetooth_le() -> Self {
        Self {
            latency: Duration::from_millis(15),
            jitter: Duration::from_millis(15),
            loss: Ratio::clamped(0.01),
            rate: Kbps::at_least_one(300),
            queue_bytes: 8 << 10,
            max_frame: 512,
            energy: EnergyProfile::BLUETOOTH_LE,
            prior: Ratio::clamped(0.97),
            ..Self::perfect(TransportType::Bluetooth)
        }
    }

    /// Wi-Fi in one room: 50 Mbit/s, 2 ms and up to 3 ms of medium access (base 0.8 ms, doubling
    /// per retry, after Huitema's model of delay spikes), 0.1 % residual loss, frames of 1,472
    /// bytes, an access point's queue of 256 KiB.
    pub fn wifi() -> Self {
        Self {
            latency: Duration::from_millis(2),
            jitter: Duration::from_millis(3),
            loss: Ratio::clamped(0.001),
            rate: Kbps::at_least_one(50_000),
            queue_bytes: 256 << 10,
            max_frame: 1_472,
            energy: EnergyProfile::WIFI,
            prior: Ratio::clamped(0.99),
            ..Self::perfect(TransportType::WiFiDirect)
        }
    }

    /// Internet over LTE: 10 Mbit/s, 20 ms (the constant of the NSDI '13 Saturator traces) and up
    /// to 10 ms more, 0.05 % loss, frames of 1,252 bytes, metered, an expensive radio tail.
    pub fn internet() -> Self {
        Self {
            latency: Duration::from_millis(20),
            jitter: Duration::from_millis(10),
            loss: Ratio::clamped(0.000_5),
            rate: Kbps::at_least_one(10_000),
            queue_bytes: 512 << 10,
            max_frame: 1_252,
            energy: EnergyProfile::CELLULAR,
            metered: true,
            prior: Ratio::clamped(0.99),
            ..Self::perfect(TransportType::Internet)
        }
    }

    /// With this latency and no jitter.
    #[must_use]
    pub const fn latency(mut self, latency: Duration) -> Self {
        self.latency = latency;
        self.jitter = Duration::ZERO;
        self
    }

    /// With up to this much added to the latency.
    #[must_use]
    pub const fn jitter(mut self, jitter: Duration) -> Self {
        self.jitter = jitter;
        self
    }

    /// With frames overtaking each other within the jitter.
    #[must_use]
    pub const fn reordering(mut self) -> Self {
        self.reorder = true;
        self
    }

    /// With this share of frames lost, clamped to 0 to 1.
    #[must_use]
    pub fn loss(mut self, share: f64) -> Self {
        self.loss = Ratio::clamped(share);
        self
    }

    /// With this share of frames arriving twice, clamped to 0 to 1.
    #[must_use]
    pub fn duplication(mut self, share: f64) -> Self {
        self.duplication = Ratio::clamped(share);
        self
    }

    /// With this share of frames damaged, clamped to 0 to 1.
    #[must_use]
    pub fn corruption(mut self, share: f64) -> Self {
        self.corruption = Ratio::clamped(share);
        self
    }

    /// With this rate.
    #[must_use]
    pub const fn rate(mut self, rate: Kbps) -> Self {
        self.rate = rate;
        self
    }

    /// With a queue of this many bytes.
    #[must_use]
    pub const fn queue_bytes(mut self, bytes: usize) -> Self {
        self.queue_bytes = bytes;
        self
    }

    /// With frames of at most this many bytes, at least [`LinkCapabilities::MIN_FRAME`].
    #[must_use]
    pub const fn max_frame(mut self, bytes: usize) -> Self {
        self.max_frame =
            if bytes < LinkCapabilities::MIN_FRAME { LinkCapabilities::MIN_FRAME } else { bytes };
        self
    }

    /// With a radio of this cost.
    #[must_use]
    pub const fn energy(mut self, energy: EnergyProfile) -> Self {
        self.energy = energy;
        self
    }

    /// What the link tells of itself. Its medium is always [`Medium::Emulated`].
    pub const fn capabilities(&self) -> LinkCapabilities {
        LinkCapabilities {
            max_frame: self.max_frame,
            nominal_rate: self.rate,
            energy: self.energy,
            metered: self.metered,
            prior_reliability: self.prior,
            medium: Medium::Emulated,
        }
    }
}
