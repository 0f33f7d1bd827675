//! A strict front end: it starts the kernel as Jupyter does, signs what it sends, and checks every message that comes:
//! signature, header, parent, the fields of its content, and that busy comes first and idle last.
#![allow(clippy::unwrap_used, dead_code, unused_imports)]

mod fields;
pub mod others;

use bytes::Bytes;
use fields::fields;
use hmac::{Hmac, KeyInit, Mac};

use serde_json::{Value, json};
use std::collections::{BTreeSet, VecDeque};
use std::net::TcpListener;
use std::path::PathBuf;
use std::process::{Child, Command, Stdio};
use std::time::{Duration, Instant};
use tempfile::TempDir;
use tokio::runtime::Runtime;
use tokio::time::timeout;
use zeromq::util::PeerIdentity;
use zeromq::{DealerSocket, ReqSocket, Socket, SocketOptions, SocketRecv, SocketSend, SubSocket, ZmqMessage};

pub const KEY: &str = "a0436f6c-1916-498b-8eb9-e81ab9368e84";
const DELIMITER: &[u8] = b"<IDS|MSG>";
/// Longer than anything here takes, on a busy machine too.
pub const PATIENCE: Duration = Duration::from_secs(60);

/// A checked message.
#[derive(Clone, Debug)]
pub struct Message {
    pub kind: String,
    pub header: Value,
    pub parent: Value,
    pub content: Value,
    pub metadata: Value,
    pub buffers: Vec<Bytes>,
    pub at: Instant,
}

/// What a request brought: the reply, and what was published for it between busy and idle.
#[derive(Debug)]
pub struct Answer {
    pub reply: Value,
    pub published: Vec<Message>,
}

impl Answer {
    /// The contents of the messages of one kind.
    pub fn all(&self, kind: &str) -> Vec<&Value> {
        self.published.iter().filter(|m| m.kind == kind).map(|m| &m.content).collect()
    }

    /// All text of a stream.
    pub fn stream(&self, name: &str) -> String {
        let texts = self.all("stream").into_iter().filter(|c| c["name"] == name);
        texts.map(|c| c["text"].as_str().unwrap()).collect()
    }

    /// The text of the result.
    pub fn result(&self) -> Option<&str> {
        self.all("execute_result").first().map(|c| c["data"]["text/plain"].as_str().unwrap())
    }

    pub fn is_ok(&self) -> bool {
        self.reply["status"] == "ok"
    }
}

pub struct FrontEnd {
    pub child: Child,
    pub folder: TempDir,
    pub runtime: Runtime,
    pub ports: Vec<u16>,
    session: String,
    shell: DealerSocket,
    control: DealerSocket,
    stdin: DealerSocket,
    heartbeat: ReqSocket,
    iopub: SubSocket,
    seen: BTreeSet<String>,
    next: usize,
    early: VecDeque<Message>,
}

/// Ports that nobody uses.
fn free_ports() -> Vec<u16> {
    let listeners: Vec<TcpListener> = (0..5).map(|_| TcpListener::bind("127.0.0.1:0").unwrap()).collect();
    listeners.iter().map(|l| l.local_addr().unwrap().port()).collect()
}

/// The HMAC-SHA256 of the parts in hexadecimal.
fn signature(key: &str, parts: &[Bytes]) -> String {
    let mut mac = Hmac::<sha2::Sha256>::new_from_slice(key.as_bytes()).unwrap();
    parts.iter().for_each(|p| mac.update(p));
    mac.finalize().into_bytes().iter().map(|b| format!("{b:02x}")).collect()
}

impl FrontEnd {
    pub fn start() -> Self {
        Self::start_with(&[])
    }

    pub fn start_with(environment: &[(&str, &str)]) -> Self {
        let folder = tempfile::tempdir().unwrap();
        let ports = free_ports();
        let file = folder.path().join("kernel connection é.json");
        let connection = json!({
            "transport": "tcp", "ip": "127.0.0.1", "key": KEY, "signature_scheme": "hmac-sha256",
            "shell_port": ports[0], "iopub_port": ports[1], "stdin_port": ports[2], "control_port": ports[3],
            "hb_port": ports[4], "kernel_name": "convscope",
        });
        std::fs::write(&file, connection.to_string()).unwrap();
        let mut command = Command::new(env!("CARGO_BIN_EXE_convscope"));
        command.args(["kernel", "start", "--connection-file"]).arg(&file).current_dir(folder.path());
        command.env("CONVSCOPE_DATA", folder.path().join("data")).env("CONVSCOPE_CACHE", folder.path().join("cache"));
        command.envs(environment.iter().copied()).stdin(Stdio::null()).stderr(Stdio::null());
        let child = command.spawn().unwrap();
        let runtime = tokio::runtime::Builder::new_multi_thread().worker_threads(1).enable_all().build().unwrap();
        let session = uuid::Uuid::new_v4().to_string();
        let (shell, control, stdin, heartbeat, iopub) = runtime.block_on(async {
            let dealer = || {
                let mut options = SocketOptions::default();
                options.peer_identity(PeerIdentity::try_from(session.as_bytes()).unwrap());
                DealerSocket::with_options(options)
            };
            let (mut shell, mut control, mut stdin) = (dealer(), dealer(), dealer());
            let (mut heartbeat, mut iopub) = (ReqSocket::new(), SubSocket::new());
            let address = |i: usize| format!("tcp://127.0.0.1:{}", ports[i]);
            while std::net::TcpStream::connect(("127.0.0.1", ports[4])).is_err() {
                tokio::time::sleep(Duration::from_millis(2)).await;
            }
            iopub.connect(&address(1)).await.unwrap();
            iopub.subscribe("").await.unwrap();
            shell.connect(&address(0)).await.unwrap();
            stdin.connect(&address(2)).await.unwrap();
            control.connect(&address(3)).await.unwrap();
            heartbeat.connect(&address(4)).await.unwrap();
            (shell, control, stdin, heartbeat, iopub)
        });
        let (seen, early) = (BTreeSet::new(), VecDeque::new());
        let mut front = FrontEnd {
            child,
            folder,
            runtime,
            ports,
            session,
            shell,
            control,
            stdin,
            heartbeat,
            iopub,
            seen,
            next: 0,
            early,
        };
        front.welcomed();
        front
    }

    /// The first message after a subscription is the welcome.
    fn welcomed(&mut self) {
        let message = self.published();
        assert_eq!(message.kind, "iopub_welcome", "{message:?}");
        assert_eq!(message.content, json!({ "subscription": "" }));
        assert_eq!(message.parent, json!({}));
    }

    /// A header for a request.
    pub fn header(&mut self, kind: &str) -> Value {
        self.next += 1;
        json!({
            "msg_id": format!("{}_{}", self.session, self.next), "session": self.session, "username": "tester",
            "date": "2026-01-01T00:00:00.000000Z", "msg_type": kind, "version": "5.5",
        })
    }

    /// Frames of a signed message.
    pub fn frames(header: &Value, content: &Value) -> Vec<Bytes> {
        let parts = [header, &json!({}), &json!({}), content].map(|v| Bytes::from(v.to_string()));
        let mut frames = vec![Bytes::from_static(DELIMITER), signature(KEY, &parts).into()];
        frames.extend(parts);
        frames
    }

    /// Sends frames on the shell channel as they are.
    pub fn send_frames(&mut self, frames: Vec<Bytes>) {
        self.runtime.block_on(self.shell.send(ZmqMessage::try_from(frames).unwrap())).unwrap();
    }

    /// Sends a request on the shell channel; its header.
    pub fn send(&mut self, kind: &str, content: Value) -> Value {
        let header = self.header(kind);
        self.send_frames(Self::frames(&header, &content));
        header
    }

    fn checked(&mut self, frames: ZmqMessage, published: bool) -> Message {
        let mut frames = frames.into_vec();
        let at = frames.iter().position(|f| f == DELIMITER).expect("no delimiter");
        assert_eq!(at, usize::from(published), "identities before the delimiter");
        let parts = frames.split_off(at + 2);
        let (parts, buffers) = parts.split_at(4);
        assert_eq!(frames[at + 1], signature(KEY, parts), "the signature does not fit");
        let [header, parent, metadata, content] =
            [0, 1, 2, 3].map(|i| serde_json::from_slice::<Value>(&parts[i]).unwrap());
        assert!(parent.is_object() && metadata.is_object() && content.is_object());
        for field in ["msg_id", "session", "username", "date", "msg_type", "version"] {
            assert!(header[field].is_string(), "{header}");
        }
        assert_eq!(header["version"], "5.5");
        assert!(self.seen.insert(header["msg_id"].as_str().unwrap().into()), "a msg_id twice");
        let kind = header["msg_type"].as_str().unwrap().to_string();
        for (field, is) in fields(&kind) {
            assert!(is(&content[*field]), "{kind}: `{field}` of {content}");
        }
        let of_a_comm = matches!(kind.as_str(), "comm_open" | "comm_msg");
        let paths = content["data"]["buffer_paths"].as_array().map_or(0, Vec::len);
        assert_eq!(buffers.len(), if of_a_comm { paths } else { 0 }, "buffers without their places");
        Message { kind, header, parent, content, metadata, buffers: buffers.to_vec(), at: Instant::now() }
    }

    /// The next published message.
    pub fn published(&mut self) -> Message {
        self.published_within(PATIENCE).expect("nothing is published")
    }

    /// What is published within a moment.
    pub fn published_within(&mut self, moment: Duration) -> Option<Message> {
        if let Some(message) = self.early.pop_front() {
            return Some(message);
        }
        loop {
            let received = self.runtime.block_on(async { timeout(moment, self.iopub.recv()).await });
            let message = self.checked(received.ok()?.unwrap(), true);
            // A kernel that starts says so to whoever listens by then: before or after the welcome, or unheard.
            if message.content["execution_state"] != "starting" {
                return Some(message);
            }
        }
    }

    /// The next reply on the shell channel.
    pub fn reply(&mut self) -> Message {
        let received = self.runtime.block_on(async { timeout(PATIENCE, self.shell.recv()).await });
        self.checked(received.expect("no reply").unwrap(), false)
    }

    /// What is published for `header`, from busy to idle.
    pub fn until_idle(&mut self, header: &Value) -> Vec<Message> {
        let mut found = Vec::new();
        let first = self.published();
        assert_eq!((&first.parent, first.kind.as_str()), (header, "status"), "{first:?}");
        assert_eq!(first.content["execution_state"], "busy");
        loop {
            let message = self.published();
            assert_eq!(&message.parent, header, "{message:?} belongs to another request");
            if message.kind == "status" {
                assert_eq!(message.content["execution_state"], "idle");
                return found;
            }
            found.push(message);
        }
    }

    /// The reply to `header` and what was published for it.
    pub fn answer(&mut self, header: &Value) -> Answer {
        let published = self.until_idle(header);
        let reply = self.reply();
        assert_eq!(&reply.parent, header);
        let asked = header["msg_type"].as_str().unwrap();
        assert_eq!(reply.kind, asked.replace("_request", "_reply"));
        Answer { reply: reply.content, published }
    }

    /// Asks on the shell channel and waits.
    pub fn ask(&mut self, kind: &str, content: Value) -> Answer {
        let header = self.send(kind, content);
        self.answer(&header)
    }

    /// Sends a cell.
    pub fn send_cell(&mut self, code: &str) -> Value {
        let content = json!({
            "code": code, "silent": false, "store_history": true, "user_expressions": {}, "allow_stdin": true,
            "stop_on_error": true,
        });
        self.send("execute_request", content)
    }

    /// Runs a cell: the code is echoed first.
    pub fn run(&mut self, code: &str) -> Answer {
        let header = self.send_cell(code);
        let answer = self.answer(&header);
        assert_eq!(answer.published[0].kind, "execute_input");
        assert_eq!(answer.published[0].content["code"], code);
        assert_eq!(answer.published[0].content["execution_count"], answer.reply["execution_count"]);
        answer
    }

    /// The text of a cell's result.
    pub fn value(&mut self, code: &str) -> String {
        let answer = self.run(code);
        assert!(answer.is_ok(), "{code}: {}", answer.reply);
        answer.result().unwrap_or("").to_string()
    }

    /// Asks on the control channel; the reply. What is published for it is taken out of the stream.
    pub fn control(&mut self, kind: &str, content: Value) -> Value {
        let header = self.header(kind);
        let frames = ZmqMessage::try_from(Self::frames(&header, &content)).unwrap();
        self.runtime.block_on(self.control.send(frames)).unwrap();
        let received = self.runtime.block_on(async { timeout(PATIENCE, self.control.recv()).await });
        let reply = self.checked(received.expect("no reply on control").unwrap(), false);
        assert_eq!(reply.parent, header);
        let mut others = VecDeque::new();
        loop {
            let message = self.published();
            match message.parent == header {
                false => others.push_back(message),
                true if message.content["execution_state"] == "idle" => break,
                true => {}
            }
        }
        others.append(&mut self.early);
        self.early = others;
        reply.content
    }

    /// The next question on the stdin channel.
    pub fn question(&mut self) -> Message {
        let received = self.runtime.block_on(async { timeout(PATIENCE, self.stdin.recv()).await });
        self.checked(received.expect("no question").unwrap(), false)
    }

    /// Answers it.
    pub fn answer_question(&mut self, value: &str) {
        let header = self.header("input_reply");
        let frames = Self::frames(&header, &json!({ "value": value, "status": "ok" }));
        self.runtime.block_on(self.stdin.send(ZmqMessage::try_from(frames).unwrap())).unwrap();
    }

    /// Whether the heartbeat sends back what it got.
    pub fn beats(&mut self) -> bool {
        let beat = async {
            self.heartbeat.send(ZmqMessage::from("a beat \u{e9}")).await.unwrap();
            timeout(Duration::from_secs(5), self.heartbeat.recv()).await
        };
        self.runtime.block_on(beat).is_ok_and(|echo| echo.unwrap().get(0).unwrap() == "a beat \u{e9}".as_bytes())
    }

    /// Waits for the process to end.
    pub fn ended(&mut self) -> std::process::ExitStatus {
        let begun = Instant::now();
        loop {
            if let Some(status) = self.child.try_wait().unwrap() {
                return status;
            }
            assert!(begun.elapsed() < PATIENCE, "the kernel does not end");
            std::thread::sleep(Duration::from_millis(5));
        }
    }

    /// The kernel's memory in MB.
    pub fn megabytes(&self) -> u64 {
        let status = std::fs::read_to_string(format!("/proc/{}/status", self.child.id())).unwrap();
        let line = status.lines().find_map(|l| l.strip_prefix("VmRSS:")).unwrap();
        line.split_whitespace().next().unwrap().parse::<u64>().unwrap() >> 10
    }

    pub fn path(&self, name: &str) -> PathBuf {
        self.folder.path().join(name)
    }
}

/// Whether the tests of load run at full length.
pub fn under_load() -> bool {
    std::env::var_os("CONVSCOPE_LOAD").is_some_and(|v| v == "1")
}

impl Drop for FrontEnd {
    fn drop(&mut self) {
        // It may have ended already.
        let _ = self.child.kill();
        let _ = self.child.wait();
    }
}
