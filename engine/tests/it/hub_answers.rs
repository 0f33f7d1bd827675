//! What the client of the Hub makes of answers: files that lie elsewhere, are damaged or break off, repositories that are
//! renamed, private, gated or busy, lists in pages, and the cache that it shares with Python's `huggingface_hub`.

use convscope_engine::load::hub::{Fetched, Hub, fetch};
use convscope_engine::{Kind, Result};
use sha2::{Digest, Sha256};
use std::io::{BufRead, BufReader, Write};
use std::net::{TcpListener, TcpStream};
use std::path::{Path, PathBuf};
use std::sync::{Arc, Mutex};

const COMMIT: &str = "0123456789abcdef0123456789abcdef01234567";
const NET: &[u8] = b"the bytes of a net";

/// A request's method and path, and who asks.
#[derive(Clone, PartialEq)]
struct Request {
    line: String,
    authorization: Option<String>,
}

/// Status and headers, a body, and how much of it is sent.
struct Reply {
    head: String,
    body: Vec<u8>,
    sent: usize,
}

fn reply(head: &str, body: &[u8]) -> Reply {
    Reply { head: head.to_string(), body: body.to_vec(), sent: body.len() }
}

fn file(body: &[u8]) -> Reply {
    let etag: String = Sha256::digest(body).iter().take(20).map(|b| format!("{b:02x}")).collect();
    reply(&format!("200 OK\r\nX-Repo-Commit: {COMMIT}\r\nETag: \"{etag}\""), body)
}

fn absent() -> Reply {
    reply(&format!("404 Not Found\r\nX-Error-Code: EntryNotFound\r\nX-Repo-Commit: {COMMIT}"), b"")
}

fn sha256(body: &[u8]) -> String {
    Sha256::digest(body).iter().map(|b| format!("{b:02x}")).collect()
}

/// A server on loopback: its address, and the requests that it has had.
fn serve(answer: impl Fn(&Request) -> Reply + Send + 'static) -> (String, Arc<Mutex<Vec<Request>>>) {
    let listener = TcpListener::bind("127.0.0.1:0").unwrap();
    let address = format!("http://{}", listener.local_addr().unwrap());
    let requests = Arc::new(Mutex::new(Vec::new()));
    let seen = requests.clone();
    std::thread::spawn(move || {
        for stream in listener.incoming().flatten() {
            let _ = converse(stream, &answer, &seen);
        }
    });
    (address, requests)
}

fn converse(
    mut stream: TcpStream,
    answer: &impl Fn(&Request) -> Reply,
    seen: &Mutex<Vec<Request>>,
) -> std::io::Result<()> {
    let mut lines = BufReader::new(stream.try_clone()?).lines();
    let line = lines.next().unwrap_or(Ok(String::new()))?.replace(" HTTP/1.1", "");
    let mut request = Request { line, authorization: None };
    for line in lines {
        let line = line?;
        let Some((name, value)) = line.split_once(": ") else { break };
        if name.eq_ignore_ascii_case("authorization") {
            request.authorization = Some(value.to_string());
        }
    }
    seen.lock().unwrap().push(request.clone());
    let reply = answer(&request);
    write!(stream, "HTTP/1.1 {}\r\nContent-Length: {}\r\n", reply.head, reply.body.len())?;
    write!(stream, "Connection: close\r\n\r\n")?;
    if request.line.starts_with("GET") { stream.write_all(&reply.body[..reply.sent]) } else { Ok(()) }
}

fn get(endpoint: &str, cache: &Path, id: &str) -> Result<Fetched> {
    get_as(endpoint, cache, id, None)
}

fn get_as(endpoint: &str, cache: &Path, id: &str, token: Option<&str>) -> Result<Fetched> {
    let hub = Hub { endpoint: endpoint.into(), token: token.map(String::from), cache: cache.into() };
    fetch(&hub, id, &|_| {})
}

fn refused(result: Result<Fetched>) -> (Kind, String) {
    let error = result.err().unwrap();
    (error.kind, format!("{} ({})", error.message, error.hint.unwrap_or_default()))
}

/// The files of a folder, by their paths in it.
fn files(folder: &Path) -> Vec<String> {
    fn collect(at: &Path, found: &mut Vec<PathBuf>) {
        for entry in std::fs::read_dir(at).into_iter().flatten().flatten() {
            match entry.file_type().unwrap().is_dir() {
                true => collect(&entry.path(), found),
                false => found.push(entry.path()),
            }
        }
    }
    let mut found = Vec::new();
    collect(folder, &mut found);
    let mut found: Vec<String> =
        found.iter().map(|p| p.strip_prefix(folder).unwrap().to_string_lossy().replace('\\', "/")).collect();
    found.sort();
    found
}

#[test]
fn the_cache_is_laid_out_as_huggingface_hub_does() {
    let folder = tempfile::tempdir().unwrap();
    let (hub, requests) = serve(|request| match request.line.rsplit_once("/resolve/").unwrap_or_default().1 {
        "refs%2Fpr%2F1/onnx/model.onnx" => file(NET),
        _ => absent(),
    });
    let got = get(&hub, folder.path(), "org/net@refs/pr/1").unwrap();
    assert_eq!(std::fs::read(&got.file).unwrap(), NET);
    let etag = &sha256(NET)[..40];
    let expected = [
        format!(".locks/models--org--net/{etag}.lock"),
        format!("models--org--net/.no_exist/{COMMIT}/config.json"),
        format!("models--org--net/.no_exist/{COMMIT}/model.onnx"),
        format!("models--org--net/blobs/{etag}"),
        "models--org--net/refs/refs/pr/1".to_string(),
        format!("models--org--net/snapshots/{COMMIT}/onnx/model.onnx"),
    ];
    assert_eq!(files(folder.path()), expected);
    assert_eq!(std::fs::read_to_string(folder.path().join(&expected[4])).unwrap(), COMMIT);
    #[cfg(unix)]
    assert_eq!(std::fs::read_link(&got.file).unwrap(), PathBuf::from(format!("../../../blobs/{etag}")));

    // Once more: the bytes are there, and are not sent again.
    requests.lock().unwrap().clear();
    assert_eq!(get(&hub, folder.path(), "org/net@refs/pr/1").unwrap().file, got.file);
    assert!(requests.lock().unwrap().iter().all(|r| r.line.starts_with("HEAD ")));
    // A commit never changes: what is there is not asked for.
    requests.lock().unwrap().clear();
    assert_eq!(get(&hub, folder.path(), &format!("org/net@{COMMIT}")).unwrap().file, got.file);
    assert!(requests.lock().unwrap().iter().all(|r| !r.line.contains("onnx/model.onnx")));
    // Nobody answers: the cache does.
    let gone = TcpListener::bind("127.0.0.1:0").unwrap().local_addr().unwrap();
    assert_eq!(get(&format!("http://{gone}"), folder.path(), "org/net@refs/pr/1").unwrap().file, got.file);
}

#[test]
fn a_large_file_comes_from_elsewhere_without_the_token_and_is_checked() {
    for (sent, content, told) in
        [(NET.len(), NET, ""), (NET.len(), &b"the bytes of a nut"[..], "SHA-256"), (7, NET, "cannot be reached")]
    {
        let folder = tempfile::tempdir().unwrap();
        let body = content.to_vec();
        let (elsewhere, asked) = serve(move |_| Reply { sent, ..reply("200 OK", &body) });
        let elsewhere = elsewhere.replace("127.0.0.1", "localhost");
        let (hub, _) = serve(move |request| match request.line.ends_with("/resolve/main/model.onnx") {
            true => reply(
                &format!(
                    "302 Found\r\nLocation: {elsewhere}/blob\r\nX-Repo-Commit: {COMMIT}\r\nX-Linked-Etag: \"{}\"",
                    sha256(NET)
                ),
                b"",
            ),
            false => absent(),
        });
        let got = get_as(&hub, folder.path(), "org/net", Some("secret"));
        assert!(asked.lock().unwrap().iter().all(|r| r.line == "GET /blob" && r.authorization.is_none()));
        match got {
            Ok(got) if told.is_empty() => assert_eq!(std::fs::read(&got.file).unwrap(), NET),
            got => {
                let (kind, message) = refused(got);
                assert!(kind == Kind::Io && message.contains(told), "{message}");
                assert!(files(folder.path()).iter().all(|f| !f.contains("blobs") && !f.contains("snapshots")));
            }
        }
    }
}

#[test]
fn a_renamed_repository_is_followed() {
    let folder = tempfile::tempdir().unwrap();
    let (hub, _) = serve(|request| match request.line.split_once(' ').unwrap_or_default().1 {
        "/Org/net/resolve/main/model.onnx" => file(NET),
        path if path.starts_with("/org/") => {
            reply(&format!("307 Temporary Redirect\r\nLocation: {}", path.replacen("org", "Org", 1)), b"")
        }
        _ => absent(),
    });
    assert_eq!(std::fs::read(get(&hub, folder.path(), "org/net").unwrap().file).unwrap(), NET);
    let (hub, _) = serve(|_| reply("307 Temporary Redirect\r\nLocation: /round", b""));
    assert!(refused(get(&hub, folder.path(), "org/round")).1.contains("one address to the next"));
}

#[test]
fn who_may_not_read_is_told_why() {
    let folder = tempfile::tempdir().unwrap();
    let (hub, _) = serve(|request| match &request.authorization {
        None if request.line.contains("gated") => {
            reply("403 Forbidden\r\nX-Error-Code: GatedRepo\r\nX-Error-Message: ask its authors", b"")
        }
        Some(token) if token == "Bearer secret" && request.line.ends_with("model.onnx") => file(NET),
        Some(_) => absent(),
        None if request.line.contains("unknown") => reply("404 Not Found\r\nX-Error-Code: RevisionNotFound", b""),
        None => reply("401 Unauthorized", b"{\"error\": \"Invalid username or password.\"}"),
    });
    let (kind, message) = refused(get(&hub, folder.path(), "org/private"));
    assert!(kind == Kind::NotFound && message.contains("HF_TOKEN"), "{message}");
    assert!(get_as(&hub, folder.path(), "org/private", Some("secret")).is_ok());
    let (_, message) = refused(get(&hub, folder.path(), "org/gated"));
    assert!(message.contains("ask its authors") && message.contains("accept its terms"), "{message}");
    let (kind, message) = refused(get(&hub, folder.path(), "org/net@unknown"));
    assert!(kind == Kind::NotFound && message.contains("no revision `unknown`"), "{message}");
    for id in ["../net", "org/..", "org/net@../x", "org/net@"] {
        assert_eq!(refused(get(&hub, folder.path(), id)).0, Kind::Value, "{id}");
    }
    assert_eq!(refused(get("huggingface.co", folder.path(), "org/net")).0, Kind::Value);
}

#[test]
fn a_busy_hub_is_asked_again() {
    let folder = tempfile::tempdir().unwrap();
    let asked = Mutex::new(0);
    let (hub, _) = serve(move |request| {
        let mut asked = asked.lock().unwrap();
        *asked += 1;
        match *asked {
            1 | 2 => reply("503 Service Unavailable", b""),
            _ if request.line.ends_with("model.onnx") => file(NET),
            _ => absent(),
        }
    });
    assert!(get(&hub, folder.path(), "org/net").is_ok());
}

#[test]
fn one_onnx_file_is_found_in_a_list_of_pages() {
    let folder = tempfile::tempdir().unwrap();
    let here = Arc::new(Mutex::new(String::new()));
    let own = here.clone();
    let list = |paths: &[&str]| {
        let entries: Vec<_> = paths.iter().map(|p| serde_json::json!({ "type": "file", "path": p })).collect();
        serde_json::Value::from(entries).to_string().into_bytes()
    };
    let (hub, _) = serve(move |request| match request.line.split_once(' ').unwrap_or_default().1 {
        "/api/models/org/net/tree/main?recursive=true" => {
            let next = format!("<{}/more>; rel=\"next\"", own.lock().unwrap());
            reply(&format!("200 OK\r\nLink: {next}"), &list(&["README.md", "../out.onnx"]))
        }
        "/more" => reply("200 OK", &list(&["deep/a net.onnx"])),
        "/org/net/resolve/main/deep/a%20net.onnx" => file(NET),
        "/api/models/org/two/tree/main?recursive=true" => reply("200 OK", &list(&["a.onnx", "b.onnx"])),
        _ => absent(),
    });
    here.lock().unwrap().clone_from(&hub);
    let got = get(&hub, folder.path(), "org/net").unwrap();
    assert!(got.file.ends_with("deep/a net.onnx") && std::fs::read(&got.file).unwrap() == NET);
    let (kind, message) = refused(get(&hub, folder.path(), "org/two"));
    assert!(kind == Kind::Unsupported && message.contains("2 ONNX files: a.onnx, b.onnx"), "{message}");
}

#[test]
fn a_name_that_leaves_the_cache_is_refused() {
    let folder = tempfile::tempdir().unwrap();
    for head in [format!("X-Repo-Commit: {COMMIT}\r\nETag: \"../x\""), "X-Repo-Commit: ..\r\nETag: \"a\"".to_string()] {
        let (hub, _) = serve(move |_| reply(&format!("200 OK\r\n{head}"), NET));
        let (kind, message) = refused(get(&hub, folder.path(), "org/net"));
        assert!(kind == Kind::Io && message.contains("does not say which version"), "{message}");
    }
    assert_eq!(files(folder.path()), [""; 0]);
}
