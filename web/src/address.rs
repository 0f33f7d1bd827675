//! The address of a page: a port on loopback and a secret in the path.

use convscope_engine::{Error, Result, atomic};
use serde::{Deserialize, Serialize};
use std::path::{Path, PathBuf};

/// The address of a page, without which a client has no access. It is kept in a file, so that an open page works again after a
/// restart of the server.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Address {
    /// The port on loopback.
    pub port: u16,
    /// 32 hexadecimal digits.
    pub token: String,
}

impl Address {
    /// The address as a URL.
    pub fn url(&self) -> String {
        format!("http://127.0.0.1:{}/{}/", self.port, self.token)
    }

    /// Whether `host` (as `name:port`) means this server.
    pub fn is_own_host(&self, host: &str) -> bool {
        let port = format!(":{}", self.port);
        host.strip_suffix(&port).is_some_and(|name| matches!(name, "127.0.0.1" | "localhost"))
    }

    /// The file of an address: `out` with `.address` appended.
    pub(crate) fn file(out: &Path) -> PathBuf {
        let mut name = out.as_os_str().to_owned();
        name.push(".address");
        PathBuf::from(name)
    }

    /// Reads the address from `file`, where there is one.
    pub(crate) fn load(file: &Path) -> Option<Self> {
        let address: Address = serde_json::from_slice(&std::fs::read(file).ok()?).ok()?;
        let hex = address.token.len() == 32 && address.token.bytes().all(|b| b.is_ascii_hexdigit());
        hex.then_some(address)
    }

    /// Writes the address to `file`, which only its owner may read from the start.
    pub(crate) fn store(&self, file: &Path) -> Result<()> {
        let text = serde_json::to_string(self).map_err(|e| Error::internal(e.to_string()))?;
        atomic::write_private(file, text.as_bytes())
    }
}

/// A new secret: 128 random bits as 32 hexadecimal digits.
pub(crate) fn new_token() -> Result<String> {
    let mut bytes = [0u8; 16];
    getrandom::fill(&mut bytes).map_err(|e| Error::internal(format!("no random numbers: {e}")))?;
    Ok(bytes.iter().map(|b| format!("{b:02x}")).collect())
}
