//! Tests of ZMTP with the bytes of its specification, and with malicious peers.
#![allow(clippy::unwrap_used)]
use super::*;

/// What comes out of bytes, with room for `limit` and `budget` bytes.
fn read(bytes: &[u8], limit: usize, budget: &Arc<Budget>) -> Result<Received, Fault> {
    let runtime = tokio::runtime::Builder::new_current_thread().enable_time().build().unwrap();
    runtime.block_on(Incoming::new(bytes, limit, budget.clone()).next())
}

fn written(frames: &[Bytes]) -> Vec<u8> {
    pieces(frames).concat()
}

#[test]
fn frames_are_those_of_the_specification() {
    let frames = ["", "ab"].map(|f| Bytes::from_static(f.as_bytes()));
    assert_eq!(written(&frames), [1, 0, 0, 2, b'a', b'b']);
    assert_eq!(written(&[Bytes::from(vec![7; 256])])[..10], [2, 0, 0, 0, 0, 0, 0, 1, 0, 7]);
}

#[test]
fn what_is_written_is_read() {
    let budget = Budget::new(1 << 24);
    let frames: Vec<Bytes> = [0, 1, 255, 256, 4095, 4096, 70_000, 1 << 20].map(|n| Bytes::from(vec![3; n])).into();
    assert_eq!(read(&written(&frames), 1 << 22, &budget).unwrap(), Received::Message(frames));
    assert_eq!(budget.left.load(Ordering::SeqCst), 1 << 24);
    let ping = read(&[4, 7, 4, b'P', b'I', b'N', b'G', 0, 1], 9, &budget).unwrap();
    assert_eq!(ping, Received::Command(Bytes::from_static(b"PING"), Bytes::from_static(&[0, 1])));
}

#[test]
fn claims_are_refused_and_reserve_nothing() {
    let budget = Budget::new(1 << 20);
    let claim = |flags: u8, length: u64| [&[flags][..], &length.to_be_bytes()].concat();
    for (flags, length) in [(2, u64::MAX), (2, 1 << 47), (3, 1 << 30), (6, 1 << 47), (6, 1 << 20), (7, u64::MAX)] {
        assert!(matches!(read(&claim(flags, length), 1 << 26, &budget), Err(Fault::TooLarge)), "{flags} {length}");
    }
    // Within the limit a claim waits for its bytes, which never come.
    assert!(matches!(read(&claim(2, 1 << 25), 1 << 26, &budget), Err(Fault::Io(_))));
    // All peers together have less room than one message may take.
    let mut large = claim(2, 1 << 21);
    large.extend(vec![0; 1 << 21]);
    assert!(matches!(read(&large, 1 << 26, &budget), Err(Fault::TooLarge)));
    // Empty frames without end.
    assert!(matches!(read(&[1, 0].repeat(1 << 16), 1 << 26, &budget), Err(Fault::TooLarge)));
    assert!(matches!(read(&[1, 0].repeat(1 << 10), 1 << 12, &budget), Err(Fault::TooLarge)));
    for damaged in [&[4, 0][..], &[4, 1, 9], &[1, 0, 4, 1, 0]] {
        assert!(matches!(read(damaged, 1 << 26, &budget), Err(Fault::Protocol(_))), "{damaged:?}");
    }
    assert_eq!(budget.left.load(Ordering::SeqCst), 1 << 20, "all is given back");
}

#[test]
fn hands_are_shaken_with_sockets_that_fit() {
    let runtime = tokio::runtime::Builder::new_current_thread().enable_time().build().unwrap();
    let shaken = |peer: Vec<u8>| {
        runtime.block_on(async {
            let (mut ours, mut theirs) = tokio::io::duplex(1 << 12);
            theirs.write_all(&peer).await.unwrap();
            drop(theirs.shutdown().await);
            shake_hands(&mut ours, Kind::Router).await
        })
    };
    let peer = |kind: &str, identity: &str| {
        let mut body = b"\x05READY\x0bSocket-Type\0\0\0".to_vec();
        body.push(kind.len() as u8);
        body.extend_from_slice(kind.as_bytes());
        body.extend_from_slice(b"\x08identity\0\0\0");
        body.push(identity.len() as u8);
        body.extend_from_slice(identity.as_bytes());
        [&greeting()[..], &[4, body.len() as u8], &body].concat()
    };
    assert_eq!(shaken(peer("DEALER", "me")).unwrap(), "me");
    assert!(shaken(peer("SUB", "")).is_err());
    for end in [0, 10, 63, 64, 66, 80] {
        assert!(shaken(peer("DEALER", "me")[..end].to_vec()).is_err(), "{end}");
    }
    for (at, byte) in [(0, b'G'), (10, 1), (12, b'P'), (64, 0), (64, 6), (66, 200), (72, 255)] {
        let mut odd = peer("DEALER", "me");
        odd[at] = byte;
        assert!(shaken(odd).is_err(), "{at}");
    }
}
