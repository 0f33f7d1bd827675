//! A labelling server of its own folder, and what is said to it.

use serde_json::{Value, json};
use std::io::{BufRead, BufReader, Read, Write};
use std::net::TcpStream;
use std::path::Path;
use std::process::{Child, Command, Stdio};

/// A server on its own folder; it is killed when the test ends.
pub(super) struct Server {
    pub(super) child: Child,
    pub(super) port: u16,
    pub(super) token: String,
}

impl Drop for Server {
    fn drop(&mut self) {
        let _ = self.child.kill();
        let _ = self.child.wait();
    }
}

/// What came back: status, headers, body.
pub(super) struct Reply {
    pub(super) status: u16,
    pub(super) head: String,
    pub(super) body: Vec<u8>,
}

impl Reply {
    pub(super) fn json(&self) -> Value {
        serde_json::from_slice(&self.body).unwrap_or_else(|e| panic!("{e}: {}", String::from_utf8_lossy(&self.body)))
    }
}

impl Server {
    pub(super) fn start(folder: &Path, arguments: &[&str]) -> Self {
        Self::of(Command::new(env!("CARGO_BIN_EXE_convscope")), folder, arguments)
    }

    /// A server after a line of shell.
    #[cfg(unix)]
    pub(super) fn start_under(line: &str, folder: &Path, arguments: &[&str]) -> Self {
        let mut shell = Command::new("sh");
        shell.args(["-c", &format!("{line}; exec \"$0\" \"$@\""), env!("CARGO_BIN_EXE_convscope")]);
        Self::of(shell, folder, arguments)
    }

    pub(super) fn of(mut program: Command, folder: &Path, arguments: &[&str]) -> Self {
        let mut child = program
            .arg("label")
            .args(arguments)
            .args(["--out", "labels.jsonl"])
            .current_dir(folder)
            .stdout(Stdio::piped())
            .stderr(Stdio::null())
            .spawn()
            .unwrap();
        let mut line = String::new();
        BufReader::new(child.stdout.take().unwrap()).read_line(&mut line).unwrap();
        let rest = line.trim().strip_prefix("http://127.0.0.1:").unwrap_or_else(|| panic!("no address: {line:?}"));
        let (port, token) = rest.trim_end_matches('/').split_once('/').unwrap();
        Server { child, port: port.parse().unwrap(), token: token.to_string() }
    }

    pub(super) fn kill(mut self) {
        self.child.kill().unwrap();
        self.child.wait().unwrap();
    }

    /// A request as bytes say it; `Host` and `Connection` are in `headers`.
    pub(super) fn raw(&self, request: &str) -> Reply {
        let mut stream = TcpStream::connect(("127.0.0.1", self.port)).unwrap();
        stream.write_all(request.as_bytes()).unwrap();
        let mut all = Vec::new();
        stream.read_to_end(&mut all).unwrap();
        let end = all.windows(4).position(|w| w == b"\r\n\r\n").unwrap_or(all.len());
        let head = String::from_utf8_lossy(&all[..end]).to_string();
        let status = head.split(' ').nth(1).and_then(|s| s.parse().ok()).unwrap_or(0);
        Reply { status, head, body: all.get(end + 4..).unwrap_or_default().to_vec() }
    }

    pub(super) fn with(&self, method: &str, path: &str, headers: &str, body: &str) -> Reply {
        self.raw(&format!(
            "{method} {path} HTTP/1.1\r\nConnection: close\r\nContent-Length: {}\r\n{headers}\r\n{body}",
            body.len()
        ))
    }

    pub(super) fn host(&self) -> String {
        format!("Host: 127.0.0.1:{}\r\n", self.port)
    }

    pub(super) fn get(&self, path: &str) -> Reply {
        self.with("GET", &format!("/{}/{path}", self.token), &self.host(), "")
    }

    pub(super) fn post(&self, path: &str, body: &Value) -> Reply {
        let headers = format!("{}Content-Type: application/json\r\n", self.host());
        self.with("POST", &format!("/{}/{path}", self.token), &headers, &body.to_string())
    }
}

pub(super) fn answer(id: &str, place: u64, guess: &str) -> Value {
    json!({ "id": format!("answer-{id}"), "labeller": "ann", "place": place, "guesses": [guess], "time_s": 1.25 })
}

pub(super) fn lines(folder: &Path) -> Vec<Value> {
    let text = std::fs::read_to_string(folder.join("labels.jsonl")).unwrap();
    assert!(text.is_empty() || text.ends_with('\n'), "the last line is whole");
    text.lines().map(|l| serde_json::from_str(l).unwrap()).collect()
}
