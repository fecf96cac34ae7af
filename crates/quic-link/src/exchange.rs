//! How a connection becomes a link, at the end that dialled and at the end that was dialled.

use std::sync::atomic::AtomicU32;
use std::sync::{Arc, Weak};
use std::time::Duration;

use bitcraps_transport_api::{Sink, TransportEvent};
use bitcraps_types::{LinkCapabilities, LinkId, PeerId, TransportType};

use crate::connection::{CloseCode, Connection, Lost};
use crate::driver::drive;
use crate::greeting::{self, Caller, GreetingError, Hello};
use crate::link::{PathView, QuicLink};
use crate::links::{Admission, Dial, Links, Path, PathKey};
use crate::precedence::{Claim, Dialler, Incarnation, Tag};
use crate::queue::Queue;
use crate::tasks::Tasks;

/// How long to wait for the link in whose favour a peer refused this one. Both were dialled at the
/// same time, so it is a round trip away.
const RIVAL_WAIT: Duration = Duration::from_secs(1);

/// What a link is apart from its connection.
pub struct Shape {
    /// What it can do.
    pub capabilities: LinkCapabilities,
    /// Where it runs.
    pub path: PathView,
    /// Whole seconds without a single datagram after which it is given up; `None` leaves that to
    /// QUIC. QUIC itself asks ever more rarely while nobody answers, twice as long each time, so that
    /// a path that comes back is noticed as late again as it was away; a new connection notices at
    /// once.
    pub quiet_limit: Option<u32>,
}

/// The links of one run of a transport: at most one for each key.
pub struct Exchange<K> {
    transport: TransportType,
    own: PeerId,
    incarnation: Incarnation,
    links: Links<K>,
    sink: Arc<dyn Sink>,
    /// Weak, because the tasks of the links hold this.
    tasks: Weak<Tasks>,
}

/// Why a connection to the peer asked for gave no link.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum CallError {
    /// The connection ended.
    #[error("{}", refusal(.0))]
    Lost(Lost),
    /// The other end speaks otherwise.
    #[error(transparent)]
    Greeting(GreetingError),
    /// The TLS session exports nothing.
    #[error("the handshake gave no secret")]
    NoSecret,
    /// The peer prefers another connection that this end does not have.
    #[error("it still trusts an earlier link over this path; dial again")]
    Rival,
    /// The bound on links is reached here.
    #[error("this node holds as many links as it may")]
    NoRoom,
    /// The transport has ended.
    #[error("the transport has been shut down")]
    ShutDown,
}

fn refusal(lost: &Lost) -> String {
    if CloseCode::NoRoom.said_in(lost) {
        "it holds as many links as it may".to_owned()
    } else if CloseCode::ShutDown.said_in(lost) {
        "it is shutting down".to_owned()
    } else {
        lost.to_string()
    }
}

/// Why a caller got no link.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum AnswerError {
    /// It did not greet.
    #[error(transparent)]
    Greeting(#[from] GreetingError),
    /// The TLS session exports nothing.
    #[error("the handshake gave no secret")]
    NoSecret,
    /// It shows this node's key.
    #[error("it has this node's own key")]
    Own,
    /// Another link stays, a bound is reached, or the transport has ended.
    #[error("{0:?}")]
    Refused(Admission),
}

impl<K: PathKey> Exchange<K> {
    /// No links yet. `incarnation` is drawn at random for this run.
    pub fn new(
        transport: TransportType,
        own: PeerId,
        incarnation: Incarnation,
        sink: Arc<dyn Sink>,
        tasks: &Arc<Tasks>,
    ) -> Self {
        let (links, tasks) = (Links::new(own), Arc::downgrade(tasks));
        Self { transport, own, incarnation, links, sink, tasks }
    }

    /// Admits nothing any more.
    pub fn shut(&self) {
        self.links.shut();
    }

    /// How many links are up whose path `which` is true of. O(n).
    pub fn count(&self, which: impl Fn(&K) -> bool) -> usize {
        self.links.count(which)
    }

    /// Waits until `key` is free to dial, at once in most cases, or until there is a link.
    pub async fn begin_dial(&self, key: K) -> Path<'_, K> {
        self.links.begin_dial(key).await
    }

    /// Makes a link of a connection that this end opened, the peer being proved.
    ///
    /// # Errors
    /// [`CallError`]; the connection is closed.
    pub async fn call<C: Connection>(
        self: &Arc<Self>,
        dial: &Dial<'_, K>,
        connection: C,
        shape: Shape,
    ) -> Result<LinkId, CallError> {
        let hello = Hello { incarnation: self.incarnation, replaces: dial.replaces };
        let incarnation = match greeting::dial(&connection, hello).await {
            Ok(incarnation) => incarnation,
            Err(GreetingError::Lost(why)) if CloseCode::Replaced.said_in(&why) => {
                let rival = tokio::time::timeout(RIVAL_WAIT, self.links.link_over(dial.key));
                return rival.await.map_err(|_| CallError::Rival);
            }
            Err(GreetingError::Lost(why)) => return Err(CallError::Lost(why)),
            Err(GreetingError::Malformed) => {
                connection.close(CloseCode::Violation, "");
                return Err(CallError::Greeting(GreetingError::Malformed));
            }
        };
        let Some(tag) = greeting::tag(&connection) else {
            connection.close(CloseCode::Violation, "");
            return Err(CallError::NoSecret);
        };
        let claim = Claim { dialler: Dialler::Us, incarnation, tag };
        let (id, admission) =
            self.establish(connection.clone(), dial.key, claim, dial.replaces, shape);
        if let Some(code) = admission.close_code() {
            connection.close(code, "");
        }
        match admission {
            Admission::Up => Ok(id),
            Admission::Yield(rival) => Ok(rival),
            Admission::NoRoom => Err(CallError::NoRoom),
            Admission::ShutDown => Err(CallError::ShutDown),
        }
    }

    /// Makes a link of a connection that the peer behind `key` opened.
    ///
    /// # Errors
    /// [`AnswerError`]; the connection is closed.
    pub async fn answer<C: Connection>(
        self: &Arc<Self>,
        key: K,
        connection: C,
        shape: Shape,
    ) -> Result<(), AnswerError> {
        let greeted = self.greet(key, &connection, shape).await;
        if let Err(why) = &greeted {
            let code = match why {
                AnswerError::Refused(admission) => admission.close_code(),
                AnswerError::Greeting(GreetingError::Lost(_)) => None,
                AnswerError::Greeting(GreetingError::Malformed)
                | AnswerError::NoSecret
                | AnswerError::Own => Some(CloseCode::Violation),
            };
            connection.close(code.unwrap_or(CloseCode::Closed), "");
        }
        greeted
    }

    async fn greet<C: Connection>(
        self: &Arc<Self>,
        key: K,
        connection: &C,
        shape: Shape,
    ) -> Result<(), AnswerError> {
        if key.peer() == self.own {
            return Err(AnswerError::Own);
        }
        let tag = greeting::tag(connection).ok_or(AnswerError::NoSecret)?;
        let caller = Caller::hear(connection).await?;
        let claim = Claim { dialler: Dialler::Peer, incarnation: caller.hello.incarnation, tag };
        let replaces = caller.hello.replaces;
        match self.establish(connection.clone(), key, claim, replaces, shape).1 {
            Admission::Up => {
                // When this fails the connection is gone, and the link goes down by itself.
                if let Err(why) = caller.welcome(self.incarnation).await {
                    tracing::debug!(peer = %key.peer().short(), %why, "not welcomed");
                }
                Ok(())
            }
            refused @ (Admission::Yield(_) | Admission::NoRoom | Admission::ShutDown) => {
                Err(AnswerError::Refused(refused))
            }
        }
    }

    /// Makes a link of an authenticated connection, unless a rival or a bound stands against it.
    fn establish<C: Connection>(
        self: &Arc<Self>,
        connection: C,
        key: K,
        claim: Claim,
        replaces: Option<Tag>,
        shape: Shape,
    ) -> (LinkId, Admission) {
        let id = self.sink.next_link_id();
        let link = Arc::new(QuicLink {
            id,
            peer: key.peer(),
            transport: self.transport,
            capabilities: shape.capabilities,
            path: shape.path,
            queue: Queue::default(),
            quiet_ticks: AtomicU32::new(0),
            quiet_limit: shape.quiet_limit,
        });
        let Some(tasks) = self.tasks.upgrade() else {
            return (id, Admission::ShutDown);
        };
        let admission = self.links.admit(key, &link, claim, replaces);
        if admission == Admission::Up {
            let exchange = self.clone();
            tasks.spawn(async move {
                let reason = drive(link, connection, exchange.sink.clone()).await;
                // First, because whoever hears of the end may dial at once.
                exchange.links.remove(key, id);
                exchange.sink.event(TransportEvent::LinkDown { link: id, reason });
            });
        }
        (id, admission)
    }
}
