//! Others at the same kernel: a client that runs cells, and one who only listens.

use super::{FrontEnd, PATIENCE};
use serde_json::{Value, json};
use tokio::runtime::Runtime;
use tokio::time::timeout;
use zeromq::util::PeerIdentity;
use zeromq::{DealerSocket, Socket, SocketOptions, SocketRecv, SocketSend, SubSocket, ZmqMessage};

/// Another front end of the same kernel, which runs cells and counts what is published.
pub struct Client {
    runtime: Runtime,
    shell: DealerSocket,
    iopub: SubSocket,
    session: String,
    next: usize,
}

impl Client {
    /// A front end that is welcomed.
    pub fn to(ports: &[u16]) -> Self {
        let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build().unwrap();
        let session = uuid::Uuid::new_v4().to_string();
        let (shell, iopub) = runtime.block_on(async {
            let mut options = SocketOptions::default();
            options.peer_identity(PeerIdentity::try_from(session.as_bytes()).unwrap());
            let (mut shell, mut iopub) = (DealerSocket::with_options(options), SubSocket::new());
            shell.connect(&format!("tcp://127.0.0.1:{}", ports[0])).await.unwrap();
            iopub.connect(&format!("tcp://127.0.0.1:{}", ports[1])).await.unwrap();
            iopub.subscribe("").await.unwrap();
            timeout(PATIENCE, iopub.recv()).await.expect("no welcome").unwrap();
            (shell, iopub)
        });
        Client { runtime, shell, iopub, session, next: 0 }
    }

    /// What an expression is worth, as text.
    pub fn value(&mut self, code: &str) -> String {
        self.next += 1;
        let header = json!({
            "msg_id": format!("{}_{}", self.session, self.next), "session": self.session, "username": "tester",
            "date": "2026-01-01T00:00:00.000000Z", "msg_type": "execute_request", "version": "5.5",
        });
        let content = json!({ "code": code, "user_expressions": { "value": code } });
        let frames = ZmqMessage::try_from(FrontEnd::frames(&header, &content)).unwrap();
        let reply = self.runtime.block_on(async {
            self.shell.send(frames).await.unwrap();
            timeout(PATIENCE, self.shell.recv()).await.expect("no reply").unwrap().into_vec()
        });
        let [parent, reply] = [3, 5].map(|i| serde_json::from_slice::<Value>(&reply[i]).unwrap());
        assert_eq!(parent, header, "a reply to somebody else");
        reply["user_expressions"]["value"]["data"]["text/plain"].as_str().unwrap().to_string()
    }

    /// Reads what is published until so many requests have ended.
    pub fn hear(&mut self, ends: usize) {
        let mut heard = 0;
        while heard < ends {
            let received = self.runtime.block_on(async { timeout(PATIENCE, self.iopub.recv()).await });
            let frames = received.expect("a message is missing").unwrap().into_vec();
            let content: Value = serde_json::from_slice(&frames[6]).unwrap();
            heard += usize::from(content["execution_state"] == "idle");
        }
    }
}

/// Another reader of what is published.
pub struct Listener {
    runtime: Runtime,
    iopub: SubSocket,
}

impl Listener {
    /// Subscribes to the kernel's messages.
    pub fn to(front: &FrontEnd) -> Self {
        let runtime = tokio::runtime::Builder::new_multi_thread().worker_threads(1).enable_all().build().unwrap();
        let iopub = runtime.block_on(async {
            let mut iopub = SubSocket::new();
            iopub.connect(&format!("tcp://127.0.0.1:{}", front.ports[1])).await.unwrap();
            iopub.subscribe("").await.unwrap();
            iopub
        });
        Listener { runtime, iopub }
    }

    /// What comes next: the kind of a message, of a status the status.
    pub fn next(&mut self) -> String {
        let received = self.runtime.block_on(async { timeout(PATIENCE, self.iopub.recv()).await });
        let frames = received.expect("nothing is published").unwrap().into_vec();
        let [header, content] = [3, 6].map(|i| serde_json::from_slice::<Value>(&frames[i]).unwrap());
        content["execution_state"].as_str().or(header["msg_type"].as_str()).unwrap().to_string()
    }
}
