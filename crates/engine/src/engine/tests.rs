use std::collections::BTreeSet;
use std::time::Duration;

use bitcraps_coordinator::{SendError, SendOptions};
use bitcraps_types::{
    EnergyProfile, Epoch, Kbps, LinkCapabilities, Medium, Ratio, TrafficClass, TransportType,
};
use bytes::Bytes;

use super::*;

const SECRET: [u8; 16] = [5; 16];

/// Two engines and one link between them, without loss or latency.
struct Two {
    now: Timestamp,
    engines: [Engine; 2],
    links: [LinkId; 2],
    notices: Vec<(usize, Notice)>,
    closed: Vec<(usize, CloseReason)>,
    dials: Vec<(usize, ConnectTarget)>,
    /// Frames from this side are lost.
    mute: Option<usize>,
}

fn peer(side: usize) -> PeerId {
    PeerId::from_bytes([side as u8 + 1; 32])
}

fn engine(side: usize) -> Engine {
    let config = Config::new(peer(side), Epoch(side as u64 + 1), side as u64);
    let mut engine = Engine::new(config, DialerConfig::default());
    engine.core_mut().attach(100, Timestamp::from_millis(1_000));
    engine
}

fn only(mode: AdmissionMode) -> AdmissionConfig {
    AdmissionConfig { mode, ..AdmissionConfig::default() }
}

fn target(of: usize) -> ConnectTarget {
    ConnectTarget {
        transport: TransportType::WiFiDirect,
        peer: peer(of),
        address: Address::new(format!("place {of}")),
        via: None,
    }
}

fn hint(of: usize, source: HintSource) -> Hint {
    Hint { target: target(of), source }
}

impl Two {
    /// Not linked; side 0 admits by invitation, side 1 whoever links.
    fn apart() -> Self {
        let mut two = Self {
            now: Timestamp::from_millis(1_000),
            engines: [engine(0), engine(1)],
            links: [LinkId(0); 2],
            notices: Vec::new(),
            closed: Vec::new(),
            dials: Vec::new(),
            mute: None,
        };
        two.engines[0].set_admission(only(AdmissionMode::Invitation), two.now);
        two
    }

    fn link(&mut self) {
        let capabilities = LinkCapabilities {
            max_frame: 65_536,
            nominal_rate: Kbps::at_least_one(100_000),
            energy: EnergyProfile::MAINS,
            metered: false,
            prior_reliability: Ratio::ONE,
            medium: Medium::Emulated,
        };
        for side in [0, 1] {
            self.links[side] = LinkId(self.links[side].0 + 1);
        }
        for side in [0, 1] {
            let transport = TransportType::WiFiDirect;
            let link = self.links[side];
            let facts = LinkUp { link, peer: peer(1 - side), transport, capabilities };
            self.engines[side].link_up(facts, Address::new("somewhere"), self.now);
        }
        self.settle();
    }

    /// Everything that is commanded now is done.
    fn settle(&mut self) {
        let mut idle = 0;
        while idle < 2 {
            for side in [0, 1] {
                idle += 1;
                while let Some(command) = self.engines[side].poll_command() {
                    idle = 0;
                    self.obey(side, command);
                }
            }
        }
    }

    fn obey(&mut self, side: usize, command: Command) {
        match command {
            Command::Transmit { link, frame, .. }
                if link == self.links[side] && self.mute != Some(side) =>
            {
                let mut frames = vec![frame];
                let link = self.links[1 - side];
                let core = self.engines[1 - side].core_mut();
                core.frames_received(link, &mut frames, self.now);
            }
            Command::Close { link, why } => {
                self.closed.push((side, why));
                if link == self.links[side] {
                    for side in [0, 1] {
                        let reason = DownReason::ClosedHere;
                        self.engines[side].link_down(self.links[side], &reason, self.now);
                    }
                }
            }
            Command::Connect(target) => self.dials.push((side, target)),
            Command::Notice(notice) => self.notices.push((side, notice)),
            _ => {}
        }
    }

    fn wait(&mut self, ms: u64) {
        let end = self.now + Duration::from_millis(ms);
        loop {
            let next = self.engines.iter().filter_map(Machine::next_deadline).min();
            let Some(next) = next.filter(|next| *next <= end) else {
                break;
            };
            self.now = self.now.max(next);
            let now = self.now;
            for engine in &mut self.engines {
                if engine.next_deadline().is_some_and(|at| at <= now) {
                    engine.on_timer(now);
                }
            }
            self.settle();
        }
        self.now = end;
    }

    fn grant(&mut self, uses: u32) {
        let expires = self.now + Duration::from_secs(60);
        let grant = Grant { secret: SECRET, expires, uses, used_by: BTreeSet::new() };
        self.engines[0].grant(grant, self.now).unwrap();
    }

    fn join(&mut self, secret: [u8; 16]) {
        let invitation = Invitation { inviter: peer(0), secret, lan: Vec::new(), internet: None };
        self.engines[1].join(&invitation, vec![target(0)], self.now).unwrap();
        self.settle();
    }

    fn verdict(&self) -> Option<JoinVerdict> {
        self.engines[1].verdict(peer(0))
    }

    fn asked(&self, side: usize) -> usize {
        let told = Notice::Admission { peer: peer(1 - side) };
        self.notices.iter().filter(|(s, n)| (*s, n) == (side, &told)).count()
    }

    fn send(&mut self, side: usize) -> Result<(), SendError> {
        let options = SendOptions::new(TrafficClass::Critical);
        let (to, now) = (peer(1 - side), self.now);
        let core = self.engines[side].core_mut();
        let sent = core.send(to, Bytes::from_static(b"x"), options, None, now);
        self.settle();
        sent.map(drop)
    }
}

#[test]
fn an_invitation_admits_once_it_is_durable() {
    let mut two = Two::apart();
    two.grant(1);
    two.link();
    assert_eq!(two.engines[0].core().standing(peer(1)), Some(Standing::Stranger));
    assert!(!two.engines[0].may_relay(peer(1), two.now));
    two.join(SECRET);
    assert_eq!(two.asked(0), 1);
    assert_eq!(two.verdict(), None, "not before it is durable");
    two.wait(5_000);
    assert_eq!(two.asked(0), 1, "asked again and again, redeemed once");
    let redemption = two.engines[0].poll_redemption().unwrap();
    assert_eq!(redemption.peer, peer(1));
    assert_eq!(two.engines[0].poll_redemption(), None);
    two.engines[0].redeem(redemption, true, two.now);
    two.settle();
    assert_eq!(two.verdict(), Some(JoinVerdict::Admitted));
    assert_eq!(two.asked(1), 1);
    assert_eq!(two.engines[0].core().standing(peer(1)), Some(Standing::Admitted));
    assert!(two.engines[0].may_relay(peer(1), two.now));
    assert_eq!(two.send(1), Ok(()));
    assert_eq!(two.engines[0].core().counters().delivered, 1);
    assert_eq!(two.engines[1].end_join(peer(0)), Some(JoinVerdict::Admitted));
    // The same peer may ask again, another one may not.
    two.join(SECRET);
    assert_eq!(two.verdict(), Some(JoinVerdict::Admitted));
}

#[test]
fn a_lost_answer_is_asked_for_again() {
    let mut two = Two::apart();
    two.grant(1);
    two.link();
    two.join(SECRET);
    let redemption = two.engines[0].poll_redemption().unwrap();
    two.mute = Some(0);
    two.engines[0].redeem(redemption, true, two.now);
    two.settle();
    assert_eq!(two.verdict(), None);
    two.mute = None;
    two.wait(249);
    assert_eq!(two.verdict(), None);
    two.wait(1);
    assert_eq!(two.verdict(), Some(JoinVerdict::Admitted));
}

#[test]
fn what_cannot_be_made_durable_admits_nobody() {
    let mut two = Two::apart();
    two.grant(1);
    two.link();
    two.join(SECRET);
    let redemption = two.engines[0].poll_redemption().unwrap();
    two.engines[0].redeem(redemption, false, two.now);
    two.settle();
    assert_eq!(two.verdict(), Some(JoinVerdict::Unavailable));
    assert_eq!(two.engines[0].core().standing(peer(1)), Some(Standing::Stranger));
    two.join(SECRET);
    assert!(two.engines[0].poll_redemption().is_some(), "its use was not lost");
}

#[test]
fn every_refusal_is_told() {
    let other = [6; 16];
    let mut two = Two::apart();
    two.grant(1);
    two.link();
    two.join(other);
    assert_eq!(two.verdict(), Some(JoinVerdict::Unknown));
    two.engines[0].withdraw_grant(InvitationName::of(&SECRET));
    two.join(SECRET);
    assert_eq!(two.verdict(), Some(JoinVerdict::Unknown));
    two.grant(1);
    two.wait(60_000);
    two.join(SECRET);
    assert_eq!(two.verdict(), Some(JoinVerdict::Expired));
    two.engines[0].set_admission(only(AdmissionMode::AllowList), two.now);
    two.join(SECRET);
    assert_eq!(two.verdict(), Some(JoinVerdict::Closed));
    assert_eq!(two.engines[0].poll_redemption(), None);
    // An answer to what was not asked is nobody's.
    let link = two.links[0];
    let reply = JoinReply { invitation: [1; 8], verdict: JoinVerdict::Admitted };
    two.engines[1].end_join(peer(0));
    two.engines[0].core_mut().send_control(link, Body::JoinReply(reply), two.now);
    two.settle();
    assert_eq!(two.verdict(), None);
}

#[test]
fn a_proof_heard_on_one_link_is_of_no_use_on_the_next() {
    let mut two = Two::apart();
    two.grant(1);
    two.link();
    let session = two.engines[1].core().session(two.links[1]).unwrap();
    let (joiner, inviter) = two.engines[1].ends(&session);
    let heard =
        Join { invitation: InvitationName::of(&SECRET).0, proof: proof(&SECRET, joiner, inviter) };
    for side in [0, 1] {
        two.engines[side].link_down(two.links[side], &DownReason::TimedOut, two.now);
    }
    two.link();
    let link = two.links[1];
    two.engines[1].core_mut().send_control(link, Body::Join(heard), two.now);
    two.settle();
    assert_eq!(two.engines[0].poll_redemption(), None);
    assert_eq!(two.engines[0].core().standing(peer(1)), Some(Standing::Stranger));
}

#[test]
fn joins_are_bounded() {
    let mut engine = engine(9);
    let now = Timestamp::from_millis(1_000);
    let invitation = |n: u8| Invitation {
        inviter: PeerId::from_bytes([100 + n; 32]),
        secret: SECRET,
        lan: Vec::new(),
        internet: None,
    };
    for n in 0..16 {
        assert_eq!(engine.join(&invitation(n), Vec::new(), now), Ok(()));
    }
    assert_eq!(engine.join(&invitation(16), Vec::new(), now), Err(TooManyJoins));
    assert_eq!(engine.join(&invitation(3), Vec::new(), now), Ok(()), "the same one anew");
    engine.end_join(invitation(0).inviter);
    assert_eq!(engine.join(&invitation(16), Vec::new(), now), Ok(()));
}

#[test]
fn strangers_are_not_dialled_unless_somebody_named_their_address() {
    let mut two = Two::apart();
    for source in [HintSource::Beacon, HintSource::Mdns, HintSource::Advertisement] {
        two.engines[0].discovered(hint(1, source), two.now);
    }
    two.settle();
    assert_eq!(two.dials, []);
    assert_eq!(two.engines[0].core().peer_ids(), [], "nothing is kept of them");
    two.engines[0].discovered(hint(1, HintSource::Static), two.now);
    two.settle();
    assert_eq!(two.dials, [(0, target(1))]);
    two.dials.clear();
    // Side 1 is open, but side 0 has the smaller key: it dials after its grace.
    two.engines[1].discovered(hint(0, HintSource::Beacon), two.now);
    two.wait(3_000);
    assert_eq!(two.dials, [(1, target(0))]);
}

#[test]
fn the_blocked_are_neither_dialled_nor_let_in() {
    let mut two = Two::apart();
    two.engines[0].discovered(hint(1, HintSource::Static), two.now);
    two.settle();
    two.dials.clear();
    two.link();
    two.engines[0].decide(peer(1), Some(Decision::Blocked), two.now).unwrap();
    two.settle();
    assert_eq!(two.closed, [(0, CloseReason::Blocked)]);
    two.engines[0].connected(&target(1), None, two.now);
    two.engines[0].discovered(hint(1, HintSource::Static), two.now);
    two.wait(200_000);
    assert_eq!(two.dials, [], "not at any time");
    assert_eq!(two.engines[0].targets(two.now), []);
    two.closed.clear();
    two.link();
    assert_eq!(two.closed, [(0, CloseReason::Blocked)]);
    assert_eq!(two.engines[0].core().peers(two.now)[0].links, []);
    // Taken back, it is what the mode makes of it.
    two.engines[0].decide(peer(1), None, two.now).unwrap();
    assert_eq!(two.engines[0].core().standing(peer(1)), Some(Standing::Stranger));
    let blocked = AdmissionConfig { block: [peer(1)].into(), ..AdmissionConfig::default() };
    two.engines[0].set_admission(blocked, two.now);
    assert_eq!(two.engines[0].core().standing(peer(1)), Some(Standing::Blocked));
}

#[test]
fn a_withdrawn_address_is_forgotten_when_its_dial_has_ended() {
    let mut two = Two::apart();
    two.engines[0].discovered(hint(1, HintSource::Static), two.now);
    two.engines[0].withdrawn(&target(1), two.now);
    assert_eq!(two.engines[0].targets(two.now).len(), 1, "it is being dialled");
    two.engines[0].connected(&target(1), None, two.now);
    assert_eq!(two.engines[0].targets(two.now), []);
    two.settle();
    // The dial counts no more: as many others as may be are made.
    for n in 0..16 {
        let mut other = hint(1, HintSource::Static);
        other.target.peer = PeerId::from_bytes([50 + n; 32]);
        two.engines[0].discovered(other, two.now);
    }
    two.dials.clear();
    two.settle();
    assert_eq!(two.dials.len(), 16);
}

#[test]
fn a_replayed_beacon_costs_one_dial_a_back_off_at_most() {
    let mut engine = engine(0);
    let start = Timestamp::from_millis(1_000);
    let mut dials = 0;
    // A transport tells of the same beacon each 3 s at most; somebody replays it for an hour.
    for second in 0..3_600 {
        let now = start + Duration::from_secs(second);
        if second % 3 == 0 {
            engine.discovered(hint(1, HintSource::Beacon), now);
        }
        engine.on_timer(now);
        while let Some(command) = engine.poll_command() {
            if let Command::Connect(target) = command {
                dials += 1;
                engine.connected(&target, None, now);
            }
        }
    }
    // 1, 2, 4, .. 32 s, then one a minute, with jitter.
    assert!((50..=85).contains(&dials), "{dials} dials in an hour");
}
