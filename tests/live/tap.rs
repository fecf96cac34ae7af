use std::collections::BTreeMap;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};

use async_trait::async_trait;
use bitcraps_transport_api::{
    ConnectError, Link, Sink, StartError, Transport, TransportEvent, TrySendError,
};
use bitcraps_types::{Address, ConnectTarget, LinkId, PeerId, TransportType};
use bitcraps_wire::Frame;
use bytes::Bytes;

use super::seat::soon;

/// What a node's transport brings it, in the hands of somebody else: every frame is kept, some are
/// held back, others invented.
pub(super) struct Tap {
    transport: Arc<dyn Transport>,
    tape: Arc<Tape>,
}

/// What a [`Tap`] wrote down, and the ways in and out.
#[derive(Default)]
pub(super) struct Tape(Mutex<State>);

type Holds = Box<dyn Fn(&Frame) -> bool + Send>;

#[derive(Default)]
struct State {
    sink: Option<Arc<dyn Sink>>,
    links: BTreeMap<PeerId, Arc<dyn Link>>,
    frames: Vec<Bytes>,
    holds: Option<Holds>,
}

struct Listening {
    sink: Arc<dyn Sink>,
    tape: Arc<Tape>,
}

impl Tap {
    pub(super) fn on(transport: Arc<dyn Transport>, tape: &Arc<Tape>) -> Self {
        Self { transport, tape: Arc::clone(tape) }
    }
}

impl Tape {
    fn state(&self) -> MutexGuard<'_, State> {
        self.0.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// Every frame that came so far, in order, held back or not.
    pub(super) fn frames(&self) -> Vec<Bytes> {
        self.state().frames.clone()
    }

    /// Frames of which `what` is true do not reach the node from now on.
    pub(super) fn hold(&self, what: impl Fn(&Frame) -> bool + Send + 'static) {
        self.state().holds = Some(Box::new(what));
    }

    /// All frames reach the node again.
    pub(super) fn release(&self) {
        self.state().holds = None;
    }

    /// Hands the node a frame as if `from` had sent it.
    pub(super) fn hand_in(&self, from: PeerId, frame: &Frame) {
        let (sink, link) = {
            let state = self.state();
            (state.sink.clone().unwrap(), state.links[&from].id())
        };
        sink.frames(link, &mut vec![frame.encode()]);
    }

    /// Sends a frame to `to` over the node's link.
    pub(super) async fn send(&self, to: PeerId, frame: &Frame) {
        let link = Arc::clone(&self.state().links[&to]);
        let mut bytes = frame.encode();
        soon("room in the link's queue", async {
            while let Err(refused) = link.try_send(bytes) {
                assert!(matches!(refused, TrySendError::Full(_)), "{refused}");
                bytes = refused.into_frame();
                tokio::task::yield_now().await;
            }
        })
        .await;
    }
}

impl Sink for Listening {
    fn next_link_id(&self) -> LinkId {
        self.sink.next_link_id()
    }

    fn event(&self, event: TransportEvent) {
        if let TransportEvent::LinkUp(link) = &event {
            self.tape.state().links.insert(link.peer(), Arc::clone(link));
        }
        self.sink.event(event);
    }

    fn frames(&self, link: LinkId, frames: &mut Vec<Bytes>) {
        let mut state = self.tape.state();
        state.frames.extend(frames.iter().cloned());
        if let Some(holds) = &state.holds {
            frames.retain(|frame| !Frame::decode(frame.clone()).is_ok_and(|frame| holds(&frame)));
        }
        drop(state);
        self.sink.frames(link, frames);
    }

    fn written(&self, link: LinkId, total: u64) {
        self.sink.written(link, total);
    }
}

#[async_trait]
impl Transport for Tap {
    fn transport_type(&self) -> TransportType {
        self.transport.transport_type()
    }

    fn listening(&self) -> Vec<Address> {
        self.transport.listening()
    }

    async fn start(&self, sink: Arc<dyn Sink>) -> Result<(), StartError> {
        self.tape.state().sink = Some(Arc::clone(&sink));
        let tape = Arc::clone(&self.tape);
        self.transport.start(Arc::new(Listening { sink, tape })).await
    }

    async fn connect(&self, target: ConnectTarget) -> Result<LinkId, ConnectError> {
        self.transport.connect(target).await
    }

    async fn shutdown(&self) {
        self.transport.shutdown().await;
        *self.tape.state() = State::default();
    }
}
