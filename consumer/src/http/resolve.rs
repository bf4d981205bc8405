//! Names to addresses, each looked at before anybody connects to it.

use std::collections::BTreeSet;
use std::io;
use std::net::{IpAddr, SocketAddr};

use async_trait::async_trait;

use super::client::HttpError;
use super::guard::{is_of_this_machine, is_public};

/// A name server.
#[async_trait]
pub trait Resolve: Send + Sync + 'static {
    /// Every address of a host.
    async fn resolve(&self, host: &str, port: u16) -> io::Result<Vec<SocketAddr>>;
}

/// The system's. It also reads addresses in all the ways in which people have ever written them: decimal, octal,
/// hexadecimal, shortened.
#[derive(Debug, Clone, Copy, Default)]
pub struct SystemResolver;

#[async_trait]
impl Resolve for SystemResolver {
    async fn resolve(&self, host: &str, port: u16) -> io::Result<Vec<SocketAddr>> {
        Ok(tokio::net::lookup_host((host, port)).await?.collect())
    }
}

/// Hosts that may be inside, by name.
#[derive(Debug, Clone, Default)]
pub(super) struct Allowed(BTreeSet<String>);

impl Allowed {
    pub(super) fn new(names: impl IntoIterator<Item = String>) -> Self {
        Self(names.into_iter().map(|name| canonical(&name)).collect())
    }

    pub(super) fn has(&self, host: &str) -> bool {
        self.0.contains(&canonical(host))
    }
}

fn canonical(host: &str) -> String {
    host.trim_end_matches('.').to_ascii_lowercase()
}

/// The addresses that may be connected to. One that is inside condemns the name: whoever answers with both wants the
/// client to choose. A host that is allowed by name may be inside, but on this machine or its link, where the function's
/// own runtime and its credentials are, only if the name is that address.
pub(super) async fn addresses(
    resolver: &dyn Resolve,
    allowed: &Allowed,
    host: &str,
    port: u16,
) -> Result<Vec<SocketAddr>, HttpError> {
    // An IPv6 address stands in brackets in a URL.
    let bare = host.strip_prefix('[').and_then(|host| host.strip_suffix(']')).unwrap_or(host);
    let failed = |source| HttpError::Resolve { host: host.to_owned(), source };
    let addresses = resolver.resolve(bare, port).await.map_err(failed)?;
    if addresses.is_empty() {
        return Err(failed(io::ErrorKind::NotFound.into()));
    }
    let is_address = bare.parse::<IpAddr>().is_ok();
    let may_be_called = |address: &SocketAddr| match address.ip() {
        ip if allowed.has(host) => is_address || !is_of_this_machine(ip),
        ip => is_public(ip),
    };
    if !addresses.iter().all(may_be_called) {
        return Err(HttpError::Inside { host: host.to_owned() });
    }
    Ok(addresses)
}

#[cfg(test)]
mod tests {
    use super::*;

    struct Says(&'static str);

    #[async_trait]
    impl Resolve for Says {
        async fn resolve(&self, _: &str, port: u16) -> io::Result<Vec<SocketAddr>> {
            Ok(self.0.split(' ').map(|ip| SocketAddr::new(ip.parse().unwrap(), port)).collect())
        }
    }

    #[tokio::test]
    async fn an_allowed_name_leads_to_a_network_and_an_allowed_address_to_itself() {
        let allowed =
            Allowed::new(["hooks.internal".to_owned(), "169.254.1.1".to_owned(), "[::1]".to_owned()]);
        let may = async |host: &str, says| addresses(&Says(says), &allowed, host, 80).await.is_ok();
        assert!(may("hooks.internal", "10.0.0.1 fd00::1 1.1.1.1").await);
        for inside in ["127.0.0.1", "169.254.169.254", "10.0.0.1 ::1", "fe80::1", "::ffff:127.0.0.1"] {
            assert!(!may("hooks.internal", inside).await, "{inside}");
        }
        assert!(may("169.254.1.1", "169.254.1.1").await && may("[::1]", "::1").await);
        assert!(!may("other.internal", "10.0.0.1").await);
    }
}
