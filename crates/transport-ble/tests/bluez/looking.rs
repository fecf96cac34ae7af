//! Looks for others beside those of another program.

use std::collections::HashMap;
use std::time::{Duration, Instant};

use bitcraps_transport_api::Transport as _;
use zbus::zvariant::Value;

use crate::{PATIENCE, node};

/// How long the two look at once, in turns of which most cross.
const CROSSING: Duration = Duration::from_secs(15);
const TURN: Duration = Duration::from_millis(20);

/// Looks for others on the first adapter over and over, as the window of a desktop does.
async fn another_program(until: Instant) -> usize {
    let mut unanswered = 0;
    while Instant::now() < until {
        let bus = zbus::Connection::system().await.unwrap();
        for method in ["StartDiscovery", "StopDiscovery"] {
            let (interface, to) = (Some("org.bluez.Adapter1"), "/org/bluez/hci0");
            let filter = HashMap::from([("Transport", Value::from("le"))]);
            bus.call_method(Some("org.bluez"), to, interface, "SetDiscoveryFilter", &(filter,))
                .await
                .unwrap();
            let asked = bus.call_method(Some("org.bluez"), to, interface, method, &());
            unanswered += usize::from(tokio::time::timeout(10 * TURN, asked).await.is_err());
        }
        bus.close().await.unwrap();
    }
    unanswered
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn f_what_another_program_looks_for_costs_no_node_its_radio() {
    let near = node(0, true);
    near.start().await;
    let place = near.transport.place().unwrap();
    let until = Instant::now() + CROSSING;
    let other = tokio::spawn(another_program(until));
    while Instant::now() < until {
        assert_eq!(near.transport.place(), Some(place), "the radio was lost");
        tokio::time::sleep(TURN).await;
    }
    println!("RADIO bluetooth.unanswered_beside_another_program {}", other.await.unwrap());
    // It finds somebody afterwards, too.
    let far = node(1, false);
    far.start().await;
    let met = async { tokio::join!(near.link(), far.link()) };
    tokio::time::timeout(PATIENCE, met).await.unwrap();
    near.transport.shutdown().await;
    far.transport.shutdown().await;
}
