use std::io::{BufReader, Write as _};
use std::process::{Child, ChildStdin, ChildStdout, Command, Stdio};

use bitcraps_transport_ble::Port;

/// Virtual controllers in a process of their own, which ends with this value.
pub(crate) struct Controllers {
    process: Child,
    orders: ChildStdin,
    answers: BufReader<ChildStdout>,
    /// Those on sockets.
    pub(crate) ports: Vec<Port>,
    /// The one on a serial line.
    pub(crate) serial: Port,
}

impl Controllers {
    pub(crate) fn start(count: usize) -> Self {
        let python = std::env::var_os("BITCRAPS_CONTROLLERS_PYTHON");
        let python =
            python.expect("no virtual controllers; start these tests as `cargo xtask test-hci`");
        let script = concat!(env!("CARGO_MANIFEST_DIR"), "/tests/hci/controllers.py");
        let mut process = Command::new(python)
            .args([script, &count.to_string()])
            .stdin(Stdio::piped())
            .stdout(Stdio::piped())
            .spawn()
            .unwrap();
        let mut answers = BufReader::new(process.stdout.take().unwrap());
        let mut ports = Vec::new();
        loop {
            match line(&mut answers).as_str() {
                "ready" => break,
                port => ports.push(port.parse().unwrap()),
            }
        }
        let serial = ports.pop().unwrap();
        let orders = process.stdin.take().unwrap();
        Self { process, orders, answers, ports, serial }
    }

    /// Has them do something; what they answer.
    pub(crate) fn order(&mut self, order: &str) -> String {
        writeln!(self.orders, "{order}").unwrap();
        line(&mut self.answers)
    }

    pub(crate) fn obey(&mut self, order: &str) {
        assert_eq!(self.order(order), "ok", "{order}");
    }
}

fn line(from: &mut impl std::io::BufRead) -> String {
    let mut line = String::new();
    assert!(from.read_line(&mut line).unwrap() > 0, "the controllers have ended");
    line.trim_end().to_owned()
}

impl Drop for Controllers {
    fn drop(&mut self) {
        // It has ended already when it broke.
        drop(self.process.kill());
        drop(self.process.wait());
    }
}
