//! Where to connect or bind: addresses, or names that lead to some.

use std::future::poll_fn;
use std::io;
use std::net::{IpAddr, Ipv4Addr, Ipv6Addr, SocketAddr, SocketAddrV4, SocketAddrV6};
use std::panic::Location;

use super::resolve::resolve;
use crate::io::Leaf;

/// What names an internet endpoint: socket addresses, or a host name and a port.
///
/// A text is `"host:port"`, where the host may be an address: `"localhost:80"`, `"127.0.0.1:80"`, `"[::1]:80"`. Names are
/// looked up by the system (`getaddrinfo`), on a thread of its own, so that the loop goes on meanwhile; addresses are
/// not looked up. It is [`std::net::ToSocketAddrs`] without the waiting.
pub trait ToAddresses: sealed::Sealed {
    /// Returns what is known without waiting.
    #[doc(hidden)]
    fn to_target(&self) -> Target;
}

/// The addresses, or what must be looked up to have them.
#[doc(hidden)]
#[derive(Debug)]
pub enum Target {
    Known(Vec<SocketAddr>),
    Name {
        host: String,
        port: u16,
    },
    /// It names nothing.
    Invalid,
}

impl Target {
    /// Returns the addresses: at least one. A wait also where they are known: it ends in a cancelled scope.
    pub(super) async fn addresses(
        self,
        at: &'static Location<'static>,
    ) -> io::Result<Vec<SocketAddr>> {
        // What is done with them begins here, also where nothing is looked up.
        let mut leaf = Leaf::at(at);
        poll_fn(|cx| leaf.begin(cx)).await?;
        let addresses = match self {
            Self::Known(addresses) => addresses,
            Self::Name { host, port } => resolve(host, port, leaf).await?,
            Self::Invalid => {
                return Err(io::Error::new(
                    io::ErrorKind::InvalidInput,
                    "an address is given as `host:port`",
                ));
            }
        };
        if addresses.is_empty() {
            return Err(io::Error::new(
                io::ErrorKind::InvalidInput,
                "there is no address to choose from",
            ));
        }
        Ok(addresses)
    }

    fn of_host(host: &str, port: u16) -> Self {
        match host.parse::<IpAddr>() {
            Ok(ip) => Self::Known(vec![SocketAddr::new(ip, port)]),
            Err(_) => Self::Name {
                host: host.to_owned(),
                port,
            },
        }
    }
}

mod sealed {
    pub trait Sealed {}
}

/// Implements the trait for a type, by an expression for the target.
macro_rules! impl_to_addresses {
    ($($type:ty, $value:ident => $target:expr;)+) => {$(
        impl sealed::Sealed for $type {}
        impl ToAddresses for $type {
            fn to_target(&self) -> Target {
                let $value = self;
                $target
            }
        }
    )+};
}

impl_to_addresses! {
    SocketAddr, address => Target::Known(vec![*address]);
    SocketAddrV4, address => Target::Known(vec![(*address).into()]);
    SocketAddrV6, address => Target::Known(vec![(*address).into()]);
    (IpAddr, u16), pair => Target::Known(vec![(*pair).into()]);
    (Ipv4Addr, u16), pair => Target::Known(vec![(*pair).into()]);
    (Ipv6Addr, u16), pair => Target::Known(vec![(*pair).into()]);
    [SocketAddr], addresses => Target::Known(addresses.to_vec());
    Vec<SocketAddr>, addresses => Target::Known(addresses.clone());
    (&str, u16), pair => Target::of_host(pair.0, pair.1);
    (String, u16), pair => Target::of_host(&pair.0, pair.1);
    String, text => text.as_str().to_target();
    str, text => match (text.parse(), text.rsplit_once(':')) {
        (Ok(address), _) => Target::Known(vec![address]),
        (Err(_), Some((host, port))) if !host.is_empty() => match port.parse() {
            Ok(port) => Target::Name { host: host.to_owned(), port },
            Err(_) => Target::Invalid,
        },
        _ => Target::Invalid,
    };
}

impl<const N: usize> sealed::Sealed for [SocketAddr; N] {}

impl<const N: usize> ToAddresses for [SocketAddr; N] {
    fn to_target(&self) -> Target {
        self.as_slice().to_target()
    }
}

impl<A: ToAddresses + ?Sized> sealed::Sealed for &A {}

impl<A: ToAddresses + ?Sized> ToAddresses for &A {
    fn to_target(&self) -> Target {
        (**self).to_target()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn only_names_are_looked_up() {
        let known =
            |target: Target| matches!(target, Target::Known(addresses) if addresses.len() == 1);
        assert!(known("127.0.0.1:80".to_target()));
        assert!(known("[::1]:80".to_target()));
        assert!(known(("::1", 80).to_target()));
        assert!(
            matches!("localhost:80".to_target(), Target::Name { host, port: 80 } if host == "localhost")
        );
        assert!(matches!(("localhost", 80).to_target(), Target::Name { .. }));
        for nothing in [
            "",
            ":80",
            "localhost",
            "localhost:",
            "localhost:port",
            "localhost:70000",
        ] {
            assert!(matches!(nothing.to_target(), Target::Invalid), "{nothing}");
        }
    }
}
