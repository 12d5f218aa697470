//! Descriptors: as many are open afterwards as before, and having none left is told once in a while.
//!
//! One test, because the descriptors are the process's.

mod net_support;

use std::io::ErrorKind;
use std::rc::Rc;

use antiphon::io::{Read, Write};
use antiphon::net::{TcpListener, TcpStream, UdpSocket, UnixStream};
use antiphon::spawn;
use rustix::process::{Resource, Rlimit, getrlimit, setrlimit};

use net_support::{
    ends_at_once, ends_while_it_waits, for_each_driver, for_each_kernel_driver, forget,
    give_up_after, pattern, silent, until_someone_waits_for, wins_the_race,
};

#[test]
fn descriptors() {
    // Those that the simulation runs too open none there.
    // What is opened once in a process is open afterwards.
    for_each_driver(async || drop(UdpSocket::bind("127.0.0.1:0").await.unwrap()));
    let before = count();
    for_each_driver(many_connections);
    assert_eq!(count(), before);
    for_each_driver(everything_given_up);
    assert_eq!(count(), before);
    for_each_kernel_driver(everything_cancelled);
    assert_eq!(count(), before);
    for_each_kernel_driver(none_left);
    assert_eq!(count(), before);
}

fn count() -> usize {
    // The directory is open itself while it is read, both times.
    std::fs::read_dir("/proc/self/fd").unwrap().count()
}

async fn many_connections() {
    let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
    let address = listener.local_addr().unwrap();
    let limit = getrlimit(Resource::Nofile);
    setrlimit(
        Resource::Nofile,
        Rlimit {
            current: limit.maximum,
            ..limit
        },
    )
    .unwrap();
    let connections = 1000;
    let server = spawn(async move || {
        let mut tasks = Vec::new();
        for _ in 0..connections {
            let (mut stream, _) = listener.accept().await.unwrap();
            tasks.push(spawn(async move || {
                let mut question = [0; 4];
                stream.read_exact(&mut question).await.unwrap();
                stream.write_all(&question).await.unwrap();
                assert_eq!(stream.read(&mut question).await.unwrap(), 0);
            }));
        }
        for task in tasks {
            task.await.unwrap();
        }
    });
    let clients: Vec<_> = (0..connections)
        .map(|number: u32| {
            spawn(async move || {
                let mut stream = TcpStream::connect(address).await.unwrap();
                stream.write_all(&number.to_le_bytes()).await.unwrap();
                let mut answer = [0; 4];
                stream.read_exact(&mut answer).await.unwrap();
                assert_eq!(answer, number.to_le_bytes());
                stream
            })
        })
        .collect();
    // All are open at the same time.
    let mut streams = Vec::new();
    for client in clients {
        streams.push(client.await.unwrap());
    }
    drop(streams);
    server.await.unwrap();
}

async fn everything_given_up() {
    let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
    let address = listener.local_addr().unwrap();
    for polls in 0..40 {
        drop(give_up_after(polls % 4, TcpStream::connect(address)).await);
        drop(give_up_after(polls % 3, listener.accept()).await);
        let (mut left, mut right) = UnixStream::pair().unwrap();
        drop(forget(left.read(&mut [0; 9])).await);
        drop(give_up_after(polls % 4, right.write_all(&pattern(1 << 20))).await);
        drop(give_up_after(1, listener.accept()).await);
    }
    // The last ones are still at the listener when the loop ends.
    let _stream = TcpStream::connect(address).await.unwrap();
    drop(give_up_after(1, TcpStream::connect(address)).await);
}

/// After each the descriptors are those from before: a connect that was cancelled has let go of its own when it returns.
async fn everything_cancelled() {
    let (address, _queue) = silent().await;
    let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
    let before = count();
    for _ in 0..20 {
        ends_at_once(async || TcpStream::connect(address).await).await;
        assert_eq!(count(), before);
        ends_while_it_waits("tcp connect", async || TcpStream::connect(address).await).await;
        assert_eq!(count(), before);
        ends_while_it_waits("tcp accept", async || listener.accept().await).await;
        ends_at_once(async || TcpListener::bind("127.0.0.1:0").await).await;
        assert_eq!(count(), before);
    }
    // One that was faster than its cancel.
    let address = listener.local_addr().unwrap();
    let stream = wins_the_race(async || TcpStream::connect(address).await).await;
    let accepted = listener.accept().await.unwrap();
    assert_eq!(count(), before + 2);
    drop((stream, accepted));
}

async fn none_left() {
    let listener = Rc::new(TcpListener::bind("127.0.0.1:0").await.unwrap());
    let address = listener.local_addr().unwrap();
    let stream = std::net::TcpStream::connect(address).unwrap();
    let limit = getrlimit(Resource::Nofile);
    // Lower than what is open already.
    setrlimit(
        Resource::Nofile,
        Rlimit {
            current: Some(3),
            ..limit
        },
    )
    .unwrap();

    let error = listener.accept().await.unwrap_err();
    let none_left = Some(rustix::io::Errno::MFILE.raw_os_error());
    assert_eq!(error.raw_os_error(), none_left);
    // It was told: the next call waits for a moment, which can be ended, and the one after waits as well.
    ends_while_it_waits("sleep", async || listener.accept().await).await;
    ends_at_once(async || listener.accept().await).await;

    let acceptor = {
        let listener = listener.clone();
        spawn(async move || {
            loop {
                match listener.accept().await {
                    Ok((stream, _)) => return stream,
                    Err(error) => assert_eq!(error.raw_os_error(), none_left),
                }
            }
        })
    };
    // It waits for the pause to end.
    until_someone_waits_for("sleep").await;
    setrlimit(Resource::Nofile, limit).unwrap();
    let mut peer = acceptor.await.unwrap();
    drop(stream);
    assert_eq!(
        peer.read(&mut [0; 1]).await.map_err(|error| error.kind()),
        Ok::<_, ErrorKind>(0)
    );
}
