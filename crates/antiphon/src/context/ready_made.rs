//! What of this crate can be entered.

use std::io;

use super::ending::Ending;
use super::if_dropped::{HandOver, LetGo};
use super::manager::ContextManager;
use crate::io::Write;
use crate::net::{TcpStream, UnixStream};
use crate::scope::Cancelled;
use crate::sync::{
    MutexGuard, OwnedSemaphorePermit, RwLockReadGuard, RwLockWriteGuard, SemaphorePermit,
};

macro_rules! streams {
    ($($stream:ident),*) => {$(
        /// If the block returned a value, all that was written is sent and the peer is told that no more comes. If not, the
        /// stream is closed at once: what was said so far is not to be taken for the whole.
        impl ContextManager for $stream {
            type Error = io::Error;
            type IfDropped = HandOver;

            async fn exit(mut self, ending: Ending<'_>) -> io::Result<()> {
                if !ending.is_value() {
                    return Ok(());
                }
                match self.shutdown().await {
                    // The peer was faster.
                    Err(error) if error.kind() == io::ErrorKind::NotConnected => Ok(()),
                    result => result,
                }
            }
        }
    )*};
}

streams!(TcpStream, UnixStream);

macro_rules! guards {
    ($($guard:ty, [$($generics:tt)*];)*) => {$(
        /// Dropping it is all that there is to do, so a block that is dropped half way is left as any other.
        impl<$($generics)*> ContextManager for $guard {
            type Error = Cancelled;
            type IfDropped = LetGo;

            async fn exit(self, _: Ending<'_>) -> Result<(), Cancelled> {
                drop(self);
                Ok(())
            }
        }
    )*};
}

guards! {
    MutexGuard<'_, T>, [T: ?Sized];
    RwLockReadGuard<'_, T>, [T: ?Sized];
    RwLockWriteGuard<'_, T>, [T: ?Sized];
    SemaphorePermit<'_>, [];
    OwnedSemaphorePermit, [];
}
