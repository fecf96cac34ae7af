//! Neighbours that break the rules: refused, and what stands is not disturbed.

use std::sync::Arc;
use std::time::Duration;

use bitcraps_session::link::{Answerer, Caller};
use bitcraps_transport_api::{DownReason, Transport as _};
use bitcraps_transport_ble::{Advertisement, Channel, Device, MAX_SDU, Place, Radio as _, Tag};
use bytes::Bytes;
use rand_chacha::ChaCha20Rng;
use rand_chacha::rand_core::SeedableRng as _;
use tokio::sync::mpsc;

use crate::air::{Air, Node, identity};

/// Two nodes with a link, which [`Self::unharmed`] looks at.
struct Pair {
    air: Air,
    one: Node,
    two: Node,
}

impl Pair {
    async fn linked() -> Self {
        let air = Air::default();
        let [one, two] = [1, 2].map(|number| Node::new(&air, number, |c| c.discover = false));
        one.start().await;
        two.start().await;
        one.transport.connect(two.target()).await.unwrap();
        two.told.link(0).await.unwrap();
        Self { air, one, two }
    }

    async fn dial(&self) -> Arc<dyn Channel> {
        let place: Place = self.two.target().address.as_str().parse().unwrap();
        self.air.radio(9).dial(place).await.unwrap()
    }

    /// The link stands, carries frames, and no other came up.
    async fn unharmed(&self) {
        let [near] = self.one.told.standing(1).await.unwrap().try_into().ok().unwrap();
        let [far] = self.two.told.standing(1).await.unwrap().try_into().ok().unwrap();
        let before = self.two.told.arrived(far.id());
        near.try_send(Bytes::from_static(b"still here")).unwrap();
        self.two.told.arrivals(far.id(), before + 1).await.unwrap();
        assert_eq!(self.two.told.link(0).await.unwrap().id(), far.id());
    }
}

async fn ended(channel: &dyn Channel) {
    let mut unit = [0; MAX_SDU];
    while channel.receive(&mut unit).await.unwrap_or(0) > 0 {}
}

#[tokio::test(start_paused = true)]
async fn garbage_instead_of_a_handshake_is_refused() {
    let pair = Pair::linked().await;
    for len in [1, 96, 1_216, 1_231, 1_232, 1_233, MAX_SDU] {
        for byte in [0, 0xff] {
            let channel = pair.dial().await;
            channel.send(&vec![byte; len]).await.unwrap();
            let mut unit = [0; MAX_SDU];
            if channel.receive(&mut unit).await.unwrap() > 0 {
                // It answered what could be a key; a proof it gets none.
                channel.send(&[byte; 96]).await.unwrap();
            }
            ended(&*channel).await;
        }
    }
    pair.unharmed().await;
}

/// Proves to be another peer, who is welcome; what was said.
async fn proves(channel: &dyn Channel, rng: &mut ChaCha20Rng) -> (Vec<u8>, Vec<u8>) {
    let (caller, hello) = Caller::new(&identity(9), rng).unwrap();
    channel.send(&hello).await.unwrap();
    let mut unit = [0; MAX_SDU];
    let len = channel.receive(&mut unit).await.unwrap();
    let (_, proof) = caller.finish(&unit[..len]).unwrap();
    channel.send(&proof).await.unwrap();
    (hello, proof)
}

#[tokio::test(start_paused = true)]
async fn a_handshake_recorded_and_played_again_is_refused() {
    let pair = Pair::linked().await;
    let channel = pair.dial().await;
    let (hello, proof) = proves(&*channel, &mut ChaCha20Rng::seed_from_u64(1)).await;
    pair.two.told.standing(2).await.unwrap();
    drop(channel);
    pair.two.told.standing(1).await.unwrap();
    let again = pair.dial().await;
    again.send(&hello).await.unwrap();
    let mut unit = [0; MAX_SDU];
    assert!(again.receive(&mut unit).await.unwrap() > 0);
    again.send(&proof).await.unwrap();
    ended(&*again).await;
    pair.unharmed().await;
}

#[tokio::test(start_paused = true)]
async fn a_thousand_callers_that_say_nothing_keep_nobody_out_for_longer_than_the_timeout() {
    let pair = Pair::linked().await;
    let mut silent = Vec::new();
    for _ in 0..1_000 {
        silent.push(pair.dial().await);
    }
    // All but as many as prove themselves at a time are closed at once, those after their time.
    for channel in &silent {
        ended(&**channel).await;
    }
    pair.unharmed().await;
    let three = Node::new(&pair.air, 3, |c| c.discover = false);
    three.start().await;
    three.transport.connect(pair.two.target()).await.unwrap();
    pair.two.told.standing(2).await.unwrap();
}

#[tokio::test(start_paused = true)]
async fn a_record_that_does_not_open_ends_its_link_only() {
    let pair = Pair::linked().await;
    let mut rng = ChaCha20Rng::seed_from_u64(1);
    for bad in [vec![7; 40], vec![0; 1], vec![7; MAX_SDU]] {
        let channel = pair.dial().await;
        proves(&*channel, &mut rng).await;
        let links = pair.two.told.standing(2).await.unwrap();
        let liar = links.iter().find(|link| link.peer() == identity(9).peer()).unwrap();
        channel.send(&bad).await.unwrap();
        let reason = pair.two.told.downed(liar.id()).await.unwrap();
        assert!(matches!(reason, DownReason::Failed(_)), "{reason}");
        pair.unharmed().await;
    }
}

#[tokio::test(start_paused = true)]
async fn who_advertises_the_tag_of_another_gets_no_link_and_few_dials() {
    let air = Air::default();
    // The one with the greater tag dials.
    let (lesser, greater) =
        if Tag::of(&identity(1).peer()) < Tag::of(&identity(2).peer()) { (1, 2) } else { (2, 1) };
    let victim = Node::new(&air, greater, |_| {});
    let claimed = Tag::of(&identity(lesser).peer());
    let radio = air.radio(9);
    let (events, mut called) = mpsc::channel(64);
    radio.open(claimed, events).await.unwrap();
    victim.start().await;
    // It answers as itself: an honest handshake of somebody else.
    let liar = tokio::spawn(async move {
        let mut rng = ChaCha20Rng::seed_from_u64(1);
        let mut proofs = 0;
        while let Some(event) = called.recv().await {
            let bitcraps_transport_ble::RadioEvent::Called(channel) = event else { continue };
            let mut unit = [0; MAX_SDU];
            let len = channel.receive(&mut unit).await.unwrap();
            let (_, reply) = Answerer::answer(&identity(9), &unit[..len], &mut rng).unwrap();
            channel.send(&reply).await.unwrap();
            proofs += usize::from(channel.receive(&mut unit).await.unwrap_or(0) > 0);
        }
        proofs
    });
    for _ in 0..600 {
        tokio::time::sleep(Duration::from_secs(1)).await;
        air.show(radio.device, Advertisement { psm: 0x80, tag: claimed }, -40).await;
    }
    victim.told.standing(0).await.unwrap();
    // 1 + 2 + 4 + ... + 256 s of waiting fit into ten minutes nine times at most.
    let dials = air.dials();
    assert!((3..=10).contains(&dials), "{dials} dials in ten minutes");
    victim.transport.shutdown().await;
    radio.close().await;
    assert_eq!(liar.await.unwrap(), 0, "it learned who called");
}

#[tokio::test(start_paused = true)]
async fn advertisements_of_many_strangers_cost_a_bounded_table() {
    let air = Air::default();
    let node = Node::started(&air, 1).await;
    for number in 0..1_000_u64 {
        let mut bytes = [0xee; 6];
        bytes[..2].copy_from_slice(&(number as u16).to_be_bytes());
        let device = Device { bytes, random: true };
        let advertisement = Advertisement { psm: 0x80, tag: Tag(number.to_be_bytes()) };
        air.show(device, advertisement, -90).await;
    }
    let friend = Node::started(&air, 2).await;
    node.told.standing(1).await.unwrap();
    assert_eq!(friend.told.standing(1).await.unwrap()[0].peer(), node.transport.peer());
    assert_ne!(node.tag(), friend.tag());
}
