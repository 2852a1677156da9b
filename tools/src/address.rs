//! Addresses of this machine, as people write them.

use std::net::{Ipv4Addr, Ipv6Addr, SocketAddr, ToSocketAddrs};
use std::str::FromStr;

/// Where to listen: the first of these that can be had.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct Listen(Vec<SocketAddr>);

impl Listen {
    pub(crate) fn candidates(&self) -> &[SocketAddr] {
        &self.0
    }
}

impl FromStr for Listen {
    type Err = String;

    /// `host:port`, where a name stands for its addresses, those of version 4 first: most clients
    /// try these first. Without a host, every address of this machine.
    fn from_str(text: &str) -> Result<Self, String> {
        let (host, port) = text.rsplit_once(':').ok_or_else(|| expected("no port"))?;
        let number: u16 = port.parse().map_err(|_| expected("the port is no number to 65535"))?;
        if host.is_empty() {
            let both =
                [(Ipv6Addr::UNSPECIFIED, number).into(), (Ipv4Addr::UNSPECIFIED, number).into()];
            return Ok(Self(both.into()));
        }
        let found = text.to_socket_addrs().map_err(|error| expected(&error.to_string()))?;
        let mut found: Vec<SocketAddr> = found.collect();
        found.sort_by_key(SocketAddr::is_ipv6);
        if found.is_empty() {
            return Err(expected("the name has no address"));
        }
        Ok(Self(found))
    }
}

fn expected(found: &str) -> String {
    format!("{found}: expected 127.0.0.1:7070, localhost:7070, or :7070 for every address here")
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn names_numbers_and_ports_alone_are_addresses() {
        let first = |text: &str| text.parse::<Listen>().unwrap().candidates()[0].to_string();
        assert_eq!(first("127.0.0.1:7070"), "127.0.0.1:7070");
        assert_eq!(first("[::1]:80"), "[::1]:80");
        assert_eq!(first("localhost:7070"), "127.0.0.1:7070");
        let all: Listen = ":7070".parse().unwrap();
        let all: Vec<String> = all.candidates().iter().map(ToString::to_string).collect();
        assert_eq!(all, ["[::]:7070", "0.0.0.0:7070"]);
    }

    #[test]
    fn what_is_no_address_is_told_with_what_is_expected() {
        for text in ["7070", "localhost", "localhost:", ":http", "127.0.0.1:65536", "no host:1"] {
            let error = text.parse::<Listen>().unwrap_err();
            assert!(error.contains("expected 127.0.0.1:7070"), "{text}: {error}");
        }
    }
}
