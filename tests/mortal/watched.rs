//! A transport whose frames with messages and acknowledgements are steps.

use std::sync::Arc;

use async_trait::async_trait;
use bitcraps_transport_api::{
    ConnectError, Link, LinkPath, QueueState, Sink, StartError, Transport, TransportEvent,
    TrySendError,
};
use bitcraps_types::{
    ConnectTarget, LinkCapabilities, LinkId, PeerId, TrafficClass, TransportType,
};
use bitcraps_wire::{Body, Data, Frame};
use bytes::Bytes;

use crate::bet::Bet;
use crate::fuse::{Fuse, Page, Step};

/// What is told of the frames.
pub(crate) struct Watch {
    pub(crate) fuse: Arc<Fuse>,
    /// The identity of each frame of a message that leaves, and the bet that it stands for.
    pub(crate) identities: Page,
}

/// Whether a frame carries a message or an acknowledgement of one, and the message.
fn read(frame: &Bytes) -> (bool, Option<Data>) {
    match Frame::decode(frame.clone()).map(|frame| frame.body) {
        Ok(Body::Data(data)) => (true, Some(data)),
        Ok(body) => (matches!(body, Body::EndAck(_)), None),
        Err(_) => (false, None),
    }
}

/// A transport under watch.
pub(crate) struct Watched<T>(pub(crate) Arc<T>, pub(crate) Arc<Watch>);

#[async_trait]
impl<T: Transport> Transport for Watched<T> {
    fn transport_type(&self) -> TransportType {
        self.0.transport_type()
    }

    async fn start(&self, sink: Arc<dyn Sink>) -> Result<(), StartError> {
        self.0.start(Arc::new(WatchedSink(sink, Arc::clone(&self.1)))).await
    }

    async fn connect(&self, target: ConnectTarget) -> Result<LinkId, ConnectError> {
        self.0.connect(target).await
    }

    async fn shutdown(&self) {
        self.0.shutdown().await;
    }
}

struct WatchedSink(Arc<dyn Sink>, Arc<Watch>);

impl Sink for WatchedSink {
    fn next_link_id(&self) -> LinkId {
        self.0.next_link_id()
    }

    fn event(&self, event: TransportEvent) {
        self.0.event(match event {
            TransportEvent::LinkUp(link) => {
                TransportEvent::LinkUp(Arc::new(WatchedLink(link, Arc::clone(&self.1))))
            }
            other => other,
        });
    }

    fn frames(&self, link: LinkId, frames: &mut Vec<Bytes>) {
        let concerned = frames.iter().any(|frame| read(frame).0);
        if concerned {
            self.1.fuse.at(Step::Came);
        }
        self.0.frames(link, frames);
        if concerned {
            self.1.fuse.at(Step::Heard);
        }
    }

    fn written(&self, link: LinkId, total: u64) {
        self.0.written(link, total);
    }
}

struct WatchedLink(Arc<dyn Link>, Arc<Watch>);

impl Link for WatchedLink {
    fn id(&self) -> LinkId {
        self.0.id()
    }

    fn peer(&self) -> PeerId {
        self.0.peer()
    }

    fn transport(&self) -> TransportType {
        self.0.transport()
    }

    fn capabilities(&self) -> LinkCapabilities {
        self.0.capabilities()
    }

    fn path(&self) -> LinkPath {
        self.0.path()
    }

    fn try_send(&self, frame: Bytes) -> Result<(), TrySendError> {
        let (concerned, data) = read(&frame);
        if !concerned {
            return self.0.try_send(frame);
        }
        if let Some(data) = data {
            assert_eq!(data.class, TrafficClass::Critical);
            let bet = Bet::of_len(data.total as usize);
            let line = format!("{} {} {}", data.source_epoch.0, data.sequence, bet.number());
            self.1.identities.line(&line);
        }
        self.1.fuse.at(Step::Leave);
        let taken = self.0.try_send(frame);
        self.1.fuse.at(Step::Left);
        taken
    }

    fn queue(&self) -> QueueState {
        self.0.queue()
    }

    fn close(&self) {
        self.0.close();
    }
}
