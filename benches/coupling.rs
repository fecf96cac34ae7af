use std::time::Duration;

use bitcraps_coordinator::{Command, Config, Core, LinkUp, Outcome, PeerHandle, SendOptions};
use bitcraps_types::{
    EnergyProfile, Epoch, Kbps, LinkCapabilities, LinkId, Medium, PeerId, Ratio, Timestamp,
    TrafficClass, TransportType,
};
use bytes::Bytes;

use crate::Failure;

/// Rounds of frames to and fro before two machines count as never falling silent.
const MAX_ROUNDS: usize = 1_000;
/// Time that passes from one exchange to the next.
const STEP: Duration = Duration::from_micros(2);
/// How far the machines are from each other.
const ONE_WAY: Duration = Duration::from_micros(50);
/// Room that the receiving application is said to have.
const ROOM: usize = 1 << 20;

/// What the sending machine was told.
#[derive(Debug, Clone)]
pub enum Event {
    /// A link came up.
    Up(LinkUp),
    /// The application sends to the peer.
    Send,
    /// So many frames left the link's queue since it came up.
    Written(LinkId, u64),
    /// Frames arrived, all at once.
    Frames(LinkId, Vec<Bytes>),
    /// A timer is due.
    Timer,
}

/// Two machines joined in memory: what one transmits the other receives at once. Time is counted,
/// not read.
#[derive(Debug)]
pub struct Coupling {
    near: Core,
    far: Core,
    handle: PeerHandle,
    options: SendOptions,
    payload: Bytes,
    now: Timestamp,
    near_written: Vec<u64>,
    far_written: Vec<u64>,
    to_far: Vec<Vec<Bytes>>,
    to_near: Vec<Vec<Bytes>>,
    log: Option<Vec<(Timestamp, Event)>>,
    sent: u64,
    delivered: u64,
    received: u64,
}

/// Capabilities of a link of each family, as a driver would tell them.
pub(crate) fn capabilities(transport: TransportType) -> LinkCapabilities {
    let (max_frame, kbps, energy) = match transport {
        TransportType::Bluetooth => (512, 700, EnergyProfile::BLUETOOTH_LE),
        TransportType::WiFiDirect => (65_536, 1_000_000, EnergyProfile::MAINS),
        TransportType::Internet => (65_536, 20_000, EnergyProfile::CELLULAR),
    };
    LinkCapabilities {
        max_frame,
        nominal_rate: Kbps::at_least_one(kbps),
        energy,
        metered: false,
        prior_reliability: Ratio::clamped(0.95),
        medium: Medium::Emulated,
    }
}

/// The sending machine's key.
pub(crate) const NEAR: PeerId = PeerId::from_bytes([1; 32]);
/// The receiving machine's key.
pub(crate) const FAR: PeerId = PeerId::from_bytes([2; 32]);

/// The sending machine's settings.
pub(crate) fn near_config(seed: u64) -> Config {
    Config::new(NEAR, Epoch(1), seed)
}

fn total(written: &mut [u64], link: LinkId) -> Option<&mut u64> {
    written.get_mut(usize::try_from(link.0).ok()?.checked_sub(1)?)
}

impl Coupling {
    /// Joins two machines by one link of each of `transports`, and lets them greet each other.
    ///
    /// # Errors
    /// [`Failure::Broken`] when they do not become ready.
    pub fn new(
        transports: &[TransportType],
        class: TrafficClass,
        payload: usize,
        seed: u64,
    ) -> Result<Self, Failure> {
        let mut near = Core::new(near_config(seed));
        let broken = || Failure::Broken("a machine knows no peers".to_owned());
        let handle = near.add_peer(FAR, Timestamp::ZERO).ok_or_else(broken)?;
        let links = transports.len();
        let mut coupling = Self {
            near,
            far: Core::new(Config::new(FAR, Epoch(1), seed + 1)),
            handle,
            options: SendOptions::new(class),
            payload: vec![7; payload].into(),
            now: Timestamp::from_millis(3_600_000),
            near_written: vec![0; links],
            far_written: vec![0; links],
            to_far: vec![Vec::new(); links],
            to_near: vec![Vec::new(); links],
            log: Some(Vec::new()),
            sent: 0,
            delivered: 0,
            received: 0,
        };
        coupling.far.attach(ROOM, coupling.now);
        for (i, transport) in transports.iter().enumerate() {
            let capabilities = capabilities(*transport);
            let up = |peer| LinkUp {
                link: LinkId(i as u64 + 1),
                peer,
                transport: *transport,
                capabilities,
            };
            coupling.note(|| Event::Up(up(FAR)));
            coupling.near.link_up(up(FAR), coupling.now);
            coupling.far.link_up(up(NEAR), coupling.now);
            coupling.until_silent()?;
        }
        let ready =
            coupling.near.peers(coupling.now).iter().flat_map(|p| &p.links).all(|l| l.ready);
        if ready { Ok(coupling) } else { Err(Failure::Broken("links did not greet".to_owned())) }
    }

    fn note(&mut self, event: impl FnOnce() -> Event) {
        if let Some(log) = &mut self.log {
            log.push((self.now, event()));
        }
    }

    /// Everything that the sending machine was told so far; nothing more is recorded from now on.
    pub fn take_log(&mut self) -> Vec<(Timestamp, Event)> {
        self.log.take().unwrap_or_default()
    }

    /// Forgets to record, for measurements of both machines together.
    pub fn unrecorded(mut self) -> Self {
        self.log = None;
        self
    }

    /// The sending machine, the name of its peer in it, and the time.
    pub fn near(&self) -> (&Core, PeerHandle, Timestamp) {
        (&self.near, self.handle, self.now)
    }

    /// Messages sent, confirmed by their outcome, and handed to the receiving application.
    pub fn counts(&self) -> [u64; 3] {
        [self.sent, self.delivered, self.received]
    }

    /// Sends `count` messages at once and moves frames until all is said.
    ///
    /// # Errors
    /// [`Failure::Broken`] when a message is refused or the machines never fall silent.
    pub fn exchange(&mut self, count: usize) -> Result<(), Failure> {
        self.now += STEP;
        for _ in 0..count {
            self.note(|| Event::Send);
            self.near
                .send_to(self.handle, self.payload.clone(), self.options, None, self.now)
                .map_err(|e| Failure::broken("send", e))?;
            self.sent += 1;
        }
        self.until_silent()
    }

    fn until_silent(&mut self) -> Result<(), Failure> {
        for _ in 0..MAX_ROUNDS {
            let forth = self.near_to_far();
            let back = self.far_to_near();
            let mut due = false;
            if self.near.next_deadline().is_some_and(|at| at <= self.now) {
                self.note(|| Event::Timer);
                self.near.on_timer(self.now);
                due = true;
            }
            if self.far.next_deadline().is_some_and(|at| at <= self.now) {
                self.far.on_timer(self.now);
                due = true;
            }
            if !(forth || back || due) {
                return Ok(());
            }
        }
        Err(Failure::Broken("two machines never fall silent".to_owned()))
    }

    fn near_to_far(&mut self) -> bool {
        let mut any = false;
        while let Some(command) = self.near.poll_command() {
            match command {
                Command::Transmit { link, frame, .. } => {
                    any = true;
                    if let Some(frames) = self.to_far.get_mut(link.0 as usize - 1) {
                        frames.push(frame);
                    }
                }
                Command::Settle { outcome, .. } => {
                    self.delivered += u64::from(matches!(outcome, Outcome::Delivered { .. }));
                }
                Command::Deliver(_)
                | Command::Close { .. }
                | Command::Connect(_)
                | Command::Persist(_)
                | Command::Notice(_) => {}
            }
        }
        if !any {
            return false;
        }
        for i in 0..self.to_far.len() {
            let link = LinkId(i as u64 + 1);
            let count = self.to_far[i].len() as u64;
            if count == 0 {
                continue;
            }
            let Some(written) = total(&mut self.near_written, link) else { continue };
            *written += count;
            let written = *written;
            self.note(|| Event::Written(link, written));
            self.near.written(link, written, self.now);
            let mut frames = std::mem::take(&mut self.to_far[i]);
            self.far.frames_received(link, &mut frames, self.now);
            self.to_far[i] = frames;
        }
        true
    }

    fn far_to_near(&mut self) -> bool {
        let mut any = false;
        while let Some(command) = self.far.poll_command() {
            match command {
                Command::Transmit { link, frame, .. } => {
                    any = true;
                    if let Some(frames) = self.to_near.get_mut(link.0 as usize - 1) {
                        frames.push(frame);
                    }
                }
                Command::Deliver(delivery) => {
                    self.received += 1;
                    self.far.inbox_taken(delivery.class(), 1, self.now);
                }
                Command::Settle { .. }
                | Command::Close { .. }
                | Command::Connect(_)
                | Command::Persist(_)
                | Command::Notice(_) => {}
            }
        }
        if !any {
            return false;
        }
        self.now += ONE_WAY;
        for i in 0..self.to_near.len() {
            let link = LinkId(i as u64 + 1);
            let count = self.to_near[i].len() as u64;
            if count == 0 {
                continue;
            }
            if let Some(written) = total(&mut self.far_written, link) {
                *written += count;
                self.far.written(link, *written, self.now);
            }
            let mut frames = std::mem::take(&mut self.to_near[i]);
            if let Some(log) = &mut self.log {
                log.push((self.now, Event::Frames(link, frames.clone())));
            }
            self.near.frames_received(link, &mut frames, self.now);
            self.to_near[i] = frames;
        }
        true
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn every_message_of_a_coupling_is_confirmed_and_handed_over_once() {
        let all = TransportType::ALL;
        let mut coupling = Coupling::new(&all, TrafficClass::Realtime, 100, 5).unwrap();
        for count in [1, 32, 1] {
            coupling.exchange(count).unwrap();
        }
        assert_eq!(coupling.counts(), [34, 34, 34]);
        let log = coupling.take_log();
        assert_eq!(log.iter().filter(|(_, e)| matches!(e, Event::Send)).count(), 34);
    }
}
