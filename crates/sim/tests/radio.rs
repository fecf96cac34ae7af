//! The emulated radio against the contract for transports, and what makes it a radio.

use std::sync::Arc;
use std::time::Duration;

use async_trait::async_trait;
use bitcraps_sim::LinkModel;
use bitcraps_sim::radio::Ether;
use bitcraps_transport_api::conformance::{self, Ends, Fixture, Recorder};
use bitcraps_transport_api::{Address, ConnectTarget, Transport};
use bitcraps_types::{Medium, PeerId, Ratio, TransportType};

struct Radios(LinkModel);

#[async_trait]
impl Fixture for Radios {
    async fn ends(&self) -> Ends {
        let air = Ether::new(self.0, 7);
        let (near_peer, far_peer) = (PeerId::from_bytes([1; 32]), PeerId::from_bytes([2; 32]));
        let target = ConnectTarget {
            transport: self.0.transport,
            peer: far_peer,
            address: air.address_of(far_peer),
            via: None,
        };
        Ends {
            near: Arc::new(air.radio(near_peer)),
            far: Arc::new(air.radio(far_peer)),
            near_peer,
            far_peer,
            target: Box::new(move || target.clone()),
            dead: Some(air.address_of(PeerId::from_bytes([9; 32]))),
            bad: Some(Address::new("radio:somewhere")),
            stall: None,
        }
    }

    fn least_delivery(&self) -> Ratio {
        Ratio::clamped(1.0 - 5.0 * self.0.loss.get())
    }
}

#[tokio::test(start_paused = true)]
async fn a_flawless_radio_keeps_the_contract() {
    let model = LinkModel::perfect(TransportType::Bluetooth);
    conformance::run_all(&Radios(model)).await.unwrap();
}

#[tokio::test(start_paused = true)]
async fn bluetooth_keeps_the_contract_within_its_losses() {
    conformance::run_all(&Radios(LinkModel::bluetooth_le())).await.unwrap();
}

#[tokio::test(start_paused = true)]
async fn a_silent_radio_takes_frames_and_delivers_none() {
    let fixture = Radios(LinkModel::perfect(TransportType::Bluetooth));
    let air = Ether::new(fixture.0, 1);
    let (a, b) = (PeerId::from_bytes([1; 32]), PeerId::from_bytes([2; 32]));
    let (near, far) = (air.radio(a), air.radio(b));
    let (near_sink, far_sink) = (Arc::new(Recorder::default()), Arc::new(Recorder::default()));
    near.start(near_sink.clone()).await.unwrap();
    far.start(far_sink.clone()).await.unwrap();
    let address = air.address_of(b);
    let target = ConnectTarget { transport: TransportType::Bluetooth, peer: b, address, via: None };
    near.connect(target).await.unwrap();
    let link = near_sink.link(0).await.unwrap();
    let there = far_sink.link(0).await.unwrap().id();
    assert_eq!(link.capabilities().medium, Medium::Emulated);
    air.silence(b, true);
    link.try_send(vec![1; 10].into()).unwrap();
    tokio::time::sleep(Duration::from_secs(1)).await;
    assert_eq!(near_sink.total_written(link.id()), 1);
    air.silence(b, false);
    link.try_send(vec![2; 10].into()).unwrap();
    assert_eq!(far_sink.arrivals(there, 1).await.unwrap(), [vec![2; 10]]);
}
