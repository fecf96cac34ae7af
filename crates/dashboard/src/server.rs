use std::convert::Infallible;
use std::io;
use std::net::{IpAddr, SocketAddr};
use std::sync::{Arc, Mutex, PoisonError};
use std::time::Duration;

use bitcraps_node::Node;
use bitcraps_node::admin::MetricsReport;
use http_body_util::Full;
use hyper::body::{Bytes, Incoming};
use hyper::header::{CONTENT_TYPE, HOST, HeaderValue};
use hyper::server::conn::http1;
use hyper::service::service_fn;
use hyper::{Method, Request, Response, StatusCode};
use hyper_util::rt::{TokioIo, TokioTimer};
use tokio::net::{TcpListener, TcpStream};
use tokio::task::{JoinHandle, JoinSet};
use tokio::time::timeout;

use crate::CoordinationMetrics;
use crate::metrics::EncodeError;

/// Connections at once: some scrapers and a few people.
const MAX_CONNECTIONS: usize = 32;
/// How long a client may take for its request.
const PATIENCE: Duration = Duration::from_secs(10);
/// Longest life of a connection; scrapers open another one.
const LIFE: Duration = Duration::from_secs(600);
/// Least size of a buffer that hyper takes, and enough for any request here.
const MAX_HEADER: usize = 8 << 10;
/// Wait after a failed accept, which may fail again at once while the process is out of files.
const ACCEPT_PAUSE: Duration = Duration::from_millis(100);
/// The text format of Prometheus.
const TEXT: &str = "text/plain; version=0.0.4; charset=utf-8";

/// Why nothing is served.
#[derive(Debug, thiserror::Error)]
pub enum ListenError {
    /// The address cannot be had.
    #[error(
        "dashboard.listen = \"{address}\": cannot listen there: {why}; write another port, or none"
    )]
    Bind {
        /// Which.
        address: SocketAddr,
        /// What the system says.
        why: io::Error,
    },
    /// Others could reach it.
    #[error(
        "dashboard.listen = \"{0}\": others could read it there; write an address of this machine alone"
    )]
    NotLoopback(SocketAddr),
    /// The metrics.
    #[error(transparent)]
    Metrics(#[from] EncodeError),
}

/// Serves `/metrics` of a node over HTTP until it is dropped.
#[derive(Debug)]
pub struct Server {
    address: SocketAddr,
    task: JoinHandle<()>,
}

impl Drop for Server {
    fn drop(&mut self) {
        self.task.abort();
    }
}

impl Server {
    /// Answers nobody any more; the address is free when this returns.
    pub async fn stop(mut self) {
        self.task.abort();
        // Cancelled, as it was told.
        drop((&mut self.task).await);
    }

    /// Listens at `address`, one of loopback; port 0 takes any free one. Call within a tokio runtime.
    ///
    /// # Errors
    /// [`ListenError`]; nothing is left running.
    pub async fn start(node: &Arc<Node>, address: SocketAddr) -> Result<Self, ListenError> {
        if !address.ip().is_loopback() {
            return Err(ListenError::NotLoopback(address));
        }
        let bind = |why| ListenError::Bind { address, why };
        let metrics = Arc::new(Mutex::new(CoordinationMetrics::new(node.id())?));
        let listener = TcpListener::bind(address).await.map_err(bind)?;
        let address = listener.local_addr().map_err(bind)?;
        let node = Arc::clone(node);
        Ok(Self { address, task: tokio::spawn(accept(listener, node, metrics)) })
    }

    /// Where it listens.
    pub const fn address(&self) -> SocketAddr {
        self.address
    }
}

/// Whoever asks holds them from the report to the text: of two reports the older would take back what
/// the newer one showed, and both would add the same to the counters.
type Shared = Arc<Mutex<CoordinationMetrics>>;

async fn accept(listener: TcpListener, node: Arc<Node>, metrics: Shared) {
    let mut connections = JoinSet::new();
    loop {
        tokio::select! {
            // One more than may be waits in the listener's queue.
            accepted = listener.accept(), if connections.len() < MAX_CONNECTIONS => match accepted {
                Ok((stream, _)) => {
                    connections.spawn(serve(stream, Arc::clone(&node), Arc::clone(&metrics)));
                }
                Err(error) => {
                    tracing::warn!(%error, "the dashboard cannot accept");
                    tokio::time::sleep(ACCEPT_PAUSE).await;
                }
            },
            Some(ended) = connections.join_next() => {
                if let Err(error) = ended {
                    tracing::warn!(%error, "a dashboard's connection ended early");
                }
            }
        }
    }
}

async fn serve(stream: TcpStream, node: Arc<Node>, metrics: Shared) {
    let service = service_fn(|request| {
        let response = answer(&request, &node, &metrics);
        async { Ok::<_, Infallible>(response) }
    });
    let mut connection = http1::Builder::new();
    connection.timer(TokioTimer::new()).header_read_timeout(PATIENCE).max_buf_size(MAX_HEADER);
    let connection = connection.serve_connection(TokioIo::new(stream), service);
    if let Ok(Err(error)) = timeout(LIFE, connection).await {
        tracing::debug!(%error, "dashboard client");
    }
}

fn answer(
    request: &Request<Incoming>,
    node: &Node,
    metrics: &Mutex<CoordinationMetrics>,
) -> Response<Full<Bytes>> {
    let host = request.headers().get(HOST).and_then(|host| host.to_str().ok());
    if !is_local(host.unwrap_or_default()) {
        return told(
            StatusCode::FORBIDDEN,
            "ask for this machine by its address or as localhost\n",
        );
    }
    if request.uri().path() != "/metrics" {
        return told(StatusCode::NOT_FOUND, "there is /metrics\n");
    }
    if request.method() != Method::GET && request.method() != Method::HEAD {
        return told(StatusCode::METHOD_NOT_ALLOWED, "/metrics is there to GET\n");
    }
    let metrics = metrics.lock().unwrap_or_else(PoisonError::into_inner);
    metrics.update(&MetricsReport::of(node));
    match metrics.encode() {
        Ok(text) => told(StatusCode::OK, text),
        Err(error) => told(StatusCode::INTERNAL_SERVER_ERROR, format!("{error}\n")),
    }
}

/// Whether a request names this machine by what no page of elsewhere can make its own name.
fn is_local(host: &str) -> bool {
    if host.parse::<SocketAddr>().is_ok_and(|address| address.ip().is_loopback()) {
        return true;
    }
    let name = host.split_once(':').filter(|(_, port)| port.parse::<u16>().is_ok());
    let name = name.map_or(host, |(name, _)| name);
    let bare = name.strip_prefix('[').and_then(|rest| rest.strip_suffix(']')).unwrap_or(name);
    name.eq_ignore_ascii_case("localhost") || bare.parse().is_ok_and(|ip: IpAddr| ip.is_loopback())
}

fn told(status: StatusCode, text: impl Into<Bytes>) -> Response<Full<Bytes>> {
    let mut response = Response::new(Full::new(text.into()));
    *response.status_mut() = status;
    response.headers_mut().insert(CONTENT_TYPE, HeaderValue::from_static(TEXT));
    response
}

#[cfg(test)]
mod tests {
    use bitcraps_node::Identity;
    use bitcraps_types::Epoch;
    use tokio::io::{AsyncReadExt, AsyncWriteExt};

    use super::*;

    async fn node() -> Arc<Node> {
        let identity = Identity::from_seed(&[1; 32]);
        Arc::new(Node::builder(&identity, Epoch(1)).start().await.unwrap())
    }

    async fn asked(server: &Server, request: &str) -> String {
        asked_as(server, request, &server.address().to_string()).await
    }

    async fn asked_as(server: &Server, request: &str, host: &str) -> String {
        let mut stream = TcpStream::connect(server.address()).await.unwrap();
        let request = format!("{request} HTTP/1.1\r\nHost: {host}\r\nConnection: close\r\n\r\n");
        stream.write_all(request.as_bytes()).await.unwrap();
        let mut answer = String::new();
        stream.read_to_string(&mut answer).await.unwrap();
        answer
    }

    #[tokio::test]
    async fn metrics_are_there_to_get_and_nothing_else_is() {
        let node = node().await;
        let server = Server::start(&node, "127.0.0.1:0".parse().unwrap()).await.unwrap();
        let got = asked(&server, "GET /metrics").await;
        assert!(got.starts_with("HTTP/1.1 200 OK\r\n"), "{got}");
        assert!(got.contains(&format!("content-type: {TEXT}\r\n")), "{got}");
        let line = format!("coordination_betting_open{{node=\"{}\"}} 1\n", node.id());
        assert!(got.contains(&line), "{got}");
        assert!(asked(&server, "GET /").await.starts_with("HTTP/1.1 404 "));
        assert!(asked(&server, "POST /metrics").await.starts_with("HTTP/1.1 405 "));
        let elsewhere = asked_as(&server, "GET /metrics", "evil.example").await;
        assert!(elsewhere.starts_with("HTTP/1.1 403 "), "{elsewhere}");
        node.shutdown().await;
    }

    #[tokio::test]
    async fn an_address_that_is_taken_or_not_this_machine_alone_is_told() {
        let node = node().await;
        let first = Server::start(&node, "127.0.0.1:0".parse().unwrap()).await.unwrap();
        let taken = Server::start(&node, first.address()).await.unwrap_err().to_string();
        let expected = format!(
            "dashboard.listen = \"{}\": cannot listen there: Address already in use (os error 98); \
             write another port, or none",
            first.address()
        );
        assert_eq!(taken, expected);
        let open = Server::start(&node, "0.0.0.0:0".parse().unwrap()).await;
        assert!(matches!(open, Err(ListenError::NotLoopback(_))));
        let address = first.address();
        drop(first);
        // The task is gone at its next turn.
        tokio::task::yield_now().await;
        Server::start(&node, address).await.unwrap();
        node.shutdown().await;
    }

    #[test]
    fn this_machine_is_asked_for_by_address_or_as_localhost() {
        for local in
            ["127.0.0.1:9464", "127.0.0.1", "[::1]:1", "[::1]", "localhost", "LocalHost:80"]
        {
            assert!(is_local(local), "{local}");
        }
        for other in
            ["", "evil.example", "evil.example:80", "localhost.evil.example", "192.0.2.1:1"]
        {
            assert!(!is_local(other), "{other}");
        }
    }
}
