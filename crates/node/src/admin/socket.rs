//! The socket in the file system.

use std::fs;
use std::io;
use std::os::fd::OwnedFd;
use std::os::unix::fs::{FileTypeExt, MetadataExt};
use std::os::unix::net::UnixListener as StdListener;
use std::path::{Path, PathBuf};

use rustix::fs::{Mode, fchmod};
use socket2::{Domain, SockAddr, Socket, Type};
use tokio::net::UnixListener;

/// Connections that wait to be accepted; the same as are served at once.
const BACKLOG: i32 = super::server::MAX_CLIENTS as i32;

/// Why a node has no admin socket. Nothing was changed in the file system.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum StartAdminError {
    /// A process listens on it.
    #[error(
        "{} is in use by a running node; stop that node, or set another admin.socket",
        .0.display()
    )]
    InUse(PathBuf),
    /// Something else has the name.
    #[error("{} is there and is no socket; move it away, or set another admin.socket", .0.display())]
    NoSocket(PathBuf),
    /// The system refused.
    #[error("cannot listen on {}: {reason}; set admin.socket to a path you can write", path.display())]
    Refused {
        /// The socket.
        path: PathBuf,
        /// The kind of failure.
        kind: io::ErrorKind,
        /// What the system says.
        reason: String,
    },
}

/// A bound socket; dropping it removes its file, unless another has taken the name by then.
#[derive(Debug)]
pub(super) struct SocketFile {
    path: PathBuf,
    /// Device and inode.
    identity: (u64, u64),
}

impl Drop for SocketFile {
    fn drop(&mut self) {
        let same = |m: fs::Metadata| (m.dev(), m.ino()) == self.identity;
        if fs::symlink_metadata(&self.path).is_ok_and(same) {
            // One that stays is found stale by the next node.
            drop(fs::remove_file(&self.path));
        }
    }
}

impl SocketFile {
    pub(super) fn path(&self) -> &Path {
        &self.path
    }
}

/// Listens at `path` with mode 0600 from the first moment, in place of a socket that a dead process
/// left.
pub(super) fn listen(path: &Path) -> Result<(UnixListener, SocketFile), StartAdminError> {
    let refused = |e: io::Error| StartAdminError::Refused {
        path: path.to_owned(),
        kind: e.kind(),
        reason: e.to_string(),
    };
    let socket = match bind(path) {
        Err(e) if e.kind() == io::ErrorKind::AddrInUse => {
            remove_stale(path)?;
            bind(path).map_err(refused)?
        }
        bound => bound.map_err(refused)?,
    };
    let metadata = fs::symlink_metadata(path).map_err(refused)?;
    let file = SocketFile { path: path.to_owned(), identity: (metadata.dev(), metadata.ino()) };
    socket.listen(BACKLOG).map_err(refused)?;
    let listener = StdListener::from(OwnedFd::from(socket));
    let listener = UnixListener::from_std(listener).map_err(refused)?;
    Ok((listener, file))
}

fn bind(path: &Path) -> io::Result<Socket> {
    let socket = Socket::new(Domain::UNIX, Type::STREAM, None)?;
    socket.set_nonblocking(true)?;
    // Linux gives the file the mode of the socket, so that there is no moment with a wider one.
    fchmod(&socket, Mode::RUSR | Mode::WUSR)?;
    socket.bind(&SockAddr::unix(path)?)?;
    Ok(socket)
}

fn remove_stale(path: &Path) -> Result<(), StartAdminError> {
    let refused = |e: io::Error| StartAdminError::Refused {
        path: path.to_owned(),
        kind: e.kind(),
        reason: e.to_string(),
    };
    if !fs::symlink_metadata(path).map_err(refused)?.file_type().is_socket() {
        return Err(StartAdminError::NoSocket(path.to_owned()));
    }
    let probe = Socket::new(Domain::UNIX, Type::STREAM, None).map_err(refused)?;
    // A listener whose backlog is full must not hold this up.
    probe.set_nonblocking(true).map_err(refused)?;
    match probe.connect(&SockAddr::unix(path).map_err(refused)?) {
        Err(e) if e.kind() == io::ErrorKind::ConnectionRefused => {
            fs::remove_file(path).map_err(refused)
        }
        Err(e) if e.kind() == io::ErrorKind::WouldBlock => {
            Err(StartAdminError::InUse(path.to_owned()))
        }
        Err(e) => Err(refused(e)),
        Ok(()) => Err(StartAdminError::InUse(path.to_owned())),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn runtime() -> tokio::runtime::Runtime {
        tokio::runtime::Builder::new_current_thread().enable_all().build().unwrap()
    }

    #[test]
    fn the_socket_is_private_and_goes_with_its_owner() {
        let home = tempfile::tempdir().unwrap();
        let path = home.path().join("admin.sock");
        let runtime = runtime();
        let _guard = runtime.enter();
        let (listener, file) = listen(&path).unwrap();
        assert_eq!(fs::metadata(&path).unwrap().mode() & 0o7777, 0o600);
        drop(listener);
        drop(file);
        assert!(!path.exists());
    }

    #[test]
    fn a_dead_process_leaves_no_obstacle_and_a_living_one_does() {
        let home = tempfile::tempdir().unwrap();
        let path = home.path().join("admin.sock");
        let runtime = runtime();
        let _guard = runtime.enter();
        drop(bind(&path).unwrap());
        assert!(path.exists(), "a socket without a listener");
        let (listener, file) = listen(&path).unwrap();
        let in_use = StartAdminError::InUse(path.clone());
        assert_eq!(listen(&path).unwrap_err(), in_use);
        assert!(path.exists(), "the living one keeps its socket");
        drop((listener, file));
        assert_eq!(
            in_use.to_string(),
            format!(
                "{} is in use by a running node; stop that node, or set another admin.socket",
                path.display()
            )
        );
    }

    #[test]
    fn a_listener_with_a_full_backlog_is_alive() {
        let home = tempfile::tempdir().unwrap();
        let path = home.path().join("admin.sock");
        let owner = bind(&path).unwrap();
        owner.listen(0).unwrap();
        let mut waiting = Vec::new();
        loop {
            let client = Socket::new(Domain::UNIX, Type::STREAM, None).unwrap();
            client.set_nonblocking(true).unwrap();
            let full = client.connect(&SockAddr::unix(&path).unwrap()).is_err();
            waiting.push(client);
            if full {
                break;
            }
        }
        assert_eq!(remove_stale(&path), Err(StartAdminError::InUse(path.clone())));
    }

    #[test]
    fn what_is_no_socket_stays() {
        let home = tempfile::tempdir().unwrap();
        let path = home.path().join("admin.sock");
        fs::write(&path, "mine").unwrap();
        let runtime = runtime();
        let _guard = runtime.enter();
        assert_eq!(listen(&path).unwrap_err(), StartAdminError::NoSocket(path.clone()));
        assert_eq!(fs::read_to_string(&path).unwrap(), "mine");
        let missing = home.path().join("no/admin.sock");
        match listen(&missing).unwrap_err() {
            StartAdminError::Refused { path, kind, .. } => {
                assert_eq!((path, kind), (missing, io::ErrorKind::NotFound));
            }
            other => panic!("{other:?}"),
        }
    }

    #[test]
    fn a_successor_s_socket_is_not_removed() {
        let home = tempfile::tempdir().unwrap();
        let path = home.path().join("admin.sock");
        let runtime = runtime();
        let _guard = runtime.enter();
        let (first, file) = listen(&path).unwrap();
        fs::rename(&path, home.path().join("moved")).unwrap();
        let (second, successor) = listen(&path).unwrap();
        drop((first, file));
        assert!(path.exists());
        drop((second, successor));
        assert!(!path.exists());
    }
}
