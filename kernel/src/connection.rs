//! The connection file that a front end writes for its kernel: ports to listen on and the key of signatures.

use convscope_engine::{Error, Result};
use serde::Deserialize;
use std::fmt;
use std::path::{Path, PathBuf};

/// The content of a connection file.
#[derive(Clone, Debug, Deserialize)]
pub struct Connection {
    transport: String,
    ip: String,
    shell_port: u16,
    iopub_port: u16,
    stdin_port: u16,
    control_port: u16,
    hb_port: u16,
    #[serde(default = "hmac_sha256")]
    signature_scheme: String,
    /// The key of the signatures; empty where nothing is signed.
    #[serde(default)]
    pub key: String,
}

/// A socket of a kernel.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Port {
    /// Requests that are answered in their order.
    Shell,
    /// Published messages: outputs and status.
    Iopub,
    /// Requests for input from the user.
    Stdin,
    /// Requests that are answered at once.
    Control,
    /// Echoes, by which the front end knows that the kernel lives.
    Heartbeat,
}

fn hmac_sha256() -> String {
    "hmac-sha256".into()
}

impl Connection {
    /// Reads a connection file.
    ///
    /// # Errors
    /// Where there is none, or it asks for a transport or signature scheme that is not supported.
    pub fn open(path: &Path) -> Result<Self> {
        let text = std::fs::read_to_string(path).map_err(|e| Error::io(path, &e))?;
        let wrong = |e: serde_json::Error| {
            Error::format(format!("`{}` is no connection file: {e}", path.display()))
                .hint("Jupyter writes it when it starts a kernel: `jupyter console --kernel convscope`")
        };
        let connection: Connection = serde_json::from_str(&text).map_err(wrong)?;
        if connection.signature_scheme != hmac_sha256() && !connection.key.is_empty() {
            let scheme = &connection.signature_scheme;
            return Err(Error::unsupported(format!("signature scheme `{scheme}`; messages are signed by hmac-sha256")));
        }
        match connection.transport.as_str() {
            "tcp" => Ok(connection),
            "ipc" if cfg!(unix) => Ok(connection),
            other => Err(Error::unsupported(format!("transport `{other}`; kernels listen by tcp or, on Unix, by ipc"))),
        }
    }

    /// The address at which a socket listens.
    pub fn endpoint(&self, port: Port) -> Endpoint {
        let number = match port {
            Port::Shell => self.shell_port,
            Port::Iopub => self.iopub_port,
            Port::Stdin => self.stdin_port,
            Port::Control => self.control_port,
            Port::Heartbeat => self.hb_port,
        };
        match (self.transport.as_str(), self.ip.as_str()) {
            #[cfg(unix)]
            ("ipc", path) => Endpoint::Ipc(format!("{path}-{number}").into()),
            (_, "*") => Endpoint::Tcp("0.0.0.0".into(), number),
            (_, ip) => Endpoint::Tcp(ip.into(), number),
        }
    }
}

/// An address to listen at.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Endpoint {
    /// A host and a port.
    Tcp(String, u16),
    /// The path of a Unix socket.
    #[cfg(unix)]
    Ipc(PathBuf),
}

impl fmt::Display for Endpoint {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Endpoint::Tcp(ip, port) => write!(f, "tcp://{ip}:{port}"),
            #[cfg(unix)]
            Endpoint::Ipc(path) => write!(f, "ipc://{}", path.display()),
        }
    }
}

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used)]
    use super::*;

    fn open(text: &str) -> Result<Connection> {
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("kernel é.json");
        std::fs::write(&path, text).unwrap();
        Connection::open(&path)
    }

    #[test]
    fn the_file_says_where_to_listen() {
        let ports = "\"shell_port\":1,\"iopub_port\":2,\"stdin_port\":3,\"control_port\":4,\"hb_port\":5";
        let tcp = open(&format!("{{\"transport\":\"tcp\",\"ip\":\"127.0.0.1\",{ports},\"key\":\"k\"}}")).unwrap();
        assert_eq!(tcp.endpoint(Port::Iopub).to_string(), "tcp://127.0.0.1:2");
        let ipc = open(&format!("{{\"transport\":\"ipc\",\"ip\":\"/tmp/k\",{ports}}}")).unwrap();
        assert_eq!(ipc.endpoint(Port::Heartbeat).to_string(), "ipc:///tmp/k-5");
        assert!(open(&format!("{{\"transport\":\"udp\",\"ip\":\"x\",{ports}}}")).is_err());
        assert!(open("{}").unwrap_err().message.contains("is no connection file"));
    }
}
