use std::sync::Arc;
use std::time::{Duration, Instant};

use async_trait::async_trait;
use bitcraps_transport_api::Address;
use bitcraps_transport_api::conformance::{CASES, Ends, Fixture};
use bitcraps_transport_ble::BleConfig;

use crate::Node;
use crate::controllers::Controllers;

struct Virtual(Controllers);

#[async_trait]
impl Fixture for Virtual {
    async fn ends(&self) -> Ends {
        let [near, far] = [0, 1].map(|number| {
            let config = BleConfig {
                discover: false,
                // A dial of nobody lasts as long.
                connection_timeout: Duration::from_secs(6),
                ..BleConfig::default()
            };
            Node::new(number + 1, &self.0.ports[usize::from(number)], config)
        });
        let (near_peer, far_peer) = (near.transport.peer(), far.transport.peer());
        let far_transport = Arc::clone(&far.transport);
        Ends {
            near: near.transport,
            far: far_transport,
            near_peer,
            far_peer,
            target: Box::new(move || far.target()),
            dead: Some(Address::new("C0:00:00:EE:00:99/random/128")),
            bad: Some(Address::new("C0:00:00:EE:00:99")),
            stall: None,
        }
    }

    fn one_link_per_peer(&self) -> bool {
        true
    }

    fn many_frames(&self) -> usize {
        1_000
    }
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
#[ignore = "takes virtual controllers: cargo xtask test-hci"]
async fn the_contract_holds() {
    let fixture = Virtual(Controllers::start(2));
    let mut failed = 0;
    for case in CASES {
        let begun = Instant::now();
        let verdict = (case.run)(&fixture).await;
        println!("{} in {:.1?}: {verdict:?}", case.name, begun.elapsed());
        failed += usize::from(verdict.is_err());
    }
    println!("HCI conformance: {} of {} cases", CASES.len() - failed, CASES.len());
    assert_eq!(failed, 0);
}
