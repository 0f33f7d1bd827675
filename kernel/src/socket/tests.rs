//! Tests of sockets with peers that are slow, many, or unauthenticated.
#![allow(clippy::unwrap_used)]

use super::*;
use std::sync::atomic::Ordering;
use tokio::io::{AsyncReadExt, AsyncWriteExt, DuplexStream};

const SMALL: Limits = Limits { message: 1 << 16, behind: 1 << 16, patience: Duration::from_millis(20), peers: 3 };

fn socket(kind: Kind) -> Socket {
    Socket::new(kind, SMALL, Budget::new(1 << 20))
}

fn run(test: impl Future<Output = ()>) {
    tokio::runtime::Builder::new_current_thread().enable_all().build().unwrap().block_on(test);
}

/// A connection of a peer that has shaken hands as `kind`; what the socket said meanwhile is read.
async fn peer(socket: &Socket, handler: &Arc<Handler>, kind: &str, identity: &str) -> DuplexStream {
    let (ours, mut theirs) = tokio::io::duplex(1 << 12);
    socket.accept(Ok(ours), handler).await;
    let mut hello = vec![0xff, 0, 0, 0, 0, 0, 0, 0, 0, 0x7f, 3, 0];
    hello.extend_from_slice(b"NULL");
    hello.resize(64, 0);
    let mut ready = b"\x05READY\x0bSocket-Type\0\0\0".to_vec();
    ready.extend([kind.len() as u8]);
    ready.extend_from_slice(kind.as_bytes());
    ready.extend_from_slice(b"\x08Identity\0\0\0");
    ready.extend([identity.len() as u8]);
    ready.extend_from_slice(identity.as_bytes());
    hello.extend([4, ready.len() as u8]);
    hello.extend(ready);
    theirs.write_all(&hello).await.unwrap();
    let mut said = [0; 66];
    theirs.read_exact(&mut said).await.unwrap();
    let mut rest = vec![0; usize::from(said[65])];
    theirs.read_exact(&mut rest).await.unwrap();
    theirs
}

fn nothing() -> Arc<Handler> {
    Arc::new(|_, _| None)
}

/// Answers a subscription by a message of one letter.
fn welcome() -> Arc<Handler> {
    Arc::new(|_, _| Some(Parcel::new(vec![Bytes::from_static(b"w")])))
}

/// Whether the socket has hung up.
async fn is_over(stream: &mut DuplexStream) -> bool {
    let mut rest = Vec::new();
    tokio::time::timeout(Duration::from_secs(20), stream.read_to_end(&mut rest)).await.is_ok()
}

#[test]
fn a_reader_that_stops_reading_is_dropped_and_nobody_else_waits() {
    run(async {
        let iopub = socket(Kind::XPub);
        let mut stalled = peer(&iopub, &welcome(), "SUB", "").await;
        let mut good = peer(&iopub, &welcome(), "SUB", "").await;
        for stream in [&mut good, &mut stalled] {
            // The welcome comes when the subscription is there.
            stream.write_all(&[0, 1, 1]).await.unwrap();
            stream.read_exact(&mut [0; 3]).await.unwrap();
        }
        good.read_exact(&mut [0; 3]).await.unwrap();
        let waiting = Arc::default();
        let mut piece = [0; 1031];
        for i in 0..200 {
            iopub.publish(Parcel::counted(vec![Bytes::from(vec![i; 1022])], &waiting));
            good.read_exact(&mut piece).await.unwrap();
            assert_eq!(piece[9..], [i; 1022], "everything comes, in order");
        }
        assert!(waiting.load(Ordering::SeqCst) > SMALL.behind);
        assert_eq!(iopub.drop_stalled(), 0, "it has time to read on");
        tokio::time::sleep(2 * SMALL.patience).await;
        assert_eq!(iopub.drop_stalled(), 1);
        assert!(is_over(&mut stalled).await);
        assert_eq!(waiting.load(Ordering::SeqCst), 0, "nothing waits for it any more");
        iopub.publish(Parcel::new(vec![Bytes::from_static(b"x")]));
        good.read_exact(&mut piece[..3]).await.unwrap();
    });
}

#[test]
fn a_slow_reader_that_reads_on_is_waited_for() {
    run(async {
        let iopub = socket(Kind::XPub);
        let mut slow = peer(&iopub, &welcome(), "SUB", "").await;
        slow.write_all(&[0, 1, 1]).await.unwrap();
        slow.read_exact(&mut [0; 3]).await.unwrap();
        for _ in 0..200 {
            iopub.publish(Parcel::new(vec![Bytes::from(vec![0; 1022])]));
        }
        for _ in 0..50 {
            iopub.drop_stalled();
            slow.read_exact(&mut [0; 4 * 1031]).await.unwrap();
            tokio::time::sleep(SMALL.patience / 8).await;
        }
        assert!(iopub.is_idle());
    });
}

#[test]
fn strangers_make_room_and_peers_that_belong_here_stay() {
    run(async {
        let shell = socket(Kind::Router);
        let handler: Arc<Handler> = {
            let shell = shell.clone();
            Arc::new(move |peer, frames| {
                shell.trust(peer);
                Some(Parcel::new(frames))
            })
        };
        let mut own = peer(&shell, &handler, "DEALER", "own").await;
        own.write_all(&[0, 2, b'h', b'i']).await.unwrap();
        let mut echo = [0; 4];
        own.read_exact(&mut echo).await.unwrap();
        assert_eq!(&echo, b"\0\x02hi");
        let mut strangers = Vec::new();
        for _ in 0..5 {
            strangers.push(peer(&shell, &handler, "DEALER", "own").await);
        }
        for stranger in &mut strangers[..3] {
            assert!(is_over(stranger).await, "the oldest strangers make room");
        }
        own.write_all(&[0, 2, b'h', b'o']).await.unwrap();
        own.read_exact(&mut echo).await.unwrap();
        assert_eq!(&echo, b"\0\x02ho");
        // A question goes to whoever bears the name, an answer to who asked alone.
        shell.send_to_all(&Bytes::from_static(b"own"), Parcel::new(vec![Bytes::from_static(b"?")]));
        for stream in std::iter::once(&mut own).chain(&mut strangers[3..]) {
            let mut question = [0; 3];
            stream.read_exact(&mut question).await.unwrap();
            assert_eq!(&question, b"\0\x01?");
        }
    });
}

#[test]
fn a_socket_full_of_peers_that_belong_here_refuses_another() {
    run(async {
        let iopub = socket(Kind::XPub);
        let mut peers = Vec::new();
        for _ in 0..3 {
            let mut stream = peer(&iopub, &welcome(), "SUB", "").await;
            stream.write_all(&[0, 1, 1]).await.unwrap();
            stream.read_exact(&mut [0; 3]).await.unwrap();
            peers.push(stream);
        }
        let (ours, mut theirs) = tokio::io::duplex(64);
        iopub.accept(Ok(ours), &nothing()).await;
        assert!(is_over(&mut theirs).await);
        iopub.publish(Parcel::new(vec![Bytes::from_static(b"x")]));
        for (i, stream) in peers.iter_mut().enumerate() {
            let mut messages = vec![0; 3 * (3 - i)];
            stream.read_exact(&mut messages).await.unwrap();
            assert!(messages.ends_with(b"\0\x01x"), "{messages:?}");
        }
    });
}

#[test]
fn peers_that_claim_too_much_are_hung_up_on() {
    run(async {
        for (kind, own) in [(Kind::Router, "DEALER"), (Kind::XPub, "SUB"), (Kind::Rep, "REQ")] {
            let socket = socket(kind);
            for flags in [2, 3, 6, 7] {
                let mut stream = peer(&socket, &nothing(), own, "").await;
                stream.write_all(&[&[flags][..], &(1u64 << 47).to_be_bytes()].concat()).await.unwrap();
                assert!(is_over(&mut stream).await, "{kind:?} {flags}");
            }
            let mut topics = peer(&socket, &nothing(), own, "").await;
            if kind == Kind::XPub {
                topics.write_all(&[0, 2, 1, b'x'].repeat(MAX_TOPICS + 1)).await.unwrap();
                assert!(is_over(&mut topics).await);
            }
        }
    });
}

#[cfg(unix)]
#[test]
fn a_path_is_its_owners_and_goes() {
    use std::os::unix::fs::PermissionsExt;
    let folder = tempfile::tempdir().unwrap();
    let path = folder.path().join("kernel-1");
    // A socket that a killed kernel left.
    drop(std::os::unix::net::UnixListener::bind(&path).unwrap());
    run(async {
        let endpoint = Endpoint::Ipc(path.clone());
        socket(Kind::Rep).listen(&endpoint, nothing()).await.unwrap();
        assert_eq!(std::fs::metadata(&path).unwrap().permissions().mode() & 0o777, 0o600);
        assert!(socket(Kind::Rep).listen(&endpoint, nothing()).await.is_err(), "somebody listens there");
    });
    assert!(!path.exists());
}
