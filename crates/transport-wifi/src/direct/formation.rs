//! With whom to form a Wi-Fi Direct group, when, and when to leave it.

mod command;
mod fact;
mod seen;

use std::collections::{BTreeMap, BTreeSet};
use std::time::Duration;

use bitcraps_types::Timestamp;

use super::device::Device;
use super::intent::intent;
use super::service::Tag;
pub use command::Command;
pub use fact::{Fact, Role};
use seen::{Seen, doubled};

/// Devices remembered: a full hall within reach of one radio. One that is away gives way first, then
/// the one heard of longest ago.
pub(super) const MAX_DEVICES: usize = 64;
/// Stored groups remembered, as many as a supplicant sensibly keeps; the lowest number gives way.
pub(super) const MAX_KEPT: usize = 32;

/// How long one look for devices takes: on every channel two devices were seen to find each other in 4.3 to
/// 7.3 s, on the social ones in 0.2 to 2.1 s.
pub(super) const FIND: Duration = Duration::from_secs(10);
/// From one look to the next while something was just lost or begun. The pause serves the station's
/// own network, whose channel the radio leaves to look.
pub(super) const FIND_EVERY_EAGER: Duration = Duration::from_secs(12);
/// From one look to the next otherwise.
pub(super) const FIND_EVERY_CALM: Duration = Duration::from_secs(90);
/// Every how many looks is on every channel, which takes four seconds more: only a group whose owner's
/// own network holds it on another channel is missed by the others.
pub(super) const EVERYWHERE: u32 = 3;
/// How long a node looks eagerly after its start, and after it lost a group.
pub(super) const EAGER: Duration = Duration::from_secs(120);

/// First wait before a device that has not said who it is is asked again, doubled each time.
pub(super) const FIRST_ASK: Duration = Duration::from_secs(5);
/// How long the lesser tag waits for the greater to begin: the other end may not see it.
pub(super) const YIELD: Duration = Duration::from_secs(8);
/// How long forming a group may take; a negotiation that waits for the other end's consent takes
/// most of it, and a supplicant gives formation itself 15 s.
pub(super) const FORMING: Duration = Duration::from_secs(45);
/// How long a stored group is asked for. Within a second or two where the other end is there; a
/// supplicant asks for a minute, in which it looks for nobody.
pub(super) const INVITING: Duration = Duration::from_secs(8);
/// How long a group without any link of this program stands: addresses, discovery and a dial take
/// three to six seconds.
pub(super) const ALONE: Duration = Duration::from_secs(30);
/// How long a device that called, or knocked, before it was known is answered once it is.
pub(super) const CALL: Duration = Duration::from_secs(20);
/// First wait after a failure, doubled by each further one.
pub(super) const FIRST_RETRY: Duration = Duration::from_secs(4);
/// Longest wait after a failure, and between two questions.
pub(super) const MAX_RETRY: Duration = Duration::from_secs(300);

/// With whom a group may be formed.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Company {
    /// Every node of this program.
    Anybody,
    /// These.
    Only(BTreeSet<Tag>),
}

impl Company {
    fn wants(&self, tag: Tag) -> bool {
        match self {
            Self::Anybody => true,
            Self::Only(tags) => tags.contains(&tag),
        }
    }
}

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Phase {
    Idle,
    Forming {
        with: Device,
        /// The stored group, when one is being formed again.
        kept: Option<u32>,
        since: Timestamp,
    },
    Grouped {
        with: Option<Device>,
        role: Role,
        /// Since when no link has run over it.
        alone_since: Timestamp,
        proved: bool,
        /// Whether it was told to end; told again until it has.
        leaving: bool,
    },
}

/// The machine. Pure: it reads no clock and does nothing. A machine is in one group at a time; as its
/// owner it lets others join. Every method is O(n) in the devices at most.
#[derive(Debug, Clone)]
pub struct Formation {
    own: Tag,
    company: Company,
    devices: BTreeMap<Device, Seen>,
    /// Stored groups by the device at the other end: the number, and what this device is in it.
    kept: BTreeMap<Device, (u32, Role)>,
    phase: Phase,
    eager_since: Timestamp,
    find_at: Timestamp,
    /// Looks since the start, or since the last group ended.
    looks: u32,
    mains: bool,
    degree: usize,
}

impl Formation {
    /// The node `own` at its start, with no group.
    pub fn new(own: Tag, company: Company, now: Timestamp) -> Self {
        Self {
            own,
            company,
            devices: BTreeMap::new(),
            kept: BTreeMap::new(),
            phase: Phase::Idle,
            eager_since: now,
            find_at: now,
            looks: 0,
            mains: false,
            degree: 0,
        }
    }

    /// Takes a fact; [`Self::advance`] says what follows from it.
    pub fn learn(&mut self, fact: Fact, now: Timestamp) {
        match fact {
            Fact::Found { device, owner } => {
                let seen = self.seen(device, now);
                if !seen.here {
                    (seen.here, seen.known_since) = (true, now);
                    (seen.asks, seen.ask_at) = (0, now);
                }
                seen.owner = owner;
            }
            Fact::Gone(device) => {
                if let Some(seen) = self.devices.get_mut(&device) {
                    (seen.here, seen.owner, seen.called, seen.knocked) = (false, false, None, None);
                }
            }
            Fact::Named(device, tag) => {
                let seen = self.seen(device, now);
                if seen.tag != Some(tag) {
                    (seen.tag, seen.known_since) = (Some(tag), now);
                }
            }
            Fact::Called(device) => {
                let seen = self.seen(device, now);
                (seen.here, seen.called) = (true, Some(now));
            }
            Fact::Knocked(device) => {
                let seen = self.seen(device, now);
                (seen.here, seen.knocked) = (true, Some(now));
            }
            Fact::Kept { group, role, with } => self.keep((group, role), with),
            Fact::Failed => self.failed(now),
            Fact::Unknown => self.forget(),
            Fact::Started(role) => {
                let with = match self.phase {
                    Phase::Forming { with, .. } => Some(with),
                    Phase::Idle | Phase::Grouped { .. } => None,
                };
                let (alone_since, proved, leaving) = (now, false, false);
                self.phase = Phase::Grouped { with, role, alone_since, proved, leaving };
            }
            Fact::Finished => self.finished(now),
            Fact::Standing { over, degree, mains } => {
                (self.degree, self.mains) = (degree, mains);
                self.standing(over, now);
            }
        }
    }

    /// What is to be done now; to be asked after every fact and at [`Self::deadline`].
    pub fn advance(&mut self, now: Timestamp) -> Vec<Command> {
        let mut commands = Vec::new();
        match self.phase {
            Phase::Forming { kept, since, .. } if now.since(since) >= patience(kept) => {
                commands.push(Command::Cancel);
                self.failed(now);
            }
            Phase::Grouped { with, role, alone_since, proved, leaving }
                if now.since(alone_since) >= ALONE =>
            {
                commands.push(Command::Leave);
                let unproved = with.filter(|_| !proved && !leaving);
                if let Some(seen) = unproved.and_then(|with| self.devices.get_mut(&with)) {
                    seen.failed(now);
                }
                let (alone_since, leaving) = (now, true);
                self.phase = Phase::Grouped { with, role, alone_since, proved, leaving };
            }
            Phase::Idle | Phase::Forming { .. } | Phase::Grouped { .. } => {}
        }
        self.ask(now, &mut commands);
        match self.phase {
            Phase::Idle => {
                if let Some(device) = self.next(now) {
                    commands.push(self.begin(device, now));
                } else if now >= self.find_at {
                    self.find_at = now + self.find_every(now);
                    self.looks = self.looks.wrapping_add(1);
                    let everywhere = self.looks.is_multiple_of(EVERYWHERE);
                    commands.push(Command::Find { everywhere });
                }
            }
            Phase::Grouped { role: Role::Owner, leaving: false, .. } => {
                self.admit(&mut commands);
            }
            Phase::Forming { .. } | Phase::Grouped { .. } => {}
        }
        commands
    }

    /// When [`Self::advance`] may have something to do, if nothing happens before; later than `now`
    /// once it was asked at `now`.
    pub fn deadline(&self, now: Timestamp) -> Option<Timestamp> {
        let asks = self.devices.iter().filter_map(|(device, seen)| self.ask_due(device, seen));
        let phase = match self.phase {
            Phase::Idle => {
                let due = self.devices.iter().filter_map(|(device, seen)| self.due(device, seen));
                due.chain([self.find_at]).min()
            }
            Phase::Forming { kept, since, .. } => Some(since + patience(kept)),
            Phase::Grouped { alone_since, .. } => Some(alone_since + ALONE),
        };
        asks.chain(phase).filter(|at| *at > now).min()
    }

    fn seen(&mut self, device: Device, now: Timestamp) -> &mut Seen {
        if !self.devices.contains_key(&device) && self.devices.len() >= MAX_DEVICES {
            let busy = match self.phase {
                Phase::Forming { with, .. } => Some(with),
                Phase::Grouped { with, .. } => with,
                Phase::Idle => None,
            };
            let spare = self.devices.iter().filter(|(device, _)| Some(**device) != busy);
            let oldest = spare.min_by_key(|(_, seen)| (seen.here, seen.heard));
            if let Some(oldest) = oldest.map(|(device, _)| *device) {
                self.devices.remove(&oldest);
            }
        }
        let seen = self.devices.entry(device).or_insert_with(|| Seen::new(now));
        seen.heard = now;
        seen
    }

    fn keep(&mut self, stored: (u32, Role), with: Option<Device>) {
        let with = with.or(match self.phase {
            Phase::Forming { with, .. } => Some(with),
            Phase::Grouped { with, .. } => with,
            Phase::Idle => None,
        });
        let Some(with) = with else { return };
        self.kept.insert(with, stored);
        if self.kept.len() > MAX_KEPT {
            let lowest = self.kept.iter().min_by_key(|(_, (group, _))| *group);
            if let Some(lowest) = lowest.map(|(device, _)| *device) {
                self.kept.remove(&lowest);
            }
        }
    }

    /// What was being formed is not. A stored group that does not come twice running is forgotten: the
    /// other end may know it no more, and not say so.
    fn failed(&mut self, now: Timestamp) {
        let Phase::Forming { with, kept, .. } = self.phase else { return };
        self.phase = Phase::Idle;
        if let Some(seen) = self.devices.get_mut(&with) {
            if kept.is_some() && seen.failures > 0 {
                self.kept.remove(&with);
            }
            seen.failed(now);
        }
    }

    /// The device is tried afresh without a wait.
    fn forget(&mut self) {
        if let Phase::Forming { with, kept: Some(_), .. } = self.phase {
            self.phase = Phase::Idle;
            self.kept.remove(&with);
        }
    }

    fn finished(&mut self, now: Timestamp) {
        let Phase::Grouped { with, proved, leaving, .. } = self.phase else { return };
        self.phase = Phase::Idle;
        (self.eager_since, self.find_at, self.looks) = (now, now, 0);
        if let Some(seen) = with.and_then(|with| self.devices.get_mut(&with)) {
            // It may have gone, as groups end that way; it is found again at once where it is there.
            seen.here = false;
            if proved {
                (seen.failures, seen.retry_at, seen.known_since) = (0, now, now);
            } else if !leaving {
                seen.failed(now);
            }
        }
    }

    fn standing(&mut self, over: usize, now: Timestamp) {
        if let Phase::Grouped { alone_since, proved, .. } = &mut self.phase
            && over > 0
        {
            (*alone_since, *proved) = (now, true);
        }
    }

    /// Whether a group with the device is wanted. One that a group is stored with has proved that it is
    /// the device of then, and need not say who it is where anybody will do.
    fn wants(&self, device: &Device, seen: &Seen) -> bool {
        match seen.tag {
            Some(tag) => tag != self.own && self.company.wants(tag),
            None => self.company == Company::Anybody && self.kept.contains_key(device),
        }
    }

    /// When a group with the device may be begun, if it may.
    fn due(&self, device: &Device, seen: &Seen) -> Option<Timestamp> {
        if !seen.here || !self.wants(device, seen) {
            return None;
        }
        let first = match self.kept.get(device) {
            Some((_, role)) => *role == Role::Owner,
            None => seen.owner || seen.tag.is_some_and(|tag| self.own > tag),
        };
        let turn = match seen.called {
            Some(at) => at,
            None if first => seen.known_since,
            None => seen.known_since + YIELD,
        };
        Some(turn.max(seen.retry_at))
    }

    /// Whom to begin with now: who called, then who has a stored group with this one, then the one
    /// that has been due for longest.
    fn next(&self, now: Timestamp) -> Option<Device> {
        let due = self.devices.iter().filter_map(|(device, seen)| {
            let due = self.due(device, seen).filter(|due| *due <= now)?;
            Some((seen.called.is_none(), !self.kept.contains_key(device), due, *device))
        });
        due.min().map(|(_, _, _, device)| device)
    }

    fn begin(&mut self, with: Device, now: Timestamp) -> Command {
        let called = self.devices.get_mut(&with).and_then(|seen| seen.called.take()).is_some();
        let seen = self.devices.get(&with);
        // Who calls has no stored group, or it would have invited.
        let kept = self.kept.get(&with).filter(|_| !called);
        let kept = kept.map(|&(group, _)| group);
        self.phase = Phase::Forming { with, kept, since: now };
        match kept {
            Some(group) => Command::Invite(with, group),
            None => Command::Connect {
                device: with,
                intent: intent(self.mains, self.degree),
                join: seen.is_some_and(|seen| seen.owner),
                enters: seen.and_then(|seen| seen.tag).is_some_and(|tag| self.own > tag),
            },
        }
    }

    fn ask_due(&self, device: &Device, seen: &Seen) -> Option<Timestamp> {
        let unknown = seen.here && seen.tag.is_none() && !self.wants(device, seen);
        unknown.then_some(seen.ask_at)
    }

    fn ask(&mut self, now: Timestamp, commands: &mut Vec<Command>) {
        for seen in self.devices.values_mut() {
            let lapsed = |at: &mut Timestamp| now.since(*at) >= CALL;
            seen.called.take_if(lapsed);
            seen.knocked.take_if(lapsed);
        }
        let due = self
            .devices
            .iter()
            .filter(|(device, seen)| self.ask_due(device, seen).is_some_and(|due| due <= now));
        let due: Vec<_> = due.map(|(device, _)| *device).collect();
        for device in due {
            if let Some(seen) = self.devices.get_mut(&device) {
                seen.ask_at = now + doubled(FIRST_ASK, seen.asks);
                seen.asks = seen.asks.saturating_add(1);
            }
            commands.push(Command::Ask(device));
        }
    }

    fn admit(&mut self, commands: &mut Vec<Command>) {
        let wanted: Vec<_> = self
            .devices
            .iter()
            .filter(|(device, seen)| seen.knocked.is_some() && self.wants(device, seen))
            .map(|(device, _)| *device)
            .collect();
        for device in wanted {
            if let Some(seen) = self.devices.get_mut(&device) {
                seen.knocked = None;
            }
            commands.push(Command::Admit(device));
        }
    }

    fn find_every(&self, now: Timestamp) -> Duration {
        if now.since(self.eager_since) < EAGER { FIND_EVERY_EAGER } else { FIND_EVERY_CALM }
    }
}

fn patience(kept: Option<u32>) -> Duration {
    if kept.is_some() { INVITING } else { FORMING }
}

#[cfg(test)]
mod tests;
