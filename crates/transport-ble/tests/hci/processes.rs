//! Two nodes in two processes, each with a controller of its own: this program twice more.

use std::io::{BufRead as _, BufReader, Write as _};
use std::process::{Child, ChildStdin, Command, Stdio};
use std::sync::atomic::{AtomicU64, Ordering};
use std::sync::{Arc, Mutex, mpsc};
use std::time::{Duration, Instant};

use bitcraps_session::Identity;
use bitcraps_transport_api::{Link, Sink, Transport as _, TransportEvent, TrySendError};
use bitcraps_transport_ble::{BleConfig, BleTransport, Hci, Port};
use bitcraps_types::LinkId;
use bytes::Bytes;

use crate::controllers::Controllers;

const PORT: &str = "BITCRAPS_HCI_PORT";
const NUMBER: &str = "BITCRAPS_HCI_NUMBER";
/// What begins each line that a node writes, among those of the test runner.
const MARK: &str = "NODE ";
/// Larger than anything here takes on a busy machine.
const PATIENCE: Duration = Duration::from_secs(60);
/// Frames in each direction, of every size up to the longest.
const FRAMES: usize = 600;

fn identity(number: u8) -> Identity {
    Identity::from_seed(&[number; 32])
}

/// Frame `number` of a link.
fn frame(number: usize) -> Bytes {
    vec![number as u8; number * 37 % 1_025].into()
}

/// Writes what it is told, and keeps the link.
#[derive(Default)]
struct Told {
    ids: AtomicU64,
    link: Mutex<Option<Arc<dyn Link>>>,
    arrived: Mutex<usize>,
}

impl Sink for Told {
    fn next_link_id(&self) -> LinkId {
        LinkId(self.ids.fetch_add(1, Ordering::Relaxed))
    }

    fn event(&self, event: TransportEvent) {
        match event {
            TransportEvent::LinkUp(link) => {
                *self.arrived.lock().unwrap() = 0;
                println!("{MARK}up {}", link.peer());
                *self.link.lock().unwrap() = Some(link);
            }
            TransportEvent::LinkDown { reason, .. } => println!("{MARK}down {reason}"),
            TransportEvent::Discovered(_) => {}
        }
    }

    fn frames(&self, _: LinkId, frames: &mut Vec<Bytes>) {
        let mut arrived = self.arrived.lock().unwrap();
        for got in frames.drain(..) {
            if got != frame(*arrived) {
                println!("{MARK}wrong {} of {} bytes", *arrived, got.len());
            }
            *arrived += 1;
            if *arrived == FRAMES {
                println!("{MARK}all");
            }
        }
    }

    fn written(&self, _: LinkId, _: u64) {}
}

/// What each of the two processes runs, and nothing when it is run by itself.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
#[ignore = "takes virtual controllers: cargo xtask test-hci"]
async fn a_node_of_its_own() {
    let (Ok(port), Ok(number)) = (std::env::var(PORT), std::env::var(NUMBER)) else { return };
    crate::logged();
    let radio = Hci::new(port.parse::<Port>().unwrap()).unwrap();
    let identity = identity(number.parse().unwrap());
    let transport = BleTransport::new(BleConfig::default(), identity, Arc::new(radio)).unwrap();
    let told = Arc::new(Told::default());
    transport.start(told.clone()).await.unwrap();
    let orders = tokio::task::spawn_blocking(move || {
        for order in std::io::stdin().lines() {
            assert_eq!(order.unwrap(), "send");
            let link = told.link.lock().unwrap().clone().unwrap();
            let refused = link.try_send(vec![0; 1_025].into());
            assert!(matches!(refused, Err(TrySendError::TooBig { max: 1_024, .. })), "{refused:?}");
            for number in 0..FRAMES {
                while let Err(error) = link.try_send(frame(number)) {
                    assert!(matches!(error, TrySendError::Full(_)), "{error}");
                    std::thread::yield_now();
                }
            }
        }
    });
    orders.await.unwrap();
    transport.shutdown().await;
}

/// A process with a node.
struct Process {
    child: Child,
    orders: ChildStdin,
    lines: mpsc::Receiver<String>,
}

impl Process {
    fn start(number: u8, port: &Port) -> Self {
        let mut child = Command::new(std::env::current_exe().unwrap())
            .args(["processes::a_node_of_its_own", "--exact", "--ignored", "--nocapture"])
            .env(PORT, port.to_string())
            .env(NUMBER, number.to_string())
            .stdin(Stdio::piped())
            .stdout(Stdio::piped())
            .spawn()
            .unwrap();
        let output = BufReader::new(child.stdout.take().unwrap());
        let (tell, lines) = mpsc::channel();
        std::thread::spawn(move || {
            for line in output.lines().map_while(Result::ok) {
                // The runner's own may lack a line's end before it.
                if let Some((_, told)) = line.split_once(MARK) {
                    tell.send(told.to_owned()).unwrap();
                }
            }
        });
        let orders = child.stdin.take().unwrap();
        Self { child, orders, lines }
    }

    /// The next thing that it tells is this.
    fn tells(&self, what: &str) {
        let told = self.lines.recv_timeout(PATIENCE);
        assert_eq!(told.as_deref(), Ok(what));
    }
}

impl Drop for Process {
    fn drop(&mut self) {
        // It has ended already when it broke.
        drop(self.child.kill());
        drop(self.child.wait());
    }
}

#[test]
#[ignore = "takes virtual controllers: cargo xtask test-hci"]
fn two_processes_find_lose_and_find_again_each_other() {
    let mut controllers = Controllers::start(2);
    let [up_one, up_two] = [1, 2].map(|number| format!("up {}", identity(number).peer()));
    let met = |one: &Process, two: &Process| {
        one.tells(&up_two);
        two.tells(&up_one);
    };
    let mut one = Process::start(1, &controllers.ports[0]);
    let mut two = Process::start(2, &controllers.ports[1]);
    met(&one, &two);

    let begun = Instant::now();
    writeln!(one.orders, "send").unwrap();
    writeln!(two.orders, "send").unwrap();
    one.tells("all");
    two.tells("all");
    let took = begun.elapsed();
    println!("HCI two processes: {FRAMES} frames each way in order in {:.2} s", took.as_secs_f64());

    assert_eq!(controllers.order("drop"), "dropped 2");
    one.tells("down timed out");
    two.tells("down timed out");
    met(&one, &two);

    controllers.obey("partition");
    one.tells("down timed out");
    two.tells("down timed out");
    controllers.obey("heal");
    met(&one, &two);

    // Killed, as when a device is switched off.
    drop(two);
    one.tells("down timed out");
    let mut two = Process::start(2, &controllers.ports[1]);
    met(&one, &two);
    writeln!(two.orders, "send").unwrap();
    one.tells("all");
}
