//! A relay that uses everything it has against what it carries.

use std::sync::Arc;
use std::time::Duration;

use bitcraps_coordinator::{Outcome, SendOptions};
use bitcraps_engine::RelayCounters;
use bitcraps_session::{Config, HandshakeError, Identity, OpenError, Sessions, Suite};
use bitcraps_types::{Epoch, PeerId, Timestamp, TrafficClass};
use bitcraps_wire::{Body, Frame, Relayed, RelayedKind, Route};
use bytes::Bytes;
use rand_chacha::ChaCha20Rng;
use rand_chacha::rand_core::SeedableRng as _;

use super::seat::{PATIENCE, Seat, soon};
use super::tap::{Tap, Tape};

/// Between two looks at what nobody tells of.
const LOOK: Duration = Duration::from_millis(2);
/// What no two independent texts of some kilobytes have in common by chance, in bytes.
const WINDOW: usize = 8;

/// Two ends and the relay between them, which shares no link with either but those.
struct Row {
    a: Seat,
    relay: Seat,
    b: Seat,
    tape: Arc<Tape>,
    rng: fastrand::Rng,
}

/// Waits for something that is seen by looking only.
async fn until(what: &str, is: impl Fn() -> bool) {
    soon(what, async {
        while !is() {
            tokio::time::sleep(LOOK).await;
        }
    })
    .await;
}

fn counters(seat: &Seat) -> RelayCounters {
    seat.node.with(|engine, _| engine.relay_counters()).unwrap()
}

impl Row {
    async fn set() -> Self {
        let tape = Arc::new(Tape::default());
        let seats = Seat::seats_over(3, 1, |number, lan| match number {
            1 => Arc::new(Tap::on(lan, &tape)),
            _ => lan,
        });
        let mut seats = seats.await;
        let (b, relay, a) = (seats.pop().unwrap(), seats.pop().unwrap(), seats.pop().unwrap());
        a.meet(relay.id(), relay.listen[0]);
        relay.meet(b.id(), b.listen[0]);
        let row = Self { a, relay, b, tape, rng: fastrand::Rng::with_seed(1) };
        let links = |seat: &Seat| seat.node.with(|e, _| e.network().unwrap().links().count());
        for seat in [&row.a, &row.b] {
            until("both links are known", || links(seat) == 2).await;
        }
        row
    }

    fn ends(&self) -> [PeerId; 2] {
        [self.a.id(), self.b.id()]
    }

    /// A payload that nobody can guess a part of.
    fn secret(&mut self) -> Vec<u8> {
        std::iter::repeat_with(|| self.rng.u8(..)).take(300).collect()
    }

    /// Everything between the ends that the relay was to pass on.
    fn carried(&self) -> Vec<(Frame, Route, Relayed)> {
        let frames = self.tape.frames().into_iter().map(|bytes| Frame::decode(bytes).unwrap());
        let passed = frames.filter_map(|frame| match (&frame.body, frame.route) {
            (Body::Relayed(relayed), Some(route)) => {
                let relayed = relayed.clone();
                Some((frame, route, relayed))
            }
            _ => None,
        });
        passed.collect()
    }

    /// The same, of one kind and from one end.
    fn of(&self, kind: RelayedKind, source: PeerId) -> Vec<Frame> {
        let carried = self.carried().into_iter();
        let fits =
            |route: &Route, relayed: &Relayed| route.source == source && relayed.kind == kind;
        let frames = carried.filter(|(_, route, relayed)| fits(route, relayed));
        frames.map(|(frame, ..)| frame).collect()
    }
}

fn critical() -> SendOptions {
    SendOptions::new(TrafficClass::Critical).deadline(PATIENCE)
}

fn payload(frame: &Frame) -> Bytes {
    match &frame.body {
        Body::Relayed(relayed) => relayed.payload.clone(),
        other => panic!("{other:?}"),
    }
}

/// The frame with another route, and with something else in it.
fn changed(
    frame: &Frame,
    route: impl FnOnce(&mut Route),
    body: impl FnOnce(&mut Relayed),
) -> Frame {
    let mut frame = frame.clone();
    route(frame.route.as_mut().unwrap());
    match &mut frame.body {
        Body::Relayed(relayed) => body(relayed),
        other => panic!("{other:?}"),
    }
    frame
}

async fn delivered(from: &Seat, to: &mut Seat, secret: &[u8]) {
    let receipt = from.send(to.id(), secret.to_vec(), critical());
    let outcome = soon("an outcome", receipt).await;
    assert!(matches!(outcome, Outcome::Delivered { .. }), "{outcome:?}");
    assert_eq!(to.took().into_iter().collect::<Vec<_>>(), [(secret.to_vec(), 1)]);
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_relay_cannot_read_what_it_carries() {
    let mut row = Row::set().await;
    let secrets = [row.secret(), row.secret()];
    delivered(&row.a, &mut row.b, &secrets[0]).await;
    delivered(&row.b, &mut row.a, &secrets[1]).await;

    // It had every frame, and none holds a part of what was said.
    let frames = row.tape.frames();
    for secret in &secrets {
        let long = |(frame, ..): &(Frame, Route, Relayed)| payload(frame).len() > secret.len();
        assert!(row.carried().iter().any(long), "it came by here");
        let parts: std::collections::BTreeSet<&[u8]> = secret.windows(WINDOW).collect();
        let told = frames.iter().filter(|frame| frame.windows(WINDOW).any(|w| parts.contains(w)));
        assert_eq!(told.count(), 0, "of {} frames", frames.len());
    }

    // Its own node, with the keys and sessions it has, as if all of that were meant for it.
    let (me, before) = (row.relay.id(), counters(&row.relay));
    let carried = row.carried();
    for (frame, route, _) in &carried {
        let readdressed = changed(frame, |route| route.destination = me, |_| ());
        row.tape.hand_in(route.source, &readdressed);
    }
    let after = counters(&row.relay);
    // Some came in between that it passed on.
    assert_eq!(after.unopened - before.unopened, carried.len() as u64, "each was refused");
    assert!(row.relay.took().is_empty());

    // A machine with its key in the place of the other end, given the handshakes in their order; and
    // one with the key of that end, which may well answer anew, but opens nothing of what was said.
    let now = Timestamp::from_millis(1);
    let [a, b] = row.ends();
    let played = |key: &Seat, from: PeerId| {
        let identity = Identity::from_seed(&key.identity.signing_key().to_bytes());
        let config = Config { epoch: Epoch(1), suite: Suite::default() };
        let (mut sessions, mut rng) =
            (Sessions::new(identity, config), ChaCha20Rng::from_seed([9; 32]));
        let mut answers = Vec::new();
        for frame in row.of(RelayedKind::Handshake, from) {
            answers.push(sessions.on_handshake(&from, &payload(&frame), now, &mut rng));
        }
        let sealed = row.of(RelayedKind::Sealed, from);
        assert!(!sealed.is_empty());
        for frame in &sealed {
            let opened = sessions.open_ack(&from, &payload(frame), now);
            assert!(matches!(opened, Err(OpenError::NoSession(_))), "{opened:?}");
        }
        answers
    };
    let kinds = [(a, played(&row.relay, a)), (b, played(&row.relay, b))];
    let of_all = || kinds.iter().flat_map(|(_, answers)| answers);
    assert!(of_all().all(Result::is_err), "{kinds:?}");
    let forged =
        |answer: &&Result<(), HandshakeError>| **answer == Err(HandshakeError::Authentication);
    assert!(of_all().filter(forged).count() > 0, "an initiation was among them: {kinds:?}");
    let own = [played(&row.b, a), played(&row.a, b)];
    assert!(own.iter().flatten().any(Result::is_ok), "whom it was meant for takes it: {own:?}");
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_relay_can_neither_change_nor_repeat_what_it_carries() {
    let mut row = Row::set().await;
    let first = row.secret();
    delivered(&row.a, &mut row.b, &first).await;

    // What `a` seals from now on is held back until the relay has tried what it can.
    let [a, b] = row.ends();
    let known = row.of(RelayedKind::Sealed, a).len();
    row.tape.hold(move |frame| {
        let sealed = matches!(&frame.body, Body::Relayed(r) if r.kind == RelayedKind::Sealed);
        sealed && frame.route.is_some_and(|route| route.source == a)
    });
    let secret = row.secret();
    let receipt = row.a.send(b, secret.clone(), critical().max_copies(1));
    let held = || {
        let sealed = row.of(RelayedKind::Sealed, a);
        sealed.into_iter().skip(known).find(|frame| payload(frame).len() > secret.len())
    };
    until("the message comes by", || held().is_some()).await;
    let genuine = held().unwrap();
    let len = payload(&genuine).len();

    let before = counters(&row.b).unopened;
    let refused = |count: usize| {
        let seat = &row.b;
        async move {
            let expected = before + count as u64;
            until("each is refused", || counters(seat).unopened >= expected).await;
            assert_eq!(counters(seat).unopened, expected);
        }
    };
    for at in 0..len {
        let turned = |relayed: &mut Relayed| {
            let mut bytes = relayed.payload.to_vec();
            bytes[at] ^= 1 << (at % 8);
            relayed.payload = bytes.into();
        };
        row.tape.send(b, &changed(&genuine, |_| (), turned)).await;
    }
    refused(len).await;
    let (relay, epoch) = (row.relay.id(), Epoch(2));
    let cut = |relayed: &mut Relayed| relayed.payload.truncate(len - 1);
    let longer = |relayed: &mut Relayed| {
        relayed.payload = [&relayed.payload[..], &[0]].concat().into();
    };
    let lies = [
        changed(&genuine, |_| (), cut),
        changed(&genuine, |_| (), longer),
        changed(&genuine, |_| (), |relayed| relayed.kind = RelayedKind::Handshake),
        changed(&genuine, |route| route.source = relay, |_| ()),
        changed(&genuine, |route| route.destination_epoch = epoch, |_| ()),
    ];
    for lie in &lies {
        row.tape.send(b, lie).await;
    }
    refused(len + lies.len()).await;
    assert!(row.b.inbox.try_recv().is_none(), "nothing was taken");

    // As it was sent it is taken; a second time it is not, nor anything that went before.
    row.tape.send(b, &genuine).await;
    let came = soon("the message", row.b.inbox.recv()).await.unwrap();
    assert_eq!(came.payload, secret);
    let repeated = row.of(RelayedKind::Sealed, a).into_iter().take(known).chain([genuine.clone()]);
    let mut count = len + lies.len();
    for frame in repeated {
        row.tape.send(b, &frame).await;
        count += 1;
    }
    let expected = before + count as u64;
    until("each is refused", || counters(&row.b).unopened >= expected).await;
    assert_eq!(counters(&row.b).unopened, expected);
    row.tape.release();
    let outcome = soon("an outcome", receipt).await;
    assert!(matches!(outcome, Outcome::Delivered { .. }), "{outcome:?}");
    assert!(row.b.took().is_empty(), "once");

    // Nor in the next life of whom it was meant for, whose number anybody can write on it.
    let all = row.of(RelayedKind::Sealed, a);
    assert!(row.b.restart().await.is_empty());
    row.relay.linked(b, 1).await;
    let reopened = || row.relay.status(b).epoch == Some(epoch);
    until("the relay knows the next life", reopened).await;
    let before = counters(&row.b).unopened;
    for frame in &all {
        let mut frame = changed(frame, |route| route.destination_epoch = epoch, |_| ());
        frame.header.receiver_epoch = epoch;
        row.tape.send(b, &frame).await;
    }
    until("each is refused", || counters(&row.b).unopened >= before + all.len() as u64).await;
    assert!(row.b.took().is_empty(), "nothing of a former life is taken");
    let last = row.secret();
    delivered(&row.a, &mut row.b, &last).await;
}
