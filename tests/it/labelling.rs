//! The labelling page: what is acknowledged is on the disk once, and strangers are kept out.

#![allow(clippy::unwrap_used)]

mod browser;
mod points;
mod server;

use serde_json::{Value, json};
use server::{Server, answer, lines};
use std::collections::BTreeSet;
use std::io::Write;
use std::net::TcpStream;
use std::process::Command;

const SHAPES: [&str; 5] = ["shapes", "--n", "20", "--seed", "3"];

#[test]
fn answers_outlive_the_server_and_stand_once() {
    let folder = tempfile::tempdir().unwrap();
    let server = Server::start(folder.path(), &SHAPES);
    let (port, token) = (server.port, server.token.clone());
    let session = server.get("api/session").json();
    assert_eq!(session["total"], 20);
    assert_eq!(session["classes"].as_array().unwrap().len(), 10);
    assert_eq!(session["classes"][0]["examples"], 13);
    let first = server.get("api/next?labeller=ann").json()["next"][0].as_u64().unwrap();
    let told = server.post("api/answer", &answer("one", first, "star")).json();
    assert_eq!((told["done"].as_u64(), told.get("feedback")), (Some(1), None), "blind: nothing is told");
    // The acknowledgement was lost and the page sends it again.
    assert_eq!(server.post("api/answer", &answer("one", first, "star")).json()["done"], 1);
    let second = told["next"][0].as_u64().unwrap();
    assert_eq!(server.post("api/answer", &answer("two", second, "Ring")).status, 200);
    server.kill();
    // What a crash leaves of a line that was never acknowledged goes.
    let path = folder.path().join("labels.jsonl");
    let whole = std::fs::read_to_string(&path).unwrap();
    std::fs::write(&path, format!("{whole}{{\"kind\":\"answer\",\"id\":\"tor")).unwrap();

    let server = Server::start(folder.path(), &SHAPES);
    assert_eq!((server.port, &server.token), (port, &token), "an open page goes on");
    assert_eq!(server.post("api/answer", &answer("two", second, "ring")).json()["done"], 2);
    let all = lines(folder.path());
    assert_eq!(all.iter().map(|l| l["id"].as_str().unwrap()).collect::<Vec<_>>(), ["answer-one", "answer-two"]);
    assert_eq!(all[1]["guesses"], json!(["ring"]));
    assert_eq!(all[0]["time_s"], 1.25);
    // Taking back, sent twice, takes back one answer.
    let back = json!({ "id": "undo-0001", "labeller": "ann" });
    assert_eq!(server.post("api/undo", &back).json()["undone"], json!({ "place": second, "guesses": ["ring"] }));
    let told = server.post("api/undo", &back).json();
    assert_eq!((&told["done"], &told["undone"]["place"]), (&json!(1), &json!(second)));
    assert_eq!(lines(folder.path()).len(), 3);
    // Another person has a session of their own, in the same order.
    let bob = server.get("api/next?labeller=bob").json();
    assert_eq!((bob["done"].as_u64(), bob["next"][0].as_u64()), (Some(0), Some(first)));
    let people = server.get("api/session").json()["people"].clone();
    assert_eq!(people, json!([{ "name": "ann", "done": 1 }]));
    // A second server on the same file is refused.
    let other = Command::new(env!("CARGO_BIN_EXE_convscope"))
        .args(["label", "shapes"])
        .current_dir(folder.path())
        .output()
        .unwrap();
    assert_eq!(other.status.code(), Some(1));
    assert!(String::from_utf8_lossy(&other.stderr).contains("in use by another session"));
}

#[test]
fn classes_stand_in_a_tree_to_browse() {
    let folder = tempfile::tempdir().unwrap();
    let csv = "node,parent\nsquare,angular\ntriangle,angular\nstar,angular\ncircle,round\nring,round\nangular,shape\nround,shape\n";
    std::fs::write(folder.path().join("tree.csv"), csv).unwrap();
    let tree = ["--tree", "tree.csv"];
    let server = Server::start(folder.path(), &[&SHAPES[..], &tree].concat());
    let session = server.get("api/session").json();
    let name =
        |class: &Value| session["classes"][class.as_u64().unwrap() as usize]["name"].as_str().unwrap().to_string();
    let branches = session["tree"]["below"].as_array().unwrap()[0]["below"].as_array().unwrap();
    let below = |i: usize| -> Vec<String> {
        branches[i]["below"].as_array().unwrap().iter().map(|b| name(&b["class"])).collect()
    };
    assert_eq!((branches[0]["name"].as_str(), branches[1]["name"].as_str()), (Some("angular"), Some("round")));
    assert_eq!(
        (below(0), below(1)),
        (vec!["square".into(), "triangle".into(), "star".into()], vec!["circle".into(), "ring".into()])
    );
    let others = &session["tree"]["below"][1];
    assert_eq!((others["name"].as_str(), others["count"].as_u64()), (Some("not in the tree"), Some(5)));
    std::fs::write(folder.path().join("tree.csv"), "node,parent\npoodle,dog\n").unwrap();
    let wrong = Command::new(env!("CARGO_BIN_EXE_convscope"))
        .args(["label", "shapes", "--tree", "tree.csv", "--out", "other.jsonl"])
        .current_dir(folder.path())
        .output()
        .unwrap();
    assert_eq!(wrong.status.code(), Some(1));
    assert!(String::from_utf8_lossy(&wrong.stderr).contains("none of its nodes is one of the 10 classes"));
}

#[test]
fn answers_that_make_no_sense_are_refused_and_not_kept() {
    let folder = tempfile::tempdir().unwrap();
    let server = Server::start(folder.path(), &SHAPES);
    let with = |key: &str, value: Value| {
        let mut a = answer("odd", 0, "star");
        a[key] = value;
        server.post("api/answer", &a)
    };
    for (key, value) in [
        ("guesses", json!(["unicorn"])),
        ("guesses", json!(["star", "STAR"])),
        ("guesses", json!([])),
        ("guesses", json!(["star", "ring", "heart", "cross", "arrow", "circle"])),
        ("skipped", json!(true)),
        ("place", json!(20)),
        ("place", json!(-1)),
        ("place", json!("../0")),
        ("labeller", json!("  ")),
        ("labeller", json!("a\nb")),
        ("labeller", json!("\u{200b}")),
        ("labeller", json!("ann\u{200b}")),
        ("labeller", json!("\u{202e}nna")),
        ("labeller", json!("x".repeat(61))),
        ("id", json!("short")),
        ("id", json!("with spaces in it")),
        ("time_s", json!(-1)),
        ("time_s", json!(1e300)),
    ] {
        let reply = with(key, value.clone());
        assert!((400..500).contains(&reply.status), "{key}: {value} gives {}", reply.status);
    }
    let long = format!("{{\"id\":\"{}\"}}", "x".repeat(100_000));
    let headers = format!("{}Content-Type: application/json\r\n", server.host());
    assert_eq!(server.with("POST", &format!("/{}/api/answer", server.token), &headers, &long).status, 413);
    assert_eq!(server.post("api/undo", &json!({ "id": "undo-0001", "labeller": "ann" })).status, 404);
    assert!(lines(folder.path()).is_empty());
}

#[test]
fn an_id_stands_for_one_answer() {
    let folder = tempfile::tempdir().unwrap();
    let server = Server::start(folder.path(), &SHAPES);
    let one = answer("one", 0, "star");
    assert_eq!(server.post("api/answer", &one).status, 200);
    for (key, value) in
        [("guesses", json!(["ring"])), ("place", json!(1)), ("labeller", json!("bob")), ("time_s", json!(2))]
    {
        let mut other = one.clone();
        other[key] = value;
        let reply = server.post("api/answer", &other);
        assert_eq!(reply.status, 409, "{key}");
        assert!(reply.json()["error"].as_str().unwrap().contains("answer-one"), "{}", reply.json());
    }
    assert_eq!(server.post("api/undo", &json!({ "id": "answer-one", "labeller": "ann" })).status, 409);
    assert_eq!(lines(folder.path()).len(), 1);
    // The same again is acknowledged again, and so is the same taking back; another person's is none.
    assert_eq!(server.post("api/answer", &one).json()["done"], 1);
    let back = |who: &str| json!({ "id": "undo-0001", "labeller": who });
    assert_eq!(server.post("api/undo", &back("ann")).status, 200);
    assert_eq!(server.post("api/undo", &back("ann")).status, 200);
    assert_eq!(server.post("api/undo", &back("bob")).status, 409);
    let mut other = answer("two", 1, "star");
    other["id"] = json!("undo-0001");
    assert_eq!(server.post("api/answer", &other).status, 409);
    assert_eq!(lines(folder.path()).len(), 2);
}

#[cfg(unix)]
#[test]
fn nothing_is_acknowledged_while_the_file_is_not_in_its_place() {
    let folder = tempfile::tempdir().unwrap();
    let server = Server::start(folder.path(), &SHAPES);
    let (path, aside) = (folder.path().join("labels.jsonl"), folder.path().join("aside.jsonl"));
    let one = answer("one", 0, "star");
    assert_eq!(server.post("api/answer", &one).status, 200);
    let refused = |part: &str| {
        for (what, body) in [
            ("api/answer", &answer("two", 1, "ring")),
            ("api/answer", &one),
            ("api/undo", &json!({ "id": "undo-0001", "labeller": "ann" })),
        ] {
            let reply = server.post(what, body);
            assert_eq!(reply.status, 500, "{part}: {body}");
            let told = reply.json();
            assert!(told["error"].as_str().unwrap().contains(part) && told["hint"].is_string(), "{told}");
        }
    };
    std::fs::rename(&path, &aside).unwrap();
    refused("was moved, deleted or replaced");
    assert!(!path.exists());
    std::fs::copy(&aside, &path).unwrap();
    refused("was moved, deleted or replaced");
    std::fs::rename(&aside, &path).unwrap();
    assert_eq!(server.post("api/answer", &answer("two", 1, "ring")).json()["done"], 2);
    let whole = std::fs::read(&path).unwrap();
    let first = whole.iter().position(|b| *b == b'\n').unwrap() + 1;
    std::fs::write(&path, &whole[..first]).unwrap();
    refused("another program changed it");
    assert_eq!(std::fs::read(&path).unwrap(), whole[..first], "nothing is written behind the end");
    server.kill();
    // It goes on with the file that is there.
    let server = Server::start(folder.path(), &SHAPES);
    assert_eq!(server.get("api/next?labeller=ann").json()["done"], 1);
    std::fs::remove_file(&path).unwrap();
    assert_eq!(server.post("api/answer", &answer("three", 2, "ring")).status, 500);
}

#[test]
fn strangers_are_kept_out() {
    let folder = tempfile::tempdir().unwrap();
    std::fs::write(folder.path().join("secret.txt"), "secret").unwrap();
    let server = Server::start(folder.path(), &SHAPES);
    let (host, port, token) = (server.host(), server.port, server.token.clone());
    let page = server.get("");
    assert_eq!(page.status, 200);
    for header in [
        "content-security-policy: default-src 'none'",
        "nosniff",
        "no-referrer",
        "cache-control: no-store",
        "x-frame-options: DENY",
    ] {
        assert!(page.head.to_lowercase().contains(&header.to_lowercase()), "no {header} in {}", page.head);
    }
    assert!(!page.head.to_lowercase().contains("access-control-allow"));
    let text = String::from_utf8(page.body).unwrap();
    assert!(
        !text.contains("http://") && !text.contains("https://") && !text.contains("//cdn"),
        "the page loads something"
    );

    // Without the token, with a wrong one, or a part of it: nothing is here.
    let wrong = format!("{}0", &token[..31]).replace(&token, "f");
    for path in [
        "/",
        "/api/session",
        "/image/0",
        &format!("/{}/", &token[..31]),
        &format!("/{wrong}x/"),
        &format!("//{token}/"),
    ] {
        assert_eq!(server.with("GET", path, &host, "").status, 404, "{path}");
    }
    // Foreign hosts: a name that was made to point here, another port, none, two.
    let inside = format!("/{token}/api/session");
    for bad in [
        format!("Host: evil.example:{port}\r\n"),
        "Host: 127.0.0.1\r\n".to_string(),
        format!("Host: 127.0.0.1.evil.example:{port}\r\n"),
        format!("Host: 127.0.0.1:{}\r\n", port ^ 1),
        format!("Host: evil@127.0.0.1:{port}\r\n"),
        format!("{host}Host: evil.example:{port}\r\n"),
        String::new(),
    ] {
        let status = server.with("GET", &inside, &bad, "").status;
        assert!((400..500).contains(&status), "{bad:?} gives {status}");
    }
    assert_eq!(server.with("GET", &inside, &format!("Host: localhost:{port}\r\n"), "").status, 200);
    // Other origins: pages elsewhere, and this machine's other servers.
    for bad in [
        "Origin: http://evil.example\r\n".to_string(),
        "Origin: null\r\n".to_string(),
        format!("Origin: https://127.0.0.1:{port}\r\n"),
        format!("Origin: http://127.0.0.1:{}\r\n", port ^ 1),
        "Sec-Fetch-Site: cross-site\r\n".to_string(),
        "Sec-Fetch-Site: same-site\r\n".to_string(),
    ] {
        let json = "Content-Type: application/json\r\n";
        let body = answer("evil", 0, "star").to_string();
        let status = server.with("POST", &format!("/{token}/api/answer"), &format!("{host}{bad}{json}"), &body).status;
        assert_eq!(status, 403, "{bad}");
    }
    // What a form of another page can send.
    for kind in ["text/plain", "application/x-www-form-urlencoded", "multipart/form-data"] {
        let headers = format!("{host}Content-Type: {kind}\r\n");
        let body = answer("form", 0, "star").to_string();
        assert_eq!(server.with("POST", &format!("/{token}/api/answer"), &headers, &body).status, 415, "{kind}");
    }
    assert!(lines(folder.path()).is_empty());
    // Paths that lead elsewhere.
    for path in [
        "../secret.txt",
        "image/../../secret.txt",
        "image/..%2f..%2fsecret.txt",
        "image/%2e%2e/secret.txt",
        "examples/../secret.txt",
        "image/0/../../../secret.txt",
        "page.js/../../secret.txt",
        "image/secret.txt",
        "image/-1",
        "image/99999999999999999999",
        "image/0%00",
        "..\\secret.txt",
        "labels.jsonl",
        "%2e%2e%2fsecret.txt",
        "image//etc/passwd",
    ] {
        let reply = server.get(path);
        assert!((400..500).contains(&reply.status), "{path} gives {}", reply.status);
        assert!(!String::from_utf8_lossy(&reply.body).contains("secret\n") && reply.body != b"secret");
    }
    for method in ["PUT", "DELETE", "OPTIONS", "TRACE"] {
        let status = server.with(method, &format!("/{token}/api/answer"), &host, "").status;
        assert!((400..500).contains(&status), "{method} gives {status}");
    }
    #[cfg(unix)]
    {
        use std::os::unix::fs::PermissionsExt;
        let mode = std::fs::metadata(folder.path().join("labels.jsonl.address")).unwrap().permissions().mode();
        assert_eq!(mode & 0o777, 0o600, "the address is its owner's alone");
    }
}

#[test]
fn training_tells_and_blindness_does_not() {
    let folder = tempfile::tempdir().unwrap();
    let server = Server::start(folder.path(), &[&SHAPES[..], &["--training", "--net", "shapes"]].concat());
    let told = server.post("api/answer", &answer("one", 0, "star")).json();
    let feedback = &told["feedback"];
    assert!(feedback["truth"][1].is_string(), "{feedback}");
    let net = feedback["net"].as_array().unwrap();
    assert_eq!(net.len(), 5);
    assert!(net[0][1].as_f64() >= net[1][1].as_f64());
    assert_eq!(lines(folder.path())[0]["training"], true);
    // Nothing that the page is told before an answer names what an image shows.
    let before = server.get("api/next?labeller=bob");
    assert!(!String::from_utf8_lossy(&before.body).contains("shapes/"));
    let picture = server.get("image/0");
    assert!(picture.head.contains("image/png") && !picture.head.to_lowercase().contains("filename"));
    let strip = server.get("examples/0");
    assert!(strip.head.contains("image/jpeg") && strip.body.len() > 1000);
}

#[test]
fn reviewers_tell_errors_apart() {
    let folder = tempfile::tempdir().unwrap();
    let label = Server::start(folder.path(), &SHAPES);
    for place in 0..20 {
        label.post("api/answer", &answer(&format!("{place:04}"), place, "star"));
    }
    label.kill();
    let server = Server::start(folder.path(), &[&SHAPES[..], &["--review", "--net", "shapes"]].concat());
    let errors = server.get("api/errors").json();
    let errors = errors.as_array().unwrap();
    // Each block of ten images holds each of the ten classes once: two of twenty are stars.
    assert_eq!(errors.iter().filter(|e| e["person"] == true).count(), 18);
    let first = &errors[0];
    let tag = json!({ "id": "tag-000001", "by": "rev", "subject": first["subject"], "place": first["place"], "kinds": ["fine-grained"] });
    assert_eq!(server.post("api/tag", &tag).status, 200);
    let odd = json!({ "id": "tag-000002", "by": "rev", "subject": "ann", "place": 0, "kinds": ["bad luck"] });
    assert_eq!(server.post("api/tag", &odd).status, 404);
    let again = server.get("api/errors").json();
    let of = again
        .as_array()
        .unwrap()
        .iter()
        .find(|e| e["place"] == first["place"] && e["subject"] == first["subject"])
        .unwrap();
    assert_eq!(of["kinds"]["rev"], json!(["fine-grained"]));
}

#[cfg(unix)]
#[test]
fn a_signal_ends_it_at_once_whatever_connections_are_open() {
    let open = |request: fn(&Server) -> String| {
        let folder = tempfile::tempdir().unwrap();
        let mut server = Server::start(folder.path(), &SHAPES);
        let mut stream = TcpStream::connect(("127.0.0.1", server.port)).unwrap();
        stream.write_all(request(&server).as_bytes()).unwrap();
        // The server has seen it when it has answered what came later.
        assert_eq!(server.get("api/session").status, 200);
        let signalled = Command::new("kill").args(["-INT", &server.child.id().to_string()]).status().unwrap();
        assert!(signalled.success());
        // Less than any of its timeouts.
        for _ in 0..500 {
            if let Some(status) = server.child.try_wait().unwrap() {
                return status.code();
            }
            std::thread::sleep(std::time::Duration::from_millis(10));
        }
        None
    };
    assert_eq!(open(|_| String::new()), Some(0), "a connection that says nothing");
    assert_eq!(open(|_| "GET / HT".into()), Some(0), "half a line");
    assert_eq!(open(|_| "GET / HTTP/1.1\r\nHost: x\r\nX".into()), Some(0), "half a head");
    assert_eq!(open(|s| format!("GET / HTTP/1.1\r\n{}\r\n", s.host())), Some(0), "an idle connection");
    assert_eq!(open(|s| half_body(s, "0")), Some(0), "half a body, without the token");
    assert_eq!(open(|s| half_body(s, &s.token)), Some(0), "half a body");
    assert_eq!(
        open(|s| format!("GET /{}/image/0 HTTP/1.1\r\n{}\r\n", s.token, s.host()).repeat(50)),
        Some(0),
        "unread answers"
    );
}

#[cfg(unix)]
fn half_body(server: &Server, token: &str) -> String {
    let host = server.host();
    format!(
        "POST /{token}/api/answer HTTP/1.1\r\n{host}Content-Type: application/json\r\nContent-Length: 100\r\n\r\n{{"
    )
}

#[cfg(unix)]
#[test]
fn the_address_is_its_owners_alone_from_the_start() {
    use std::os::unix::fs::PermissionsExt;
    use std::sync::atomic::{AtomicBool, Ordering};
    let folder = tempfile::tempdir().unwrap();
    let over = AtomicBool::new(false);
    let seen = std::thread::scope(|scope| {
        let watcher = scope.spawn(|| {
            let mut seen = BTreeSet::new();
            while !over.load(Ordering::SeqCst) {
                for entry in std::fs::read_dir(folder.path()).unwrap().flatten() {
                    let name = entry.file_name().to_string_lossy().into_owned();
                    // The answers are no secret; a file may go while it is looked at.
                    if name != "labels.jsonl"
                        && let Ok(about) = entry.metadata()
                    {
                        seen.insert((name, about.permissions().mode() & 0o777));
                    }
                }
            }
            seen
        });
        for _ in 0..10 {
            let _ = std::fs::remove_file(folder.path().join("labels.jsonl.address"));
            Server::start_under("umask 0", folder.path(), &SHAPES).kill();
        }
        over.store(true, Ordering::SeqCst);
        watcher.join().unwrap()
    });
    assert!(seen.iter().any(|(name, _)| name == "labels.jsonl.address"), "{seen:?}");
    assert!(seen.iter().all(|(_, mode)| *mode == 0o600), "{seen:?}");
}

#[cfg(unix)]
#[test]
fn on_a_full_disk_a_session_can_be_looked_at_and_answers_are_refused() {
    let folder = tempfile::tempdir().unwrap();
    let server = Server::start(folder.path(), &SHAPES);
    let (port, token) = (server.port, server.token.clone());
    assert_eq!(server.post("api/answer", &answer("one", 0, "star")).status, 200);
    server.kill();
    // No file can grow.
    let server = Server::start_under("trap '' XFSZ; ulimit -f 0", folder.path(), &SHAPES);
    assert_eq!((server.port, &server.token), (port, &token));
    let session = server.get("api/session").json();
    assert_eq!(session["people"], json!([{ "name": "ann", "done": 1 }]));
    let refused = server.post("api/answer", &answer("two", 1, "star"));
    assert_eq!(refused.status, 500);
    assert!(refused.json()["error"].as_str().unwrap().contains("labels.jsonl"), "{}", refused.json());
    assert_eq!(server.get("api/next?labeller=ann").json()["done"], 1, "what is not on the disk does not count");
    server.kill();
    assert_eq!(lines(folder.path()).len(), 1);
}

#[test]
fn many_answers_are_all_there() {
    let many = if std::env::var_os("CONVSCOPE_LOAD").is_some_and(|v| v == "1") { 10_000 } else { 500 };
    let folder = tempfile::tempdir().unwrap();
    let server = Server::start(folder.path(), &["shapes", "--n", &many.to_string()]);
    let begun = std::time::Instant::now();
    for i in 0..many {
        let told = server.post("api/answer", &answer(&format!("{i:05}"), i, "star")).json();
        assert_eq!(told["done"].as_u64(), Some(i + 1));
    }
    println!("{many} answers: {:.1} s", begun.elapsed().as_secs_f64());
    server.kill();
    let images: BTreeSet<String> = lines(folder.path()).iter().map(|l| l["image"].to_string()).collect();
    assert_eq!(images.len() as u64, many);
    let server = Server::start(folder.path(), &["shapes", "--n", &many.to_string()]);
    assert_eq!(server.get("api/next?labeller=ann").json(), json!({ "done": many, "skipped": 0, "next": [] }));
}
