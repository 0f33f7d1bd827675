//! Files behind http and https addresses, read by ranges (RFC 9110, section 14).
//!
//! A request is repeated up to twice where the server is busy or breaks off. HTTPS_PROXY names a proxy; certificates are the
//! system's.

use super::ranges::Ranges;
use crate::error::{Error, Kind, Result};
use crate::seal;
use crate::signal::go_on;
use bytes::Bytes;
use std::io::Read;
use std::sync::OnceLock;
use std::time::Duration;
use ureq::Agent;
use ureq::http::StatusCode;
use ureq::tls::{RootCerts, TlsConfig};

/// The waits before a request is made again.
const WAITS: [Duration; 2] = [Duration::from_millis(200), Duration::from_millis(1000)];

/// One file.
pub struct Remote {
    address: String,
    length: u64,
}

fn agent() -> &'static Agent {
    static AGENT: OnceLock<Agent> = OnceLock::new();
    AGENT.get_or_init(|| {
        let config = Agent::config_builder()
            .http_status_as_error(false)
            .tls_config(TlsConfig::builder().root_certs(RootCerts::PlatformVerifier).build())
            .user_agent(concat!("convscope/", env!("CARGO_PKG_VERSION")))
            .timeout_connect(Some(Duration::from_secs(10)))
            .timeout_recv_response(Some(Duration::from_secs(30)))
            .timeout_per_read(Some(Duration::from_secs(60)));
        config.build().new_agent()
    })
}

impl Remote {
    /// The file at an address, and its length in bytes.
    ///
    /// # Errors
    /// Where a seal forbids it, the server does not answer, there is no such file, or the server does not serve parts of files.
    pub fn open(address: &str) -> Result<(Self, u64)> {
        seal::may_connect(address)?;
        let mut remote = Remote { address: address.to_string(), length: 0 };
        let (_, total) = remote.ask(0, 1)?;
        let total = total.ok_or_else(|| {
            Error::unsupported(format!("`{address}`: the server does not say how long the file is"))
                .hint("download the file, or serve it with ranges")
        })?;
        remote.length = total;
        Ok((remote, total))
    }

    fn ask(&self, start: u64, length: usize) -> Result<(Bytes, Option<u64>)> {
        let mut waits = WAITS.into_iter();
        loop {
            match self.once(start, length) {
                Ok(answer) => return Ok(answer),
                Err((error, again)) => match waits.next().filter(|_| again) {
                    Some(wait) => {
                        go_on()?;
                        std::thread::sleep(wait);
                    }
                    None => return Err(error),
                },
            }
        }
    }

    /// One request; an error comes with whether it may be repeated.
    fn once(&self, start: u64, length: usize) -> Result<(Bytes, Option<u64>), (Error, bool)> {
        let wrong = |what: String, again: bool| (Error::new(Kind::Io, format!("`{}`: {what}", self.address)), again);
        if length == 0 {
            return Ok((Bytes::new(), None));
        }
        let range = format!("bytes={start}-{}", start + length as u64 - 1);
        let answer = agent().get(&self.address).header("Range", range).header("Accept-Encoding", "identity").call();
        let answer = answer.map_err(|e| wrong(e.to_string(), !matches!(e, ureq::Error::BadUri(_))))?;
        let status = answer.status();
        if status == StatusCode::OK {
            let (error, _) = wrong("the server does not serve parts of files".into(), false);
            return Err((error.hint("download the file, or serve it with ranges"), false));
        }
        if status != StatusCode::PARTIAL_CONTENT {
            return Err(wrong(
                format!("the server answers {status}"),
                matches!(status.as_u16(), 408 | 429 | 500 | 502 | 503 | 504),
            ));
        }
        let said = answer.headers().get("content-range").and_then(|h| h.to_str().ok());
        let total = said.and_then(|h| h.rsplit_once('/')?.1.trim().parse().ok());
        let mut bytes = Vec::with_capacity(length);
        let read = answer.into_body().into_reader().take(length as u64).read_to_end(&mut bytes);
        read.map_err(|e| wrong(format!("broke off: {e}"), true))?;
        if bytes.len() != length {
            return Err(wrong(format!("gave {} bytes of {length}", bytes.len()), true));
        }
        Ok((bytes.into(), total))
    }
}

impl Ranges for Remote {
    fn range(&self, start: u64, length: usize) -> Result<Bytes> {
        let (bytes, total) = self.ask(start, length)?;
        if total.is_some_and(|t| t != self.length) {
            return Err(Error::format(format!("`{}` changed while it was read", self.address)));
        }
        Ok(bytes)
    }
}
