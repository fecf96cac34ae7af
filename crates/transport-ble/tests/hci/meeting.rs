//! How nodes with controllers of their own find, lose and find again each other.

use std::io::ErrorKind;
use std::sync::Arc;
use std::time::{Duration, Instant};

use bitcraps_transport_api::{DownReason, Transport as _, TrySendError};
use bitcraps_transport_ble::{
    Advertisement, Channel, Hci, MAX_SDU, Radio as _, RadioError, RadioEvent, Tag,
};
use bitcraps_types::{LinkId, Medium};
use bytes::Bytes;
use tokio::sync::mpsc;

use crate::controllers::Controllers;
use crate::{Node, ended, through};

const ECHOES: usize = 300;
const BYTES: usize = 200;
const UNITS: usize = 2_000;

/// Both ends have one link, to each other, and it carries frames both ways.
async fn exchange(one: &Node, two: &Node) -> [LinkId; 2] {
    let (near, far) = (one.link().await, two.link().await);
    assert_eq!((near.peer(), far.peer()), (two.transport.peer(), one.transport.peer()));
    let (before, back) = (two.told.arrived(far.id()), one.told.arrived(near.id()));
    near.try_send(Bytes::from_static(b"there")).unwrap();
    far.try_send(Bytes::from_static(b"back")).unwrap();
    let there = two.told.arrivals(far.id(), before + 1).await.unwrap();
    assert_eq!(there.last().map(|frame| &frame[..]), Some(&b"there"[..]));
    let back = one.told.arrivals(near.id(), back + 1).await.unwrap();
    assert_eq!(back.last().map(|frame| &frame[..]), Some(&b"back"[..]));
    [near.id(), far.id()]
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
#[ignore = "takes virtual controllers: cargo xtask test-hci"]
async fn two_nodes_meet_and_talk_at_this_pace() {
    let controllers = Controllers::start(2);
    let begun = Instant::now();
    let one = Node::started(1, &controllers.ports[0]).await;
    let two = Node::started(2, &controllers.ports[1]).await;
    let (near, far) = (one.link().await, two.link().await);
    println!("HCI met in {:.2} s", begun.elapsed().as_secs_f64());
    assert_eq!(near.capabilities().medium, Medium::Emulated);

    let mut took = Vec::new();
    for number in 0..ECHOES {
        let asked = Instant::now();
        near.try_send(Bytes::from(vec![number as u8; BYTES])).unwrap();
        two.told.arrivals(far.id(), number + 1).await.unwrap();
        far.try_send(Bytes::from(vec![number as u8; BYTES])).unwrap();
        one.told.arrivals(near.id(), number + 1).await.unwrap();
        took.push(asked.elapsed());
    }
    took.sort();
    let at = |share: usize| took[ECHOES * share / 100].as_secs_f64() * 1e3;
    println!("HCI round trip of {BYTES} B: p50 {:.2} ms, p99 {:.2} ms", at(50), at(99));

    let asked = Instant::now();
    for number in 0..UNITS {
        let mut frame = Bytes::from(vec![number as u8; 1_024]);
        while let Err(error) = near.try_send(frame) {
            let TrySendError::Full(back) = error else { panic!("{error}") };
            frame = back;
            tokio::task::yield_now().await;
        }
    }
    let arrived = two.told.arrivals(far.id(), ECHOES + UNITS).await.unwrap();
    let rate = (UNITS * 1_024) as f64 / asked.elapsed().as_secs_f64() / 1e3;
    println!("HCI one way: {rate:.0} kB/s");
    for (number, frame) in arrived[ECHOES..].iter().enumerate() {
        assert_eq!(*frame, vec![number as u8; 1_024], "frame {number}");
    }
    ended(&one, &two).await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
#[ignore = "takes virtual controllers: cargo xtask test-hci"]
async fn a_channel_carries_units_up_to_its_bound_in_order_both_ways() {
    let controllers = Controllers::start(2);
    let [one, two] = [0, 1].map(|at: usize| Hci::new(controllers.ports[at].clone()).unwrap());
    let ((events, mut told), (others, _)) = (mpsc::channel(64), mpsc::channel(64));
    let place = one.open(Tag([1; 8]), events).await.unwrap();
    let own = two.open(Tag([2; 8]), others).await.unwrap();
    let near = two.dial(place).await.unwrap();
    let Some(RadioEvent::Called(far)) = told.recv().await else { panic!("nobody called") };
    assert_eq!((near.device(), far.device()), (place.device, own.device));

    let refused = near.send(&vec![0; MAX_SDU + 1]).await.unwrap_err();
    assert_eq!(refused.kind(), ErrorKind::InvalidInput);
    let sizes = (1..=MAX_SDU).step_by(41).chain([MAX_SDU - 1, MAX_SDU]);
    let sizes: Vec<_> = sizes.cycle().take(400).collect();
    let sends = |channel: Arc<dyn Channel>| {
        let sizes = sizes.clone();
        async move {
            for (number, size) in sizes.into_iter().enumerate() {
                channel.send(&vec![number as u8; size]).await.unwrap();
            }
        }
    };
    let receives = |channel: Arc<dyn Channel>| {
        let sizes = sizes.clone();
        async move {
            let mut unit = [0; MAX_SDU];
            for (number, size) in sizes.into_iter().enumerate() {
                // One that is slow holds the other end back, and loses nothing.
                if number % 50 == 49 {
                    tokio::time::sleep(Duration::from_millis(20)).await;
                }
                assert_eq!(channel.receive(&mut unit).await.unwrap(), size, "unit {number}");
                assert_eq!(unit[..size], vec![number as u8; size], "unit {number}");
            }
        }
    };
    tokio::join!(
        sends(Arc::clone(&near)),
        sends(Arc::clone(&far)),
        receives(Arc::clone(&near)),
        receives(Arc::clone(&far)),
    );

    drop(near);
    assert_eq!(far.receive(&mut [0; MAX_SDU]).await.unwrap(), 0);
    one.close().await;
    two.close().await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
#[ignore = "takes virtual controllers: cargo xtask test-hci"]
async fn a_radio_without_its_controller_says_so() {
    let controllers = Controllers::start(1);
    let port = controllers.ports[0].clone();
    drop(controllers);
    let radio = Hci::new(port.clone()).unwrap();
    let (events, _told) = mpsc::channel(64);
    let refused = radio.open(Tag([1; 8]), events).await.unwrap_err();
    assert!(
        matches!(&refused, RadioError::NoAdapter { adapter, .. } if *adapter == port.to_string())
    );
    assert!(matches!(radio.scan(true).await, Err(RadioError::Gone { .. })));
    radio.close().await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
#[ignore = "takes virtual controllers: cargo xtask test-hci"]
async fn links_come_back_after_a_drop_a_partition_and_a_controller_that_hung() {
    let mut controllers = Controllers::start(2);
    let one = Node::started(1, &controllers.ports[0]).await;
    let two = Node::started(2, &controllers.ports[1]).await;
    let [near, far] = exchange(&one, &two).await;

    assert_eq!(controllers.order("drop"), "dropped 2");
    assert_eq!(one.told.downed(near).await, Ok(DownReason::TimedOut));
    assert_eq!(two.told.downed(far).await, Ok(DownReason::TimedOut));
    let lost = Instant::now();
    let [near, far] = exchange(&one, &two).await;
    println!("HCI back {:.1} s after a drop", lost.elapsed().as_secs_f64());

    controllers.obey("partition");
    assert_eq!(one.told.downed(near).await, Ok(DownReason::TimedOut));
    assert_eq!(two.told.downed(far).await, Ok(DownReason::TimedOut));
    // Longer than it took to be back after the drop.
    tokio::time::sleep(Duration::from_secs(4)).await;
    one.told.standing(0).await.unwrap();
    two.told.standing(0).await.unwrap();
    controllers.obey("heal");
    let healed = Instant::now();
    let [near, far] = exchange(&one, &two).await;
    println!("HCI back {:.1} s after a partition", healed.elapsed().as_secs_f64());

    controllers.obey("hang 0");
    assert!(matches!(one.told.downed(near).await, Ok(DownReason::Failed(_))));
    assert_eq!(two.told.downed(far).await, Ok(DownReason::TimedOut));
    let hung = Instant::now();
    // Both ends call: the one whose radio is back, and the one that was told of a lost link.
    through(&one, &two, 1).await;
    println!("HCI back {:.1} s after a controller was lost", hung.elapsed().as_secs_f64());
    ended(&one, &two).await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
#[ignore = "takes virtual controllers: cargo xtask test-hci"]
async fn a_controller_on_a_serial_line_is_driven_and_left_silent() {
    let controllers = Controllers::start(1);
    let one = Node::started(1, &controllers.ports[0]).await;
    let two = Node::started(2, &controllers.serial).await;
    let [near, _] = exchange(&one, &two).await;
    assert_eq!(two.link().await.capabilities().medium, Medium::Real);
    two.transport.shutdown().await;
    assert_eq!(one.told.downed(near).await, Ok(DownReason::ClosedByPeer));
    one.transport.shutdown().await;
    // Nobody tells a controller on a line that its host has gone, unless the host does.
    let radio = Hci::new(controllers.ports[0].clone()).unwrap();
    let (events, mut told) = mpsc::channel(64);
    radio.open(Tag([1; 8]), events).await.unwrap();
    radio.scan(true).await.unwrap();
    let seen = tokio::time::timeout(Duration::from_millis(600), told.recv()).await;
    assert!(seen.is_err(), "it advertises still");
    radio.close().await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
#[ignore = "takes virtual controllers: cargo xtask test-hci"]
async fn advertisements_that_are_no_nodes_are_ignored_in_both_forms_of_report() {
    let mut controllers = Controllers::start(2);
    let good = "0201061b215c5ea9c7b17350a17243626c0100ced10181aabbccddeeff0011";
    let bad = [
        String::new(),
        "00".to_owned(),
        "ff".repeat(31),
        "1b21".to_owned(),
        // Longer than it is, of another version, with a channel number that no node has, cut.
        good.replacen("1b21", "1c21", 1),
        good.replacen("d10181", "d10281", 1),
        good.replacen("d10181", "d1017f", 1),
        good[..good.len() - 2].to_owned(),
    ];
    for port in &controllers.ports.clone() {
        let radio = Hci::new(port.clone()).unwrap();
        let (events, mut told) = mpsc::channel(64);
        let place = radio.open(Tag([1; 8]), events).await.unwrap();
        assert_eq!((place.psm, place.device.random), (0x80, true));
        radio.scan(true).await.unwrap();
        for bad in &bad {
            controllers.obey(&format!("show {bad}"));
        }
        controllers.obey(&format!("show {good}"));
        let Some(RadioEvent::Sighted { device, advertisement, rssi: -50 }) = told.recv().await
        else {
            panic!("no node was seen")
        };
        assert_eq!(device.to_string(), "C0:00:00:00:BA:D0/random");
        let tag = Tag([0xaa, 0xbb, 0xcc, 0xdd, 0xee, 0xff, 0, 0x11]);
        assert_eq!(advertisement, Advertisement { psm: 0x81, tag });
        radio.scan(false).await.unwrap();
        while told.try_recv().is_ok() {}
        controllers.obey(&format!("show {good}"));
        radio.close().await;
        assert!(told.recv().await.is_none(), "it was not looking");
    }
}
