//! Strangers at the ports and readers that stop reading: the kernel goes on, and its memory is not filled.

use crate::front_end::{self, FrontEnd};
use std::io::{ErrorKind, Read, Write};
use std::net::TcpStream;
use std::time::Duration;

/// A connection of a stranger that has shaken hands as a socket of that type.
fn stranger(port: u16, kind: &str) -> TcpStream {
    let mut stream = TcpStream::connect(("127.0.0.1", port)).unwrap();
    stream.set_read_timeout(Some(front_end::PATIENCE)).unwrap();
    let mut hello = vec![0xff, 0, 0, 0, 0, 0, 0, 0, 0, 0x7f, 3, 0];
    hello.extend_from_slice(b"NULL");
    hello.resize(64, 0);
    let mut ready = b"\x05READY\x0bSocket-Type\0\0\0".to_vec();
    ready.push(kind.len() as u8);
    ready.extend_from_slice(kind.as_bytes());
    hello.extend([4, ready.len() as u8]);
    hello.extend(ready);
    stream.write_all(&hello).unwrap();
    stream
}

/// Whether the kernel has hung up: what it said before is read.
fn is_over(mut stream: TcpStream) -> bool {
    let mut rest = [0; 1 << 16];
    loop {
        match stream.read(&mut rest) {
            Ok(0) => return true,
            Ok(_) => {}
            Err(e) => return !matches!(e.kind(), ErrorKind::WouldBlock | ErrorKind::TimedOut),
        }
    }
}

/// The sockets that may talk to those of the kernel, in the order of [`FrontEnd::ports`].
const PEERS: [&str; 5] = ["DEALER", "SUB", "DEALER", "DEALER", "REQ"];

#[test]
fn a_stranger_that_claims_a_long_frame_is_hung_up_on_and_the_kernel_goes_on() {
    let mut front = FrontEnd::start();
    front.run("let kept = 7;");
    for (port, kind) in front.ports.clone().into_iter().zip(PEERS) {
        for flags in [2u8, 3, 6, 7] {
            for length in [1u64 << 47, u64::MAX, 1 << 40, 1 << 31] {
                let claim = [&[flags][..], &length.to_be_bytes()].concat();
                let mut stream = stranger(port, kind);
                stream.write_all(&claim).unwrap();
                assert!(is_over(stream), "{kind} {flags} {length}");
                // Instead of the handshake's last part.
                let mut early = TcpStream::connect(("127.0.0.1", port)).unwrap();
                early.write_all(&[&b"\xff\0\0\0\0\0\0\0\0\x7f\x03\0NULL"[..], &[0; 48], &claim].concat()).unwrap();
                assert!(is_over(early), "{kind} {flags} {length}");
            }
        }
    }
    assert!(front.beats());
    assert_eq!(front.value("kept"), "7");
    assert!(front.megabytes() < 200, "{} MB", front.megabytes());
}

#[test]
fn strangers_do_not_fill_the_memory() {
    let mut front = FrontEnd::start();
    front.run("let kept = 7;");
    let before = front.megabytes();
    // Ten messages of 100 MB each, all but their last half; there is room for 256 MB of all.
    let strangers: Vec<TcpStream> = (0..10).map(|_| stranger(front.ports[0], "DEALER")).collect();
    let part = vec![0; 50 << 20];
    for mut stream in &strangers {
        stream.set_write_timeout(Some(front_end::PATIENCE)).unwrap();
        stream.write_all(&[&[2][..], &(100u64 << 20).to_be_bytes()].concat()).unwrap();
        // The kernel may hang up while it is written.
        let _ = stream.write_all(&part);
    }
    assert_eq!(front.value("kept"), "7");
    assert!(front.megabytes() < before + 400, "{} MB", front.megabytes());
    drop(strangers);
    // Messages without a signature, more than there is room for in the log.
    let mut stream = stranger(front.ports[0], "DEALER");
    for _ in 0..2000 {
        stream.write_all(b"\x01\x09<IDS|MSG>\x01\0\x01\x02{}\x01\x02{}\x01\x02{}\0\x02{}").unwrap();
    }
    assert_eq!(front.value("kept"), "7");
}

#[test]
fn a_reader_that_stops_reading_is_dropped_and_nobody_else_waits() {
    let mut front = FrontEnd::start();
    let mut stalled = stranger(front.ports[1], "SUB");
    stalled.write_all(&[0, 1, 1]).unwrap();
    assert_eq!(front.published().kind, "iopub_welcome");
    // More than the kernel keeps for a reader, and than the system's buffers take.
    let answer = front.run("let line = `x`; for i in 0..16 { line += line; } for i in 0..1600 { print(line); }");
    assert_eq!(answer.stream("stdout").len(), 1600 * ((1 << 16) + 1));
    // Longer than the kernel's patience: what is read from now on would count.
    std::thread::sleep(Duration::from_secs(5));
    assert!(is_over(stalled));
    // One that reads nothing of little output harms nobody and stays.
    let mut idle = stranger(front.ports[1], "SUB");
    idle.write_all(&[0, 1, 1]).unwrap();
    assert_eq!(front.published().kind, "iopub_welcome");
    assert_eq!(front.value("line.len()"), "65536");
}
