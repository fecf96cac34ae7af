//! Socket addresses as bytes: family, address, port.

use std::net::{IpAddr, Ipv4Addr, Ipv6Addr, SocketAddr};

use bytes::{BufMut, BytesMut};

use crate::DecodeError;
use crate::reader::Reader;

pub(crate) fn encode(address: &SocketAddr, out: &mut BytesMut) {
    match address.ip() {
        IpAddr::V4(ip) => {
            out.put_u8(4);
            out.put_slice(&ip.octets());
        }
        IpAddr::V6(ip) => {
            out.put_u8(6);
            out.put_slice(&ip.octets());
        }
    }
    out.put_u16(address.port());
}

pub(crate) fn decode(reader: &mut Reader) -> Result<SocketAddr, DecodeError> {
    let ip: IpAddr = match reader.u8()? {
        4 => Ipv4Addr::from(reader.array::<4>()?).into(),
        6 => Ipv6Addr::from(reader.array::<16>()?).into(),
        _ => {
            return Err(DecodeError::Inconsistent("address family is neither 4 nor 6"));
        }
    };
    Ok(SocketAddr::new(ip, reader.u16()?))
}
