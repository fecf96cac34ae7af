use std::ffi::OsStr;
use std::io::{Read, Write};
use std::net::{SocketAddr, UdpSocket};
use std::os::fd::AsFd as _;
use std::process::{Child, Command, Stdio};
use std::{fs, thread};

use rustix::thread::{LinkNameSpaceType, move_into_link_name_space};

/// A network of its own. It ends with this value and the processes in it, and also when the test is
/// killed.
pub(super) struct Namespace {
    /// Repeats what it is told, and ends with whoever could tell it something.
    holder: Child,
}

impl Namespace {
    /// A network in which nothing but loopback exists.
    pub(super) fn new() -> Self {
        let mut holder = Command::new("unshare");
        holder.args(["--net", "cat"]).stdin(Stdio::piped()).stdout(Stdio::piped());
        let mut holder = holder.spawn().unwrap();
        // What answers is in its network already.
        holder.stdin.as_mut().unwrap().write_all(b"?").unwrap();
        holder.stdout.as_mut().unwrap().read_exact(&mut [0]).unwrap();
        let namespace = Self { holder };
        namespace.ip("link set lo up");
        namespace
    }

    fn place(&self) -> String {
        format!("/proc/{}/ns/net", self.holder.id())
    }

    /// `command`, with its arguments and environment, to be run in this network.
    pub(super) fn inside(&self, command: &Command) -> Command {
        let mut inside = self.command(command.get_program());
        inside.args(command.get_args()).env_clear();
        inside.envs(command.get_envs().filter_map(|(name, value)| Some((name, value?))));
        if let Some(directory) = command.get_current_dir() {
            inside.current_dir(directory);
        }
        inside
    }

    /// `program`, to be run in this network; it replaces the process that enters.
    fn command(&self, program: impl AsRef<OsStr>) -> Command {
        let mut command = Command::new("nsenter");
        command.arg(format!("--net={}", self.place())).arg("--").arg(program);
        command
    }

    /// Changes interfaces, addresses and routes.
    #[track_caller]
    pub(super) fn ip(&self, words: &str) {
        let mut command = self.command("ip");
        succeed(command.args(words.split_whitespace()), "");
    }

    /// Replaces the rules of the packet filter.
    #[track_caller]
    pub(super) fn filter(&self, rules: &str) {
        let mut command = self.command("nft");
        succeed(command.args(["-f", "-"]), &format!("flush ruleset\n{rules}"));
    }

    /// Passes packets on between its interfaces.
    pub(super) fn forward(&self) {
        succeed(self.command("sh").args(["-c", "echo 1 > /proc/sys/net/ipv4/ip_forward"]), "");
    }

    /// A cable from the interface `here` to the interface `there` of `other`, both up.
    pub(super) fn cable(&self, here: &str, other: &Self, there: &str) {
        let pid = other.holder.id();
        self.ip(&format!("link add {here} type veth peer name {there} netns {pid}"));
        self.ip(&format!("link set {here} up"));
        other.ip(&format!("link set {there} up"));
    }

    /// A socket of this network.
    pub(super) fn udp(&self, local: SocketAddr) -> UdpSocket {
        let place = fs::File::open(self.place()).unwrap();
        // A thread enters alone, and a socket stays where it was made.
        let made = thread::spawn(move || {
            move_into_link_name_space(place.as_fd(), Some(LinkNameSpaceType::Network)).unwrap();
            UdpSocket::bind(local).unwrap()
        });
        made.join().unwrap()
    }
}

impl Drop for Namespace {
    fn drop(&mut self) {
        // It may have ended already.
        drop(self.holder.kill());
        drop(self.holder.wait());
    }
}

#[track_caller]
fn succeed(command: &mut Command, input: &str) {
    let command = command.stdin(Stdio::piped()).stdout(Stdio::piped()).stderr(Stdio::piped());
    let mut child = command.spawn().unwrap();
    child.stdin.take().unwrap().write_all(input.as_bytes()).unwrap();
    let output = child.wait_with_output().unwrap();
    let said = String::from_utf8_lossy(&output.stderr);
    assert!(output.status.success(), "{command:?}: {}\n{said}", output.status);
}
