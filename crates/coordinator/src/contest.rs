//! Two incarnations of one peer at the same time: a restart, or two devices with one key.
//!
//! A restarted node answers nothing under its old epoch, so a newcomer waits until the links of its
//! former self have had time to answer a fresh challenge. If one does, two devices use the key; the
//! newer is shut out, and the one that was there goes on undisturbed.

use std::time::Duration;

use bitcraps_types::{Epoch, LinkId, Timestamp};
use bitcraps_wire::Hello;

use crate::command::CloseReason;
use crate::link::Link;
use crate::peer::Peer;
use crate::policy::Tier;
use crate::{Command, Core, Notice, SizeBucket};

/// Bounds of the time that the links of a former incarnation have to answer: four of their timeouts
/// within them. A restart is accepted that much later.
const PATIENCE_MIN: Duration = Duration::from_millis(200);
const PATIENCE_MAX: Duration = Duration::from_secs(2);
/// How often they are asked in that time.
const ASK_EVERY: Duration = Duration::from_millis(50);
/// How long after its last attempt a shut-out incarnation is reported.
const CLASH_SHOWN: Duration = Duration::from_secs(600);

/// A newer incarnation that waits for the links of the older one to answer or to stay silent.
#[derive(Debug, Clone, Copy)]
pub(crate) struct Contest {
    pub(crate) link: LinkId,
    hello: Hello,
    until: Timestamp,
    ask_at: Timestamp,
}

impl Contest {
    pub(crate) fn due(&self) -> Timestamp {
        self.until.min(self.ask_at)
    }
}

/// An incarnation that was shut out because another one was alive.
#[derive(Debug, Clone, Copy)]
pub(crate) struct Clash {
    epoch: Epoch,
    instance: u64,
    at: Timestamp,
}

/// Whether the link belongs to the known incarnation and may still answer.
fn may_answer(link: &Link) -> bool {
    link.ready && link.tier(SizeBucket::Small) < Tier::Down
}

impl Peer {
    /// The incarnation that was shut out lately.
    pub(crate) fn shut_out(&self, now: Timestamp) -> Option<Epoch> {
        let clash = self.clash.filter(|clash| now.since(clash.at) < CLASH_SHOWN);
        clash.map(|clash| clash.epoch)
    }

    fn has_rivals(&self, newcomer: LinkId) -> bool {
        self.links.iter().any(|l| l.id() != newcomer && may_answer(l))
    }
}

impl Core {
    /// Whether the newer incarnation that greets on `link` has to wait, because links of the known
    /// one may be alive.
    pub(crate) fn must_wait(
        &mut self,
        peer: u32,
        link: LinkId,
        hello: Hello,
        now: Timestamp,
    ) -> bool {
        let state = &mut self.peers[peer as usize];
        if let Some(entry) = state.link_mut(link)
            && entry.ready
        {
            // It speaks on a link of the former incarnation, which therefore is no more on this one.
            entry.ready = false;
            // It has as long as a new link to greet.
            entry.since = now;
            self.link_changed(peer, link, None);
        }
        let state = &mut self.peers[peer as usize];
        if !state.has_rivals(link) {
            state.contest = None;
            return false;
        }
        if state.contest.is_some() {
            return true;
        }
        let rivals = state.links.iter().filter(|l| l.id() != link && may_answer(l));
        let timeout = rivals.map(|l| l.timeout(SizeBucket::Small)).max().unwrap_or_default();
        let until = now + (4 * timeout).clamp(PATIENCE_MIN, PATIENCE_MAX);
        state.contest = Some(Contest { link, hello, until, ask_at: now });
        for at in 0..self.peers[peer as usize].links.len() {
            let challenge = self.rng.u64(..);
            let entry = &mut self.peers[peer as usize].links[at];
            if entry.id() != link && may_answer(entry) {
                entry.greeting.challenge = challenge;
            }
        }
        self.ask_rivals(peer, now);
        true
    }

    fn ask_rivals(&mut self, peer: u32, now: Timestamp) {
        let state = &mut self.peers[peer as usize];
        let Some(contest) = &mut state.contest else {
            return;
        };
        contest.ask_at = now + ASK_EVERY;
        let newcomer = contest.link;
        let rivals = state.links.iter().filter(|l| l.id() != newcomer && may_answer(l));
        for rival in rivals.map(Link::id).collect::<Vec<_>>() {
            self.send_hello(peer, rival, now);
        }
        self.arm_link(peer, newcomer, now);
    }

    /// The contest that waits on `link` goes on: asks again, or gives the newcomer its place.
    pub(crate) fn contest_timer(&mut self, peer: u32, link: LinkId, now: Timestamp) {
        let contest = self.peers[peer as usize].contest.filter(|contest| contest.link == link);
        match contest {
            Some(contest) if contest.until <= now => self.end_contest(peer, now),
            Some(contest) if contest.ask_at <= now => self.ask_rivals(peer, now),
            Some(_) | None => {}
        }
    }

    /// A link of the peer is gone.
    pub(crate) fn contest_without(&mut self, peer: u32, gone: LinkId, now: Timestamp) {
        let state = &mut self.peers[peer as usize];
        let Some(contest) = state.contest else {
            return;
        };
        if contest.link == gone {
            state.contest = None;
        } else if !state.has_rivals(contest.link) {
            self.end_contest(peer, now);
        }
    }

    /// Nobody answered for the former incarnation: the newcomer takes its place.
    fn end_contest(&mut self, peer: u32, now: Timestamp) {
        if let Some(contest) = self.peers[peer as usize].contest.take() {
            self.greeted(peer, contest.link, contest.hello, now);
        }
    }

    /// The known incarnation answered on `link`. If it was asked because of a newcomer, two devices
    /// use the key: the newer one is shut out.
    pub(crate) fn answered_contest(
        &mut self,
        peer: u32,
        hello: Hello,
        fresh: bool,
        now: Timestamp,
    ) {
        let state = &mut self.peers[peer as usize];
        if let Some(contest) = state.contest
            && fresh
            && Some(hello.epoch) == state.epoch
        {
            state.contest = None;
            self.shut_out(peer, contest.link, contest.hello, now);
        }
    }

    /// Closes the link of an incarnation beside which another one is alive, and tells so once.
    pub(crate) fn shut_out(&mut self, peer: u32, link: LinkId, hello: Hello, now: Timestamp) {
        self.command(Command::Close { link, why: CloseReason::KeyConflict });
        let state = &mut self.peers[peer as usize];
        let known = state
            .clash
            .is_some_and(|clash| clash.epoch == hello.epoch && clash.instance == hello.instance);
        state.clash = Some(Clash { epoch: hello.epoch, instance: hello.instance, at: now });
        let (id, epoch) = (state.id, state.epoch.unwrap_or_default());
        if !known {
            let shut_out = hello.epoch;
            self.notice(Notice::KeyConflict { peer: id, epoch, shut_out });
        }
    }
}
