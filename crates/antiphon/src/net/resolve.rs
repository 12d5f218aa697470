//! Looking names up.
//!
//! The system's resolver knows what the others don't: the hosts file, the local domain, `nsswitch`. But it can only be
//! called and waited for, so the threads of a pool do that. A lookup that is cancelled or dropped before it began did not
//! happen. There is no way to end one that is under way: it is abandoned, and counted as such.

use std::io;
use std::net::{SocketAddr, ToSocketAddrs};
use std::sync::LazyLock;

use crate::io::Leaf;
use crate::thread::Pool;
use crate::worker::current;

/// Threads of their own: a name server that does not answer holds one for some seconds, and must not hold up more than
/// names.
static RESOLVER: LazyLock<Pool> = LazyLock::new(|| {
    let builder = Pool::builder().name("antiphon resolver");
    builder.size(THREADS_MAX).build()
});

/// So many names that are not answered hold up all lookups.
const THREADS_MAX: usize = 16;

/// Looks `host` up for the call of `leaf`, which has begun. The answer may have no address in it. A call that is cancelled
/// leaves at once, and its answer is dropped when it comes.
pub(super) async fn resolve(host: String, port: u16, leaf: Leaf) -> io::Result<Vec<SocketAddr>> {
    if let Some(known) = current(|worker| worker.driver().resolve(&host, port)) {
        return known;
    }
    let lookup = RESOLVER.unblock(move || {
        let addresses = (host.as_str(), port).to_socket_addrs()?;
        Ok(addresses.collect())
    });
    lookup
        .abandon_on_cancel()
        .shown_as("name lookup", leaf.location())
        .await?
}
