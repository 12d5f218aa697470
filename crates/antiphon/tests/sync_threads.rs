//! What belongs to one worker stays on its thread: nothing in `sync` is `Send` or `Sync`.

use antiphon::sync::{
    Barrier, BarrierWait, Condvar, CondvarWait, Event, EventHub, EventHubWait, EventWait, Mutex,
    MutexGuard, MutexLock, OwnedSemaphorePermit, RwLock, RwLockRead, RwLockReadGuard, RwLockWrite,
    RwLockWriteGuard, Semaphore, SemaphoreAcquire, SemaphoreAcquireOwned, SemaphorePermit,
    broadcast, mpsc, oneshot, watch,
};

/// Does not compile if one of the types has one of the traits: there are then two ways to find `NAME`.
macro_rules! assert_stays_here {
    ($($type:ty),* $(,)?) => { $(const _: () = {
        trait Either<A> {
            const NAME: () = ();
        }
        struct IsSend;
        struct IsSync;
        impl<T: ?Sized> Either<()> for T {}
        impl<T: ?Sized + Send> Either<IsSend> for T {}
        impl<T: ?Sized + Sync> Either<IsSync> for T {}
        <$type as Either<_>>::NAME
    };)* };
}

assert_stays_here!(
    Barrier,
    BarrierWait<'static>,
    Condvar,
    CondvarWait<'static, ()>,
    Event,
    EventWait<'static>,
    EventHub<u8>,
    EventHubWait<'static, u8>,
    Mutex<()>,
    MutexGuard<'static, ()>,
    MutexLock<'static, ()>,
    RwLock<()>,
    RwLockRead<'static, ()>,
    RwLockReadGuard<'static, ()>,
    RwLockWrite<'static, ()>,
    RwLockWriteGuard<'static, ()>,
    Semaphore,
    SemaphoreAcquire<'static>,
    SemaphoreAcquireOwned,
    SemaphorePermit<'static>,
    OwnedSemaphorePermit,
    broadcast::Sender<()>,
    broadcast::Receiver<()>,
    broadcast::Recv<'static, ()>,
    mpsc::Sender<()>,
    mpsc::UnboundedSender<()>,
    mpsc::Receiver<()>,
    mpsc::Send<'static, ()>,
    mpsc::Reserve<'static, ()>,
    mpsc::Permit<'static, ()>,
    mpsc::Recv<'static, ()>,
    oneshot::Sender<()>,
    oneshot::Receiver<()>,
    oneshot::Closed<'static, ()>,
    watch::Sender<()>,
    watch::Receiver<()>,
    watch::Changed<'static, ()>,
);

#[test]
fn the_assertions_above_compile() {}
