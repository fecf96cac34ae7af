//! The decision with the peer's handle looked up by its id, against the first design's.

use std::hint::black_box;
use std::pin::pin;
use std::task::{Context, Poll, Waker};

use bitcraps_coordinator::{Command, Core, FailoverPolicy, LinkUp};
use bitcraps_types::{Epoch, LinkId, PeerId, Timestamp, TrafficClass, TransportType};
use bitcraps_wire::{Body, Frame, Hello, HopHeader, NO_DEADLINE};
use bytes::Bytes;

use super::seed::MultiTransportCoordinator;
use crate::clock::thread_each;
use crate::coupling::{capabilities, near_config};
use crate::sample::interleaved;
use crate::{Arguments, Failure, Report, Row};

const BYTES: usize = 100;
const NOW: Timestamp = Timestamp::from_millis(3_600_000);

/// Measures both sizes of population.
pub(super) fn run(arguments: &Arguments, report: &mut Report) -> Result<(), Failure> {
    let many = arguments.size(1_000_000, 100_000);
    for (peers, most) in [(1_000, 40.0), (many, 300.0)] {
        let mut rng = fastrand::Rng::with_seed(arguments.seed);
        let ids: Vec<PeerId> = (0..peers).map(|_| random_id(&mut rng)).collect();
        report.progress(&format!("populating {peers} peers with 3 links each"));
        let core = populated(&ids, arguments.seed)?;
        let rival = MultiTransportCoordinator::new(ids.iter().copied());
        let steps = arguments.size(1_000_000, 100_000).max(peers);
        let mut asked = ids;
        rng.shuffle(&mut asked);
        let mut own = || own(&core, &asked, steps);
        let mut theirs = || theirs(&rival, &asked, steps);
        let [own, theirs] = interleaved(5, [&mut own, &mut theirs])?;
        let name = format!("decision with lookup by id, {peers} peers x 3 links, random ids");
        let row = Row::new(name, own, "ns").beside_inverse("first design", theirs);
        report.push(row.ratio_at_least(4.0).judged(format!("about {most} ns"), true));
    }
    Ok(())
}

fn random_id(rng: &mut fastrand::Rng) -> PeerId {
    let mut bytes = [0; 32];
    rng.fill(&mut bytes);
    PeerId::from_bytes(bytes)
}

/// A machine that knows `ids`, with one ready link of each family to each.
fn populated(ids: &[PeerId], seed: u64) -> Result<Core, Failure> {
    let mut core = Core::new(near_config(seed));
    let mut link = 0;
    let mut frames = Vec::new();
    for (slot, id) in ids.iter().enumerate() {
        for transport in TransportType::ALL {
            link += 1;
            let capabilities = capabilities(transport);
            let up = LinkUp { link: LinkId(link), peer: *id, transport, capabilities };
            core.link_up(up, NOW);
            let hello = next_hello(&mut core)
                .ok_or_else(|| Failure::Broken(format!("no hello on link {link}")))?;
            frames.push(answer(hello, slot as u64));
            core.frames_received(LinkId(link), &mut frames, NOW);
            while core.poll_command().is_some() {}
        }
    }
    let unready = ids.iter().step_by(997).filter(|id| {
        let candidates = core.peer(**id).map(|handle| core.candidates(handle));
        let bucket = bitcraps_coordinator::SizeBucket::of(BYTES).index();
        !candidates.is_some_and(|c| {
            c.len() == 3 && c.iter().all(|c| c.tier[bucket] == bitcraps_coordinator::Tier::Good)
        })
    });
    match unready.count() {
        0 => Ok(core),
        some => Err(Failure::Broken(format!("{some} of the sampled peers are not ready"))),
    }
}

fn next_hello(core: &mut Core) -> Option<Hello> {
    while let Some(command) = core.poll_command() {
        if let Command::Transmit { frame, .. } = command
            && let Ok(Frame { body: Body::Hello(hello), .. }) = Frame::decode(frame)
        {
            return Some(hello);
        }
    }
    None
}

fn answer(hello: Hello, challenge: u64) -> Bytes {
    let body = Body::Hello(Hello {
        epoch: Epoch(1),
        memory: Epoch(1),
        instance: 1,
        link_tag: 1 + hello.link_tag,
        challenge,
        echo: Some(hello.challenge),
    });
    let receiver_epoch = hello.epoch;
    let header = HopHeader { ttl: 1, deadline_ms: NO_DEADLINE, link_seq: 0, receiver_epoch };
    Frame { header, hop_ack: None, route: None, body }.encode()
}

fn own(core: &Core, asked: &[PeerId], steps: usize) -> Result<f64, Failure> {
    let class = TrafficClass::Realtime;
    let mut found = 0;
    let ns = thread_each(steps, || {
        for id in asked.iter().cycle().take(steps) {
            let ranking = core
                .peer(*id)
                .map(|handle| core.decide(handle, class, FailoverPolicy::FastestFirst, BYTES, NOW));
            found += usize::from(black_box(ranking).is_some_and(|r| r.first().is_some()));
        }
    });
    if found == steps { Ok(ns) } else { Err(Failure::Broken("a peer was not found".to_owned())) }
}

fn theirs(
    rival: &MultiTransportCoordinator,
    asked: &[PeerId],
    steps: usize,
) -> Result<f64, Failure> {
    let mut context = Context::from_waker(Waker::noop());
    let mut found = 0;
    let ns = thread_each(steps, || {
        for id in asked.iter().cycle().take(steps) {
            let decision = pin!(rival.decide(*id, BYTES));
            // Nobody else holds a lock, so it is ready at once.
            let decided = matches!(decision.poll(&mut context), Poll::Ready(Ok(_)));
            found += usize::from(black_box(decided));
        }
    });
    if found == steps { Ok(ns) } else { Err(Failure::Broken("the rival waited".to_owned())) }
}
