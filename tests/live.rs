//! Real nodes in one process: the production engine, driver and LAN transport on loopback, with
//! nothing emulated but the wire that loses datagrams.

mod eavesdropper;
mod killed;
mod seat;
mod sockets;
mod tap;
mod wire;
