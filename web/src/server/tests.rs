//! Tests with clients that are slow or silent. The clock is paused and advances only when all tasks wait.
#![allow(clippy::unwrap_used)]

use super::*;
use axum::routing::post;
use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::TcpStream;
use tokio::time::{Instant, timeout};

/// Bytes of an answer that the system's buffers do not take.
const UNBUFFERED_BYTES: usize = 64 << 20;

/// What comes back for a request that ends too early; the seconds until the server hung up.
fn talk(request: &str, reads: bool) -> (String, f64) {
    let runtime = tokio::runtime::Builder::new_current_thread().enable_all().start_paused(true).build().unwrap();
    runtime.block_on(async {
        let routes = Router::new()
            .route("/echo", post(|body: String| async { body }))
            .route("/long", get(|| async { "x".repeat(UNBUFFERED_BYTES) }));
        let listener = TcpListener::bind((Ipv4Addr::LOCALHOST, 0)).await.unwrap();
        let address = Address { port: listener.local_addr().unwrap().port(), token: "secret".into() };
        let mut connections = Connections::new(guarded(Page { html: "page", routes }, &address));
        let request = request.replace("HOST", &format!("127.0.0.1:{}", address.port));
        let begun = Instant::now();
        let client = async {
            let mut stream = TcpStream::connect((Ipv4Addr::LOCALHOST, address.port)).await.unwrap();
            stream.write_all(request.as_bytes()).await.unwrap();
            if !reads {
                tokio::time::sleep(Duration::from_secs(100)).await;
            }
            let mut answer = Vec::new();
            // What was not read in time is lost with the connection.
            let _ = timeout(Duration::from_secs(100), stream.read_to_end(&mut answer)).await.expect("it stays open");
            (String::from_utf8(answer).unwrap(), begun.elapsed().as_secs_f64())
        };
        tokio::select! {
            () = connections.accept(&listener) => unreachable!(),
            answer = client => answer,
        }
    })
}

#[test]
fn slow_and_silent_connections_are_closed() {
    let post =
        "POST /secret/echo HTTP/1.1\r\nHost: HOST\r\nContent-Type: application/json\r\nContent-Length: 4\r\n\r\n";
    for (request, status) in [
        ("", ""),
        ("GET /secret/ HT", ""),
        ("GET /secret/ HTTP/1.1\r\nHost: HOST\r\nX", ""),
        ("GET /secret/ HTTP/1.1\r\nHost: HOST\r\n\r\n", "200"),
        (&format!("{post}ab"), "408"),
        (&format!("{post}abcd"), "200"),
        (&format!("{post}abcdGET /"), "200"),
    ] {
        let (answer, seconds) = talk(request, true);
        assert_eq!(answer.split(' ').nth(1).unwrap_or_default(), status, "{request:?}: {answer}");
        assert!((9.0..31.0).contains(&seconds), "{request:?} ends after {seconds} s");
    }
}

#[test]
fn a_client_that_does_not_read_is_hung_up_on() {
    let (answer, _) = talk("GET /secret/long HTTP/1.1\r\nHost: HOST\r\n\r\n", false);
    assert!(answer.starts_with("HTTP/1.1 200") && answer.len() < UNBUFFERED_BYTES, "{} bytes", answer.len());
}

#[test]
fn long_texts_are_refused() {
    let head = "POST /secret/echo HTTP/1.1\r\nHost: HOST\r\nContent-Type: application/json\r\n";
    let long = "x".repeat(70_000);
    let (answer, _) = talk(&format!("{head}Content-Length: 70000\r\n\r\n{long}"), true);
    assert!(answer.starts_with("HTTP/1.1 413"), "{answer}");
    let (answer, _) = talk(&format!("{head}Transfer-Encoding: chunked\r\n\r\n11170\r\n{long}\r\n0\r\n\r\n"), true);
    assert!(answer.starts_with("HTTP/1.1 413"), "{answer}");
}
