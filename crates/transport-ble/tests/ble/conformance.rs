use std::sync::Arc;

use async_trait::async_trait;
use bitcraps_transport_api::Address;
use bitcraps_transport_api::conformance::{Ends, Fixture, run_all};

use crate::air::{Air, Node};

struct InAir;

#[async_trait]
impl Fixture for InAir {
    async fn ends(&self) -> Ends {
        let air = Air::default();
        let [near, far] = [1, 2].map(|number| Node::new(&air, number, |c| c.discover = false));
        let target = far.target();
        Ends {
            near_peer: near.transport.peer(),
            far_peer: far.transport.peer(),
            near: near.transport,
            far: Arc::clone(&far.transport) as Arc<_>,
            target: Box::new(move || target.clone()),
            dead: Some(Address::new("03:03:03:03:03:03/public/128")),
            bad: Some(Address::new("03:03:03:03:03:03")),
            stall: None,
        }
    }

    fn one_link_per_peer(&self) -> bool {
        true
    }
}

#[tokio::test]
async fn the_contract_holds() {
    run_all(&InAir).await.unwrap_or_else(|failures| panic!("{failures}"));
}
