use std::sync::Arc;
use std::time::Duration;

use bitcraps_types::{LinkId, Ratio};
use bytes::Bytes;

use super::recorder::Log;
use super::{Ends, Fixture, Recorder, Violation, require};
use crate::{ConnectError, ConnectTarget, Link, Transport, TrySendError};

/// How long a dial, a start or a shutdown may take: longer than any transport's own timeout.
const CALL_BOUND: Duration = Duration::from_secs(45);

/// Most copies of a frame sent over a carrier that loses frames, so that one of them arrives.
const LOSSY_COPIES: usize = 64;

/// Between two of them: what leaves within a moment may be lost together, as while the carrier
/// changes its path.
const LOSSY_PAUSE: Duration = Duration::from_millis(250);

/// One end and what it told.
pub(super) struct Station {
    pub(super) transport: Arc<dyn Transport>,
    pub(super) told: Arc<Recorder>,
}

impl Station {
    fn new(transport: &Arc<dyn Transport>) -> Self {
        Self { transport: Arc::clone(transport), told: Arc::default() }
    }

    pub(super) async fn start(&self) -> Result<(), Violation> {
        let started = bounded("start", self.transport.start(self.told.clone())).await?;
        started.map_err(|error| Violation(format!("start failed: {error}")))
    }

    /// Shuts down; from then on nothing may be told.
    pub(super) async fn shutdown(&self) -> Result<(), Violation> {
        bounded("shutdown", self.transport.shutdown()).await?;
        self.told.seal();
        self.told.check()?;
        let log = self.told.log();
        let forgotten = log.ups.iter().find(|link| !log.downs.contains_key(&link.id()));
        require(forgotten.is_none(), || {
            let id = forgotten.map(|link| link.id());
            format!("shutdown returned without LinkDown of link {id:?}")
        })
    }

    pub(super) async fn dial(
        &self,
        target: ConnectTarget,
    ) -> Result<Result<LinkId, ConnectError>, Violation> {
        bounded("connect", self.transport.connect(target)).await
    }

    /// Sends one frame, waiting for room where there is none.
    pub(super) async fn send(&self, link: &Arc<dyn Link>, frame: &Bytes) -> Result<(), Violation> {
        loop {
            let written = self.told.log().written(link.id());
            match link.try_send(frame.clone()) {
                Ok(()) => return Ok(()),
                Err(TrySendError::Full(back)) => {
                    require(back == *frame, || "a full link gave another frame back".into())?;
                    let room = |log: &Log| (log.written(link.id()) > written).then_some(());
                    self.told.wait("written after Full", room).await?;
                }
                Err(error) => {
                    let len = frame.len();
                    return Err(Violation(format!("frame of {len} bytes not taken: {error}")));
                }
            }
        }
    }
}

/// Two ends, and what is to be seen at them.
pub(super) struct Scene {
    pub(super) near: Station,
    pub(super) far: Station,
    pub(super) ends: Ends,
    pub(super) least_delivery: Ratio,
    pub(super) many: usize,
    pub(super) one_link: bool,
    pub(super) asks_by_key: bool,
}

impl Scene {
    pub(super) fn lossless(&self) -> bool {
        self.least_delivery == Ratio::ONE
    }

    /// How many of `sent` frames have to arrive.
    pub(super) fn least_of(&self, sent: usize) -> usize {
        (sent as f64 * self.least_delivery.get()).floor() as usize
    }

    /// Starts both ends.
    pub(super) async fn start(&self) -> Result<(), Violation> {
        self.far.start().await?;
        self.near.start().await
    }

    /// Opens a link and returns its near and its far end.
    pub(super) async fn link(&self) -> Result<[Arc<dyn Link>; 2], Violation> {
        let before = self.far.told.log().ups.len();
        let id = self.near.dial((self.ends.target)()).await?;
        let id = id.map_err(|error| Violation(format!("connect failed: {error}")))?;
        let near = self.near.told.wait("LinkUp at the near end", |log| log.up(id).cloned());
        let near = near.await?;
        let far = self.far.told.wait("LinkUp at the far end", |log| log.ups.get(before).cloned());
        Ok([near, far.await?])
    }

    /// Starts both ends and opens a link.
    pub(super) async fn linked(&self) -> Result<[Arc<dyn Link>; 2], Violation> {
        self.start().await?;
        self.link().await
    }

    /// Sends `frame` over `link` until `seen` finds at `to` what came of it: once where nothing is
    /// lost, again after each pause where frames are; the number of copies.
    pub(super) async fn send_until(
        &self,
        (from, link): (&Station, &Arc<dyn Link>),
        frame: &Bytes,
        to: &Station,
        what: &str,
        seen: impl Fn(&Log) -> Option<()>,
    ) -> Result<usize, Violation> {
        let copies = if self.lossless() { 1 } else { LOSSY_COPIES };
        for copy in 1..copies {
            from.send(link, frame).await?;
            if let Ok(told) = tokio::time::timeout(LOSSY_PAUSE, to.told.wait(what, &seen)).await {
                return told.map(|()| copy);
            }
        }
        from.send(link, frame).await?;
        to.told.wait(what, seen).await.map(|()| copies)
    }

    /// As [`Self::send_until`], until `frame` arrived on the link `there` of `to`.
    pub(super) async fn send_surely(
        &self,
        from: (&Station, &Arc<dyn Link>),
        frame: &Bytes,
        (to, there): (&Station, LinkId),
    ) -> Result<usize, Violation> {
        let what = format!("arrival of a frame of {} bytes", frame.len());
        let arrived = |log: &Log| log.frames(there).contains(frame).then_some(());
        self.send_until(from, frame, to, &what, arrived).await
    }

    /// Sends a frame each way over a link and waits for both.
    pub(super) async fn exchange(
        &self,
        [near, far]: &[Arc<dyn Link>; 2],
        text: &str,
    ) -> Result<(), Violation> {
        let (there, back) =
            (Bytes::from(format!("{text} there")), Bytes::from(format!("{text} back")));
        self.send_surely((&self.near, near), &there, (&self.far, far.id())).await?;
        self.send_surely((&self.far, far), &back, (&self.near, near.id())).await?;
        Ok(())
    }
}

/// Plays one case on fresh ends and shuts them down whatever came of it.
pub(super) async fn play(
    fixture: &dyn Fixture,
    act: impl AsyncFnOnce(&Scene) -> Result<(), Violation>,
) -> Result<(), Violation> {
    let ends = fixture.ends().await;
    let scene = Scene {
        near: Station::new(&ends.near),
        far: Station::new(&ends.far),
        ends,
        least_delivery: fixture.least_delivery(),
        many: fixture.many_frames(),
        one_link: fixture.one_link_per_peer(),
        asks_by_key: fixture.asks_by_key(),
    };
    let verdict = act(&scene).await;
    let near = scene.near.shutdown().await;
    let far = scene.far.shutdown().await;
    verdict.and(near).and(far)?;
    scene.near.told.check()
}

/// Waits for a call that has to return in bounded time.
async fn bounded<T>(what: &str, call: impl Future<Output = T>) -> Result<T, Violation> {
    let done = tokio::time::timeout(CALL_BOUND, call).await;
    done.map_err(|_| Violation(format!("{what} did not return within {CALL_BOUND:?}")))
}
