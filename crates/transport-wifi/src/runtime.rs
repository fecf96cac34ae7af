use std::fmt;
use std::future::Future;
use std::io;
use std::pin::Pin;
use std::sync::{Arc, Weak};
use std::time::Instant;

use bitcraps_quic_link::Tasks;
use quinn::{AsyncTimer, AsyncUdpSocket, Runtime, TokioRuntime};

/// Tokio for QUIC, with its tasks among those of the transport. Holds them weakly: the tasks
/// themselves hold this.
pub(crate) struct TrackedRuntime(Weak<Tasks>);

impl TrackedRuntime {
    pub(crate) fn new(tasks: &Arc<Tasks>) -> Self {
        Self(Arc::downgrade(tasks))
    }
}

impl fmt::Debug for TrackedRuntime {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("TrackedRuntime")
    }
}

impl Runtime for TrackedRuntime {
    fn new_timer(&self, at: Instant) -> Pin<Box<dyn AsyncTimer>> {
        TokioRuntime.new_timer(at)
    }

    fn spawn(&self, future: Pin<Box<dyn Future<Output = ()> + Send>>) {
        // Without a set the transport is gone, and its tasks with it.
        if let Some(tasks) = self.0.upgrade() {
            tasks.spawn(future);
        }
    }

    fn wrap_udp_socket(&self, socket: std::net::UdpSocket) -> io::Result<Arc<dyn AsyncUdpSocket>> {
        TokioRuntime.wrap_udp_socket(socket)
    }

    fn now(&self) -> Instant {
        TokioRuntime.now()
    }
}
