//! A mock that breaks one clause of the contract.

use std::sync::atomic::{AtomicBool, AtomicU64, Ordering};
use std::sync::{Arc, Mutex};
use std::time::Duration;

use async_trait::async_trait;
use bitcraps_transport_api::mock::MockTransport;
use bitcraps_transport_api::{
    Address, ConnectError, ConnectTarget, Link, LinkPath, QueueState, Sink, StartError, Transport,
    TransportEvent, TrySendError,
};
use bitcraps_types::{LinkCapabilities, LinkId, PeerId, TransportType};
use bytes::Bytes;

use crate::FAR;

/// A clause, broken.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Breach {
    StartsTwice,
    DialsUnstarted,
    NamesTheWrongPeer,
    LinksToAnyone,
    TakesAnyAddress,
    HangsOnADeadAddress,
    ClosesTheFirstLink,
    ReturnsTheSameLink,
    Truncates,
    Flips,
    Loses,
    Repeats,
    Joins,
    Invents,
    CutsOversized,
    WrittenTooMuch,
    WrittenFalls,
    WrittenNever,
    QueuesWithoutBound,
    Blocks,
    SpoilsWhatComesBack,
    DownTwice,
    DownNever,
    FramesBeforeUp,
    FramesAfterDown,
    TakesFramesWhenClosed,
    LeavesLinksAtShutdown,
    SpeaksAfterShutdown,
    InventsLinkIds,
    HoldsAQueueForever,
    MixesLinks,
    RepeatsTheEmpty,
    HangsInAnIdleShutdown,
}

struct Broken {
    breach: Breach,
    mock: MockTransport,
    state: Arc<Shared>,
}

/// What the wrapped sink and links of one end remember.
#[derive(Default)]
struct Shared {
    first: Mutex<Option<Arc<dyn Link>>>,
    sink: Mutex<Option<Arc<dyn Sink>>>,
    frames: AtomicU64,
    muted: AtomicBool,
}

pub(crate) fn broken(breach: Breach) -> impl Fn(MockTransport) -> Arc<dyn Transport> + Send + Sync {
    move |mock| Arc::new(Broken { breach, mock, state: Arc::default() })
}

#[async_trait]
impl Transport for Broken {
    fn transport_type(&self) -> TransportType {
        self.mock.transport_type()
    }

    async fn start(&self, sink: Arc<dyn Sink>) -> Result<(), StartError> {
        *self.state.sink.lock().unwrap() = Some(Arc::clone(&sink));
        let (breach, state) = (self.breach, Arc::clone(&self.state));
        let started = self.mock.start(Arc::new(BrokenSink { breach, sink, state })).await;
        match started {
            Err(_) if breach == Breach::StartsTwice => Ok(()),
            other => other,
        }
    }

    async fn connect(&self, mut target: ConnectTarget) -> Result<LinkId, ConnectError> {
        let first = self.state.first.lock().unwrap().clone();
        match self.breach {
            Breach::LinksToAnyone => target.peer = FAR,
            Breach::TakesAnyAddress => target.address = Address::new("mock:far"),
            Breach::HangsOnADeadAddress if target.address.as_str() == "mock:nobody" => {
                std::future::pending().await
            }
            Breach::ClosesTheFirstLink => first.iter().for_each(|link| link.close()),
            Breach::ReturnsTheSameLink => {
                if let Some(first) = first {
                    return Ok(first.id());
                }
            }
            _ => {}
        }
        match self.mock.connect(target).await {
            Err(ConnectError::NotStarted) if self.breach == Breach::DialsUnstarted => {
                let (address, why) = ("mock:far".to_owned(), "not started".to_owned());
                Err(ConnectError::Unreachable { address, why })
            }
            other => other,
        }
    }

    async fn shutdown(&self) {
        let idle = self.state.sink.lock().unwrap().is_none();
        if idle && self.breach == Breach::HangsInAnIdleShutdown {
            std::future::pending().await
        }
        if self.breach == Breach::LeavesLinksAtShutdown {
            self.state.muted.store(true, Ordering::Relaxed);
        }
        self.mock.shutdown().await;
        let (sink, first) = (&self.state.sink, &self.state.first);
        if self.breach == Breach::SpeaksAfterShutdown
            && let (Some(sink), Some(link)) =
                (sink.lock().unwrap().clone(), first.lock().unwrap().take())
        {
            tokio::spawn(async move { sink.written(link.id(), 1) });
        }
    }
}

struct BrokenSink {
    breach: Breach,
    sink: Arc<dyn Sink>,
    state: Arc<Shared>,
}

impl Sink for BrokenSink {
    fn next_link_id(&self) -> LinkId {
        let id = self.sink.next_link_id();
        LinkId(if self.breach == Breach::InventsLinkIds { id.0 + 1_000_000 } else { id.0 })
    }

    fn event(&self, event: TransportEvent) {
        match event {
            TransportEvent::LinkUp(link) => {
                let breach = self.breach;
                let link: Arc<dyn Link> = Arc::new(BrokenLink { breach, link });
                self.state.first.lock().unwrap().get_or_insert_with(|| Arc::clone(&link));
                if breach == Breach::FramesBeforeUp {
                    self.sink.frames(link.id(), &mut vec![Bytes::from_static(b"early")]);
                }
                self.sink.event(TransportEvent::LinkUp(link));
            }
            TransportEvent::LinkDown { link, .. } => {
                if self.breach == Breach::DownNever || self.state.muted.load(Ordering::Relaxed) {
                    return;
                }
                self.sink.event(event.clone());
                match self.breach {
                    Breach::DownTwice => self.sink.event(event),
                    Breach::FramesAfterDown => {
                        self.sink.frames(link, &mut vec![Bytes::from_static(b"late")]);
                    }
                    _ => {}
                }
            }
            TransportEvent::Discovered(_) => self.sink.event(event),
        }
    }

    fn frames(&self, mut link: LinkId, frames: &mut Vec<Bytes>) {
        if self.breach == Breach::MixesLinks {
            link = self.state.first.lock().unwrap().as_ref().map_or(link, |first| first.id());
        }
        for frame in std::mem::take(frames) {
            let number = self.state.frames.fetch_add(1, Ordering::Relaxed);
            let third = number % 3 == 2;
            match self.breach {
                Breach::Truncates => frames.push(frame.slice(..frame.len().min(1_000))),
                Breach::Flips if frame.len() > 999 => {
                    let mut bytes = frame.to_vec();
                    bytes[999] ^= 1;
                    frames.push(bytes.into());
                }
                Breach::Loses if third => {}
                Breach::RepeatsTheEmpty if frame.is_empty() => {
                    frames.extend([frame.clone(), frame])
                }
                Breach::Repeats if third => frames.extend([frame.clone(), frame]),
                Breach::Joins if frames.len() == 1 => {
                    let joined = [frames[0].as_ref(), frame.as_ref()].concat();
                    *frames = vec![joined.into()];
                }
                Breach::Invents if third => frames.extend([frame, Bytes::from_static(b"hello")]),
                _ => frames.push(frame),
            }
        }
        if !frames.is_empty() {
            self.sink.frames(link, frames);
        }
    }

    fn written(&self, link: LinkId, total: u64) {
        match self.breach {
            Breach::WrittenTooMuch => self.sink.written(link, total + 1),
            Breach::WrittenNever => {}
            Breach::WrittenFalls => {
                self.sink.written(link, total);
                self.sink.written(link, total - 1);
            }
            _ => self.sink.written(link, total),
        }
    }
}

struct BrokenLink {
    breach: Breach,
    link: Arc<dyn Link>,
}

impl Link for BrokenLink {
    fn id(&self) -> LinkId {
        self.link.id()
    }

    fn peer(&self) -> PeerId {
        let wrong = self.breach == Breach::NamesTheWrongPeer;
        if wrong { PeerId::from_bytes([9; 32]) } else { self.link.peer() }
    }

    fn transport(&self) -> TransportType {
        self.link.transport()
    }

    fn capabilities(&self) -> LinkCapabilities {
        self.link.capabilities()
    }

    fn path(&self) -> LinkPath {
        self.link.path()
    }

    fn try_send(&self, frame: Bytes) -> Result<(), TrySendError> {
        match (self.breach, self.link.try_send(frame)) {
            (Breach::CutsOversized, Err(TrySendError::TooBig { frame, max })) => {
                self.link.try_send(frame.slice(..max))
            }
            (Breach::QueuesWithoutBound, Err(TrySendError::Full(_)))
            | (Breach::TakesFramesWhenClosed, Err(TrySendError::Closed(_))) => Ok(()),
            (Breach::Blocks, Err(TrySendError::Full(frame))) => {
                // Until the link is closed, so that the sender's thread ends with the case.
                std::thread::sleep(Duration::from_millis(1));
                self.try_send(frame)
            }
            (Breach::SpoilsWhatComesBack, Err(TrySendError::Full(frame))) => {
                Err(TrySendError::Full(frame.slice(1..)))
            }
            (_, other) => other,
        }
    }

    fn queue(&self) -> QueueState {
        match self.breach {
            Breach::HoldsAQueueForever => QueueState { frames: 1, bytes: 1 },
            _ => self.link.queue(),
        }
    }

    fn close(&self) {
        self.link.close();
    }
}
