//! Dials that the machine asked for.

use std::sync::{Arc, Weak};

use bitcraps_types::{ConnectTarget, LinkId};
use tokio::sync::mpsc;
use tokio::task::JoinSet;

use crate::Machine;
use crate::driver::Shared;

/// Makes the machine's dials, each in a task of its own.
pub(crate) async fn run_dials<M: Machine>(
    shared: Weak<Shared<M>>,
    mut queue: mpsc::Receiver<ConnectTarget>,
) {
    let mut dials = JoinSet::new();
    loop {
        tokio::select! {
            target = queue.recv() => {
                let Some(target) = target else { return };
                let Some(driver) = shared.upgrade() else { return };
                dials.spawn(async move { dial(driver, target).await });
            }
            Some(ended) = dials.join_next() => {
                if let Err(error) = ended {
                    tracing::warn!(%error, "a dial ended early");
                }
            }
        }
    }
}

/// Tells the machine that a dial came to nothing, even if the transport panicked in it.
struct Unanswered<M: Machine> {
    driver: Arc<Shared<M>>,
    target: ConnectTarget,
    link: Option<LinkId>,
}

impl<M: Machine> Drop for Unanswered<M> {
    fn drop(&mut self) {
        let (target, link) = (&self.target, self.link);
        self.driver.run(|state, now| state.machine.connected(target, link, now));
    }
}

async fn dial<M: Machine>(driver: Arc<Shared<M>>, target: ConnectTarget) {
    let mut result = Unanswered { driver, target, link: None };
    match result.driver.connect(result.target.clone()).await {
        Ok(link) => result.link = Some(link),
        Err(error) => tracing::debug!(%error, peer = %result.target.peer.short(), "dial failed"),
    }
}
