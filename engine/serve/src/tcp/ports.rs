//! Where a server will listen: taken before its model is loaded, open to clients once it is warm.

use std::io::ErrorKind::AddrInUse;
use std::net::SocketAddr;

use tokio::net::{TcpListener, TcpSocket};
use tokio::runtime::Runtime;

use crate::{Error, Result};

/// Connections that wait to be accepted; beyond, the system makes them try again a second later.
const BACKLOG: u32 = 4096;

/// Ports that are taken. Until a server starts on them, clients are refused.
#[derive(Debug)]
pub struct Ports {
    protocol: Bound,
    http: Option<Bound>,
}

#[derive(Debug)]
struct Bound {
    socket: TcpSocket,
    address: SocketAddr,
}

impl Ports {
    /// Takes the first of `protocol`, and of `http` for health and metrics, that can be had; port 0
    /// takes a free one.
    ///
    /// # Errors
    /// None can be had: somebody listens there, it is not an address of this machine, or the port
    /// is reserved.
    pub fn bind(protocol: &[SocketAddr], http: Option<&[SocketAddr]>) -> Result<Self> {
        let protocol = bind(protocol)?;
        let http = http.map(bind).transpose()?;
        match &http {
            Some(http) if meet(protocol.address, http.address) => Err(Error::Options(format!(
                "cannot listen on {} for the protocol and on {} for health: that is one port",
                protocol.address, http.address
            ))),
            _ => Ok(Self { protocol, http }),
        }
    }

    /// Opens them to clients.
    pub(crate) fn listen(self, runtime: &Runtime) -> Result<(TcpListener, Option<TcpListener>)> {
        let _within = runtime.enter();
        let http = self.http.map(Bound::listen).transpose()?;
        Ok((self.protocol.listen()?, http))
    }
}

impl Bound {
    fn listen(self) -> Result<TcpListener> {
        self.socket.listen(BACKLOG).map_err(|error| failed(self.address, error))
    }
}

/// Whether two addresses are one port: that shows only once both are listened on.
fn meet(one: SocketAddr, other: SocketAddr) -> bool {
    let is_all = one.ip().is_unspecified() || other.ip().is_unspecified();
    one.port() == other.port() && one.port() != 0 && (is_all || one.ip() == other.ip())
}

/// The first of `addresses` that this machine has.
fn bind(addresses: &[SocketAddr]) -> Result<Bound> {
    let mut first_failure = None;
    for &address in addresses {
        match bind_one(address) {
            Ok(socket) => return Ok(Bound { socket, address }),
            // Beside whoever has it, a client could reach either.
            Err(error) if error.kind() == AddrInUse => return Err(failed(address, error)),
            Err(error) => {
                first_failure.get_or_insert_with(|| failed(address, error));
            }
        }
    }
    Err(first_failure.unwrap_or_else(|| Error::Options("no address to listen on".to_owned())))
}

fn bind_one(address: SocketAddr) -> std::io::Result<TcpSocket> {
    let socket = if address.is_ipv4() { TcpSocket::new_v4()? } else { TcpSocket::new_v6()? };
    socket.set_reuseaddr(true)?;
    socket.bind(address)?;
    Ok(socket)
}

fn failed(address: SocketAddr, error: std::io::Error) -> Error {
    Error::Listen { address, source: error }
}

#[cfg(test)]
mod tests {
    use std::net::{Ipv4Addr, TcpListener, TcpStream};

    use super::*;

    #[test]
    fn a_port_somebody_listens_on_is_told_whatever_else_could_be_had() {
        let taken = TcpListener::bind((Ipv4Addr::LOCALHOST, 0)).unwrap();
        let address = taken.local_addr().unwrap();
        let free: SocketAddr = (Ipv4Addr::LOCALHOST, 0).into();
        for (protocol, http) in [(address, None), (free, Some([address]))] {
            let error = Ports::bind(&[protocol], http.as_ref().map(|http| &http[..])).unwrap_err();
            assert!(error.to_string().starts_with(&format!("cannot listen on {address}: ")));
        }
        assert!(Ports::bind(&[address, free], None).is_err());
        // Kept for documentation: no machine has it.
        let nowhere: SocketAddr = ([192, 0, 2, 1], 0).into();
        assert!(Ports::bind(&[nowhere, free], None).is_ok(), "the next is tried");
        assert!(Ports::bind(&[], None).is_err());
        let both: SocketAddr = (Ipv4Addr::LOCALHOST, taken_and_left()).into();
        let error = Ports::bind(&[both], Some(&[both])).unwrap_err().to_string();
        assert!(error.ends_with("that is one port"), "{error}");
    }

    fn taken_and_left() -> u16 {
        let taken = TcpListener::bind((Ipv4Addr::LOCALHOST, 0)).unwrap();
        taken.local_addr().unwrap().port()
    }

    #[test]
    fn clients_are_refused_until_it_listens() {
        let ports = Ports::bind(&[(Ipv4Addr::LOCALHOST, 0).into()], None).unwrap();
        let address = ports.protocol.socket.local_addr().unwrap();
        assert!(TcpStream::connect(address).is_err());
        let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build().unwrap();
        let _listening = ports.listen(&runtime).unwrap();
        assert!(TcpStream::connect(address).is_ok());
    }
}
