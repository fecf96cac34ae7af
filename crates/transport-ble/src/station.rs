//! The one task of a running transport: it owns the table of links and everything under way.

use std::collections::{BTreeMap, VecDeque};
use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};
use std::time::Duration;

use bitcraps_session::Identity;
use bitcraps_session::link::LinkSession;
use bitcraps_transport_api::{ConnectError, LinkPath, Sink};
use bitcraps_types::{LinkId, PeerId, Timestamp};
use tokio::sync::{mpsc, oneshot, watch};
use tokio::task::JoinSet;
use tokio::time::Instant;

use crate::advertisement::Tag;
use crate::config::BleConfig;
use crate::dial::{self, Dialled, Wanted};
use crate::driver::{drive, refuse};
use crate::handshake;
use crate::link::BleLink;
use crate::neighbourhood::{Neighbourhood, Outcome};
use crate::place::{Device, Place};
use crate::precedence::{Claim, newcomer_wins};
use crate::radio::{Channel, Radio, RadioError, RadioEvent, close, in_time, open};
use crate::record::Farewell;

/// Callers that prove themselves at a time. Each costs a controller's connection, of which there are
/// few; a caller beyond is dropped and calls again.
const MAX_HANDSHAKES: usize = 4;

/// Dials that wait for the one under way: a controller initiates one connection at a time.
const MAX_WAITING: usize = 16;

/// First wait before a lost radio is opened again, doubled up to [`REOPEN_MAX`]: whoever switches
/// Bluetooth on waits for no longer, and a look costs a few messages on the system's bus.
const REOPEN_FIRST: Duration = Duration::from_secs(1);
const REOPEN_MAX: Duration = Duration::from_secs(8);

/// A dial that was asked for.
pub(crate) struct Request {
    pub(crate) peer: PeerId,
    pub(crate) place: Place,
    pub(crate) answer: oneshot::Sender<Result<LinkId, ConnectError>>,
}

struct Standing {
    link: Arc<BleLink>,
    claim: Claim,
}

/// The dial under way.
struct Dial {
    tag: Tag,
    place: Place,
    request: Option<Request>,
    since: Timestamp,
}

/// What became of a caller; nothing when it was refused.
type Called = Option<(LinkSession, Arc<dyn Channel>)>;

enum RadioState {
    Open(mpsc::Receiver<RadioEvent>),
    Lost { reopen_at: Timestamp, wait: Duration },
}

impl RadioState {
    fn lost(now: Timestamp) -> Self {
        Self::Lost { reopen_at: now + REOPEN_FIRST, wait: REOPEN_FIRST }
    }
}

/// What a station is made of.
pub(crate) struct Parts {
    pub(crate) config: BleConfig,
    pub(crate) identity: Arc<Identity>,
    pub(crate) radio: Arc<dyn Radio>,
    pub(crate) sink: Arc<dyn Sink>,
    /// Where this node listens, or why it does not, for whoever asks the transport.
    pub(crate) place: watch::Sender<Result<Place, RadioError>>,
    /// Callers that were turned away.
    pub(crate) refused: Arc<AtomicU64>,
    pub(crate) requests: mpsc::Receiver<Request>,
    pub(crate) stop: watch::Receiver<bool>,
}

/// Room for requests that the station has not looked at.
pub(crate) const REQUEST_QUEUE: usize = MAX_WAITING;

pub(crate) struct Station {
    parts: Parts,
    own: PeerId,
    begun: Instant,
    hood: Neighbourhood,
    links: BTreeMap<PeerId, Standing>,
    waiting: VecDeque<Request>,
    dial: Option<Dial>,
    dialling: JoinSet<Dialled>,
    callers: JoinSet<(Device, Called)>,
    /// Devices of callers that prove themselves.
    proving: Vec<Device>,
    drivers: JoinSet<(PeerId, LinkId)>,
    refusals: JoinSet<()>,
    radio: RadioState,
    scanning: bool,
}

impl Station {
    /// A station whose radio was just opened, and reports by `events`; one whose radio could not be
    /// opened, and is tried again, when there are none.
    #[expect(clippy::disallowed_methods, reason = "an adapter keeps the time of its runtime")]
    pub(crate) fn new(parts: Parts, events: Option<mpsc::Receiver<RadioEvent>>) -> Self {
        let own = parts.identity.peer();
        let BleConfig { max_links, look_every, .. } = parts.config;
        let hood = Neighbourhood::new(Tag::of(&own), max_links, look_every, Timestamp::ZERO);
        Self {
            own,
            hood,
            parts,
            begun: Instant::now(),
            links: BTreeMap::new(),
            waiting: VecDeque::new(),
            dial: None,
            dialling: JoinSet::new(),
            callers: JoinSet::new(),
            proving: Vec::new(),
            drivers: JoinSet::new(),
            refusals: JoinSet::new(),
            radio: events.map_or_else(|| RadioState::lost(Timestamp::ZERO), RadioState::Open),
            scanning: false,
        }
    }

    fn now(&self) -> Timestamp {
        Timestamp::ZERO + self.begun.elapsed()
    }

    /// Runs until the transport is stopped; then every link is down.
    pub(crate) async fn run(mut self) {
        loop {
            self.dial_next();
            self.set_scan().await;
            let deadline = self.deadline();
            let wake = async move {
                match deadline {
                    Some(at) => tokio::time::sleep_until(at).await,
                    None => std::future::pending().await,
                }
            };
            tokio::select! {
                () = stopped(&mut self.parts.stop) => break,
                event = next_event(&mut self.radio) => self.radio_event(event).await,
                Some(request) = self.parts.requests.recv() => self.requested(request),
                Some(dialled) = self.dialling.join_next() => self.dialled(dialled),
                Some(called) = self.callers.join_next() => {
                    self.called(called);
                }
                Some(ended) = self.drivers.join_next() => {
                    if let Ok((peer, id)) = ended {
                        self.link_ended(peer, id);
                    }
                }
                Some(_) = self.refusals.join_next() => {}
                () = wake => self.reopen().await,
            }
        }
        self.finish().await;
    }

    async fn finish(mut self) {
        self.dialling.shutdown().await;
        self.callers.shutdown().await;
        for standing in self.links.values() {
            standing.link.end(Farewell::Closed);
        }
        while self.drivers.join_next().await.is_some() {}
        while self.refusals.join_next().await.is_some() {}
        close(&*self.parts.radio).await;
        // Requests that wait are answered by being dropped.
    }

    /// When something is to be done though nothing happens.
    fn deadline(&self) -> Option<Instant> {
        let at = match &self.radio {
            RadioState::Lost { reopen_at, .. } => Some(*reopen_at),
            RadioState::Open(_) if self.parts.config.discover => self.hood.deadline(self.now()),
            RadioState::Open(_) => None,
        };
        at.map(|at| self.begun + at.since(Timestamp::ZERO))
    }

    async fn radio_event(&mut self, event: RadioEvent) {
        match event {
            RadioEvent::Sighted { device, advertisement, rssi } => {
                let place = Place { device, psm: advertisement.psm };
                self.hood.sighted(advertisement.tag, place, rssi, self.now());
            }
            RadioEvent::Called(channel) => {
                if self.callers.len() >= MAX_HANDSHAKES {
                    tracing::debug!(device = %channel.device(), "too many callers at once");
                    self.refused();
                    return;
                }
                let (identity, timeout) =
                    (self.parts.identity.clone(), self.parts.config.connection_timeout);
                let device = channel.device();
                self.proving.push(device);
                self.callers.spawn(async move {
                    let session = handshake::answered(&identity, &*channel, timeout).await;
                    (device, session.map(|session| (session, channel)))
                });
            }
            RadioEvent::Lost(error) => self.lost(&error).await,
        }
    }

    fn called(&mut self, called: Result<(Device, Called), tokio::task::JoinError>) {
        let Ok((device, called)) = called else { return };
        if let Some(at) = self.proving.iter().position(|proving| *proving == device) {
            self.proving.swap_remove(at);
        }
        match called {
            Some((session, channel)) => {
                let caller = session.peer();
                self.admit(session, channel, caller);
            }
            None => self.refused(),
        }
    }

    async fn lost(&mut self, error: &RadioError) {
        tracing::warn!(%error, "the Bluetooth radio is lost; it is opened again when it is back");
        close(&*self.parts.radio).await;
        drop(self.parts.place.send_replace(Err(error.clone())));
        self.scanning = false;
        self.radio = RadioState::lost(self.now());
    }

    /// Opens a lost radio when it is time.
    async fn reopen(&mut self) {
        let RadioState::Lost { reopen_at, wait } = self.radio else { return };
        if self.now() < reopen_at {
            return;
        }
        match open(&*self.parts.radio, Tag::of(&self.own)).await {
            Ok((place, events)) => {
                tracing::info!(%place, "the Bluetooth radio is back");
                drop(self.parts.place.send_replace(Ok(place)));
                self.radio = RadioState::Open(events);
                self.hood.radio_opened(self.now());
            }
            Err(error) => {
                tracing::debug!(%error, "the Bluetooth radio is not back");
                close(&*self.parts.radio).await;
                drop(self.parts.place.send_replace(Err(error)));
                let wait = (wait * 2).min(REOPEN_MAX);
                self.radio = RadioState::Lost { reopen_at: self.now() + wait, wait };
            }
        }
    }

    /// Looks for others when it is time, and nobody is dialled: a radio does one at a time.
    async fn set_scan(&mut self) {
        let RadioState::Open(_) = self.radio else { return };
        let wanted =
            self.parts.config.discover && self.dial.is_none() && self.hood.scan(self.now()).0;
        if wanted == self.scanning {
            return;
        }
        match in_time("looking for others", self.parts.radio.scan(wanted)).await {
            Ok(()) => self.scanning = wanted,
            Err(error) => self.lost(&error).await,
        }
    }

    fn requested(&mut self, request: Request) {
        if self.waiting.len() >= MAX_WAITING {
            let why = format!("{MAX_WAITING} dials wait already");
            answer(request, |address| Err(ConnectError::Unreachable { address, why }));
        } else {
            self.waiting.push_back(request);
        }
    }

    fn dial_next(&mut self) {
        while self.dial.is_none()
            && let Some(request) = self.waiting.pop_front()
        {
            self.settle(request.peer);
            match (self.links.get(&request.peer), &self.radio) {
                (Some(standing), _) => {
                    let id = standing.link.id;
                    answer(request, |_| Ok(id));
                }
                (None, RadioState::Lost { .. }) => {
                    let why = match &*self.parts.place.borrow() {
                        Err(error) => error.to_string(),
                        Ok(_) => "the Bluetooth radio is being opened".to_owned(),
                    };
                    answer(request, |address| Err(ConnectError::Unreachable { address, why }));
                }
                (None, RadioState::Open(_)) => {
                    let (tag, place) = (Tag::of(&request.peer), request.place);
                    let since = self.now();
                    self.begin(Dial { tag, place, request: Some(request), since });
                }
            }
        }
        if self.dial.is_none()
            && self.parts.config.discover
            && matches!(self.radio, RadioState::Open(_))
            && let Some((tag, place)) = self.hood.next_dial(self.now())
            // Whoever calls at this moment is not called besides: on some radios neither would come through.
            && !self.proving.contains(&place.device)
        {
            let since = self.now();
            self.begin(Dial { tag, place, request: None, since });
        }
    }

    /// How long a dial may still take.
    fn left(&self, dial: &Dial) -> Duration {
        self.parts.config.connection_timeout.saturating_sub(self.now().since(dial.since))
    }

    fn begin(&mut self, dial: Dial) {
        let (identity, radio) = (self.parts.identity.clone(), self.parts.radio.clone());
        let (timeout, left) = (self.parts.config.connection_timeout, self.left(&dial));
        let wanted = dial.request.as_ref().map(|request| Wanted::Peer(request.peer));
        let wanted = wanted.unwrap_or(Wanted::Tagged(dial.tag));
        let place = dial.place;
        self.dial = Some(dial);
        self.dialling.spawn(async move {
            dial::dial(&*radio, &identity, (wanted, place), (left, timeout)).await
        });
    }

    fn dialled(&mut self, dialled: Result<Dialled, tokio::task::JoinError>) {
        let Some(dial) = self.dial.take() else { return };
        // A dial that was aborted or broke is not answered: its request is dropped.
        let Ok(dialled) = dialled else { return };
        let now = self.now();
        let tag = dial.tag;
        let done = match dialled {
            // Who was dialled may have called meanwhile.
            Err(error) if let Some(id) = self.standing(tag) => {
                tracing::debug!(%tag, %error, "linked by the other end's dial");
                self.hood.dialled(tag, Outcome::Linked, now);
                Ok(id)
            }
            Err(error @ ConnectError::TimedOut { .. }) if !self.left(&dial).is_zero() => {
                tracing::debug!(%tag, %error, "dialled again");
                return self.begin(dial);
            }
            Ok((session, channel)) => {
                self.hood.dialled(tag, Outcome::Linked, now);
                self.admit(session, channel, self.own).ok_or_else(|| {
                    let why = "this radio holds as many links as it can".to_owned();
                    let address = String::new();
                    ConnectError::Unreachable { address, why }
                })
            }
            Err(error) => {
                tracing::debug!(%tag, %error, "no link");
                let unanswered = matches!(error, ConnectError::TimedOut { .. });
                let outcome = if unanswered { Outcome::Unanswered } else { Outcome::Failed };
                self.hood.dialled(tag, outcome, now);
                Err(error)
            }
        };
        if let Some(request) = dial.request {
            answer(request, |address| {
                done.map_err(|error| match error {
                    ConnectError::Unreachable { why, .. } => {
                        ConnectError::Unreachable { address, why }
                    }
                    error => error,
                })
            });
        }
    }

    /// Makes a link of a session; the link that stands between these ends afterwards.
    fn admit(
        &mut self,
        session: LinkSession,
        channel: Arc<dyn Channel>,
        caller: PeerId,
    ) -> Option<LinkId> {
        let (peer, since) = (session.peer(), self.now());
        self.settle(peer);
        let claim = Claim { caller, since };
        let full = self.links.len() >= self.parts.config.max_links;
        let (refusal, kept) = match self.links.get(&peer) {
            _ if peer == self.own => (Some(Farewell::Closed), None),
            Some(standing) if newcomer_wins(&standing.claim, &claim) => {
                standing.link.end(Farewell::Replaced);
                (None, None)
            }
            Some(standing) => (Some(Farewell::Replaced), Some(standing.link.id)),
            None if full => (Some(Farewell::NoRoom), None),
            None => (None, None),
        };
        if let Some(why) = refusal {
            if caller != self.own {
                self.refused();
            }
            self.refusals.spawn(refuse(channel, session, why));
            return kept;
        }
        let id = self.parts.sink.next_link_id();
        let local = self
            .parts
            .place
            .borrow()
            .as_ref()
            .map_or_else(|_| "this radio".into(), Place::to_string);
        let path = LinkPath { local, remote: channel.device().to_string(), relay: None };
        let (link, orders) =
            BleLink::new(id, peer, self.parts.config.capabilities(self.parts.radio.medium()), path);
        let link = Arc::new(link);
        self.links.insert(peer, Standing { link: link.clone(), claim });
        self.hood.link_up(Tag::of(&peer), since);
        let sink = self.parts.sink.clone();
        self.drivers.spawn(async move {
            drive(link, orders, channel, session, sink).await;
            (peer, id)
        });
        Some(id)
    }

    fn refused(&self) {
        self.parts.refused.fetch_add(1, Ordering::Relaxed);
    }

    /// Takes note of a link that is over though its driver has not been heard of yet: told as down, it
    /// is no link that a dial could end with, and none that keeps another one out.
    fn settle(&mut self, peer: PeerId) {
        if let Some(standing) = self.links.get(&peer)
            && standing.link.is_over()
        {
            self.link_ended(peer, standing.link.id);
        }
    }

    /// The link to `tag`, if one stands.
    fn standing(&self, tag: Tag) -> Option<LinkId> {
        let is_it = |(peer, standing): &(&PeerId, &Standing)| {
            Tag::of(peer) == tag && !standing.link.is_over()
        };
        self.links.iter().find(is_it).map(|(_, standing)| standing.link.id)
    }

    /// The driver of link `id` has ended; its successor may stand already.
    fn link_ended(&mut self, peer: PeerId, id: LinkId) {
        if self.links.get(&peer).is_some_and(|standing| standing.link.id == id) {
            self.links.remove(&peer);
            self.hood.link_down(Tag::of(&peer), self.now());
        }
    }
}

async fn stopped(stop: &mut watch::Receiver<bool>) {
    // A transport that was dropped needs its station no more either.
    drop(stop.wait_for(|stop| *stop).await);
}

async fn next_event(radio: &mut RadioState) -> RadioEvent {
    match radio {
        RadioState::Open(events) => events.recv().await.unwrap_or_else(|| {
            let (what, why) = ("the radio's driver".to_owned(), "it ended".to_owned());
            RadioEvent::Lost(RadioError::Gone { what, why })
        }),
        RadioState::Lost { .. } => std::future::pending().await,
    }
}

fn answer(request: Request, with: impl FnOnce(String) -> Result<LinkId, ConnectError>) {
    let address = request.place.to_string();
    if request.answer.send(with(address)).is_err() {
        tracing::debug!("a dial was answered after its caller had gone");
    }
}
