//! `load_model("hf:org/repo")` against a small Hub on loopback: timm's files, an unknown repository, the cache when the Hub
//! is gone.

#![allow(clippy::unwrap_used)]

use crate::{golden, own_process, zoo_files};
use convscope_engine::data::{Interpolation, Resize, Size};
use convscope_engine::load::{LoadOptions, load_model};
use convscope_engine::{Kind, Model, Result};
use std::collections::BTreeMap;
use std::io::{BufRead, BufReader, Write};
use std::net::{TcpListener, TcpStream};
use std::path::Path;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};

const COMMIT: &str = "0123456789abcdef0123456789abcdef01234567";

/// Answers one connection as the Hub does: files under /org/repo/resolve/main/, 404 with X-Error-Code for all else.
fn answer(mut stream: TcpStream, files: &BTreeMap<String, Vec<u8>>, gone: &AtomicBool) -> std::io::Result<()> {
    let mut reader = BufReader::new(stream.try_clone()?);
    let mut request = String::new();
    reader.read_line(&mut request)?;
    let mut line = String::new();
    while reader.read_line(&mut line)? > 2 {
        line.clear();
    }
    let mut words = request.split_whitespace();
    let (method, path) = (words.next().unwrap_or_default(), words.next().unwrap_or_default());
    let path = path.split('?').next().unwrap_or_default();
    if gone.load(Ordering::SeqCst) {
        return write!(stream, "HTTP/1.1 503 Service Unavailable\r\nContent-Length: 0\r\nConnection: close\r\n\r\n");
    }
    let (status, code, body) = match files.get(path) {
        Some(body) => ("200 OK", "", body.clone()),
        None if path.contains("/org/") && !path.contains("nothing") => ("404 Not Found", "EntryNotFound", Vec::new()),
        None => ("404 Not Found", "RepoNotFound", Vec::new()),
    };
    write!(stream, "HTTP/1.1 {status}\r\nContent-Length: {}\r\nConnection: close\r\n", body.len())?;
    write!(stream, "X-Repo-Commit: {COMMIT}\r\nETag: \"{:x}\"\r\n", path.len() * 1_000_003 + body.len())?;
    if !code.is_empty() {
        write!(stream, "X-Error-Code: {code}\r\n")?;
    }
    write!(stream, "\r\n")?;
    if method == "GET" { stream.write_all(&body) } else { Ok(()) }
}

#[test]
fn a_repository_is_loaded_and_kept() {
    match own_process::part().as_deref() {
        None => {}
        Some("there") => return loads_from_the_hub(),
        Some(_) => return loads_what_was_kept(),
    }
    let folder = tempfile::tempdir().unwrap();
    let weights = folder.path().join("net.safetensors");
    golden::write_weights(&weights, &golden::listing("squeezenet1_1"));
    let config = r#"{"architecture": "squeezenet1_1", "num_classes": 1000, "pretrained_cfg": {"mean": [0.5, 0.4, 0.3],
        "std": [0.2, 0.2, 0.1], "input_size": [3, 160, 160], "interpolation": "bilinear", "crop_pct": 0.95,
        "license": "mit"}}"#;
    let other = r#"{"architecture": "vit_base_patch16_224"}"#;
    let listing = r#"[{"type": "file", "oid": "a", "size": 1, "path": "README.md"}]"#;
    let zoo = r#"[{"type": "file", "oid": "a", "size": 1, "path": "vision/classification/model/twin-7.onnx"}]"#;
    let files: BTreeMap<String, Vec<u8>> = [
        ("/org/net/resolve/main/config.json", config.as_bytes().to_vec()),
        ("/org/net/resolve/main/model.safetensors", std::fs::read(&weights).unwrap()),
        ("/org/other/resolve/main/config.json", other.as_bytes().to_vec()),
        ("/org/zoo/resolve/main/vision/classification/model/twin-7.onnx", std::fs::read(twin()).unwrap()),
        ("/org/zoo/resolve/main/vision/classification/mnist/model/mnist-7.onnx", zoo_files::mnist()),
        ("/api/models/org/zoo/tree/main", zoo.as_bytes().to_vec()),
        ("/api/models/org/other/tree/main", listing.as_bytes().to_vec()),
    ]
    .map(|(path, body)| (path.to_string(), body))
    .into();
    let server = TcpListener::bind("127.0.0.1:0").unwrap();
    let gone = Arc::new(AtomicBool::new(false));
    let (switch, endpoint) = (gone.clone(), format!("http://{}", server.local_addr().unwrap()));
    std::thread::spawn(move || server.incoming().flatten().for_each(|s| drop(answer(s, &files, &switch))));
    for part in ["there", "gone"] {
        gone.store(part == "gone", Ordering::SeqCst);
        let mut again = own_process::again("hub_nets::a_repository_is_loaded_and_kept", part);
        again.env("HF_ENDPOINT", &endpoint).env("HF_HOME", folder.path().join("hub")).env("NO_PROXY", "127.0.0.1");
        for name in ["HF_HUB_CACHE", "HUGGINGFACE_HUB_CACHE", "HF_TOKEN"] {
            again.env_remove(name);
        }
        own_process::passes(&mut again);
    }
}

/// A file that a repository has in a folder.
fn twin() -> std::path::PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR")).join("../scripts/nets/vit.onnx")
}

fn load(name: &str, options: LoadOptions) -> Result<Model> {
    load_model(name, &options, Path::new("."), &|_| {})
}

/// What is asked of the Hub while it answers.
fn loads_from_the_hub() {
    let net = load("hf:org/net", LoadOptions::default()).unwrap();
    let preprocess = net.card().preprocess().unwrap();
    assert_eq!((preprocess.size, preprocess.resize), (Size::from(160), Resize::Short(168)));
    assert_eq!((preprocess.interpolation, &preprocess.mean[..]), (Interpolation::Bilinear, &[0.5, 0.4, 0.3][..]));
    assert_eq!((net.input_shape(), net.output_len()), (&[3, 160, 160][..], 1000));
    assert_eq!((&net.card().source[..], &net.card().license[..]), ("hf:org/net", "mit"));

    let (file, plain) = ("hf:org/zoo/vision/classification/model/twin-7.onnx", LoadOptions::default);
    let net = load(file, plain()).unwrap();
    let local = load(&twin().display().to_string(), plain()).unwrap();
    assert_eq!((net.input_shape(), net.output_len()), (local.input_shape(), local.output_len()));
    assert_eq!(net.weights_digest().unwrap(), local.weights_digest().unwrap());
    assert_eq!(net.card().source, file);
    // A net of a paper gets its card there, too.
    let digits = load("hf:org/zoo/vision/classification/mnist/model/mnist-7.onnx@main", plain()).unwrap();
    assert!(digits.card().notes.iter().any(|n| n.contains("this is `mnist` of the ONNX model zoo")));
    assert_eq!((digits.card().class_name(3), digits.card().preprocess().unwrap().channels), ("3".to_string(), 1));
    let error = load("hf:org/zoo/vision/classification/model/twin-8.onnx", plain()).unwrap_err();
    assert!(error.kind == Kind::NotFound && error.hint.is_some_and(|h| h.contains("twin-7.onnx")));
    assert!(load("hf:org/zoo/../twin-7.onnx", plain()).unwrap_err().message.contains("no path of a file"));

    let error = load("hf:org/other", LoadOptions::default()).unwrap_err();
    assert!(error.kind == Kind::Unsupported && error.message.contains("vit_base_patch16_224"), "{error}");
    let error = load("hf:nobody/nothing", LoadOptions::default()).unwrap_err();
    assert!(error.message.contains("no repository `hf:nobody/nothing`"), "{error}");
    for bad in ["hf:net", "hf:/net", "hf:org/", "hf:a/b/c"] {
        assert_eq!(load(bad, LoadOptions::default()).unwrap_err().kind, Kind::Value, "{bad}");
    }
}

/// What is asked of it afterwards.
fn loads_what_was_kept() {
    let options = LoadOptions { size: Some(Size::from(96)), ..LoadOptions::default() };
    assert_eq!(load("hf:org/net", options).unwrap().input_shape(), [3, 96, 96]);
    let kept = load("hf:org/zoo/vision/classification/model/twin-7.onnx", LoadOptions::default()).unwrap();
    assert_eq!(kept.output_len(), load(&twin().display().to_string(), LoadOptions::default()).unwrap().output_len());
    assert_eq!(load("hf:org/unseen", LoadOptions::default()).unwrap_err().kind, Kind::Io);
}
