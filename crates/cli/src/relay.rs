use std::net::SocketAddr;
use std::num::NonZeroU32;
use std::path::PathBuf;

use bitcraps_node::admin::SCHEMA;
use bitcraps_node::transport_inet::{
    DEFAULT_CLIENT_RATE, DEFAULT_MAX_CLIENTS, RelayServer, RelayServerConfig, RelayTls,
};

use crate::console;
use crate::failure::{Exit, Failure};
use crate::run::Signals;

/// Arguments of `bitcraps relay`.
#[derive(Debug, clap::Args)]
pub(crate) struct Relay {
    /// Where to serve: ip:port, TCP; port 0 takes any free one
    #[arg(long, value_name = "ADDR")]
    listen: SocketAddr,
    /// PEM file with the certificate and those that lead to its root; serves HTTPS, and beside it
    /// UDP port 7842
    #[arg(long, value_name = "FILE", requires = "tls_key")]
    tls_cert: Option<PathBuf>,
    /// PEM file with the private key of the certificate
    #[arg(long, value_name = "FILE", requires = "tls_cert")]
    tls_key: Option<PathBuf>,
    /// Name of this host in the URL that clients use, instead of the address
    #[arg(long, value_name = "NAME")]
    host: Option<String>,
    /// Most clients at a time
    #[arg(long, value_name = "N", default_value_t = DEFAULT_MAX_CLIENTS)]
    max_clients: usize,
    /// Most bytes a second taken from one client
    #[arg(long, value_name = "BYTES", default_value_t = DEFAULT_CLIENT_RATE)]
    client_rate: NonZeroU32,
    /// Tell as JSON, in one line, where it serves
    #[arg(long)]
    pub(crate) json: bool,
}

/// Relays until it is interrupted.
pub(crate) async fn run(relay: Relay) -> Result<Exit, Failure> {
    let mut signals = Signals::listen()?;
    let tls = match (&relay.tls_cert, &relay.tls_key) {
        (Some(certificate), Some(key)) => Some(RelayTls::from_files(certificate, key)?),
        (_, _) => None,
    };
    let config = RelayServerConfig {
        tls,
        host: relay.host,
        max_clients: relay.max_clients,
        client_rate: relay.client_rate,
        ..RelayServerConfig::new(relay.listen)
    };
    let mut server = RelayServer::start(config).await?;
    let url = server.relay().to_string();
    if relay.json {
        let status = serde_json::json!({
            "url": url,
            "max_clients": relay.max_clients,
            "client_rate_bytes_per_second": relay.client_rate,
        });
        console::print(&format!("{}\n", serde_json::json!({ "schema": SCHEMA, "relay": status })))?;
    } else {
        console::print(&format!("{url}\n"))?;
    }
    console::complain(&format!(
        "relaying at {url} for at most {} clients; whoever is to be reached through it writes \
         relays = [\"{url}\"] below [internet]",
        relay.max_clients
    ));
    let ended = tokio::select! {
        ended = server.ended() => Some(ended),
        () = signals.stop() => None,
    };
    match ended {
        Some(ended) => ended?,
        None => {
            console::complain("stopping");
            server.shut_down().await;
        }
    }
    Ok(Exit::Healthy)
}
