//! The requests to the Hub: what a file is, its bytes, and the list of a repository's files.
//!
//! Requests block, are repeated twice where the Hub is busy, use the proxy of HTTPS_PROXY, and trust the certificates of the system.

use percent_encoding::{AsciiSet, NON_ALPHANUMERIC, utf8_percent_encode};
use serde_json::Value;
use sha2::{Digest, Sha256};
use std::io::{Read, Write};
use std::time::Duration;
use ureq::http::{HeaderMap, Response, StatusCode, Uri};
use ureq::tls::{RootCerts, TlsConfig};
use ureq::{Agent, Body};

use super::{Hub, cache};
use crate::error::{Error, Result};

/// What stands in an address as it is (RFC 3986, "unreserved").
const ENCODED: &AsciiSet = &NON_ALPHANUMERIC.remove(b'-').remove(b'.').remove(b'_').remove(b'~');
/// The waits before a request is made again.
const WAITS: [Duration; 2] = [Duration::from_millis(100), Duration::from_millis(300)];
const REDIRECTS: usize = 10;

/// Why a request gave nothing.
pub(super) enum Failure {
    /// No answer, or one that says that there is none now.
    Unreachable(String),
    /// The repository does not exist, or is not shown to this user.
    Repository,
    /// The repository has no such revision.
    Revision,
    /// The repository's terms have not been accepted.
    Gated(String),
    /// Any other answer.
    Answer(String),
    /// The bytes cannot be stored.
    Local(Error),
}

impl From<Error> for Failure {
    fn from(e: Error) -> Self {
        Failure::Local(e)
    }
}

/// The Hub's answer for a file's name.
pub(super) enum FileLookup {
    /// There is such a file.
    File(Version),
    /// There is none in the commit (where the Hub names it).
    Nothing(Option<String>),
}

/// One version of a file.
pub(super) struct Version {
    /// Where the Hub has it.
    address: String,
    /// The commit that the revision stands for.
    pub commit: String,
    /// The name of its content.
    pub etag: String,
    /// The SHA-256 of its content in hex, where the Hub says it.
    pub sha256: Option<String>,
}

/// Asks one Hub.
pub(super) struct Client {
    agent: Agent,
    endpoint: String,
    token: Option<String>,
}

impl Client {
    /// # Errors
    /// Where the Hub's endpoint is no address.
    pub(super) fn new(hub: &Hub) -> Result<Self> {
        let uri = hub.endpoint.parse::<Uri>().ok();
        if uri.is_none_or(|u| u.authority().is_none() || !matches!(u.scheme_str(), Some("http" | "https"))) {
            return Err(Error::value(format!("HF_ENDPOINT is `{}`, which is no address of a Hub", hub.endpoint))
                .hint("write it as https://huggingface.co, or unset it"));
        }
        let config = Agent::config_builder()
            .http_status_as_error(false)
            .max_redirects_will_error(false)
            .redirect_auth_headers(ureq::config::RedirectAuthHeaders::SameHost)
            .tls_config(TlsConfig::builder().root_certs(RootCerts::PlatformVerifier).build())
            .user_agent(concat!("convscope/", env!("CARGO_PKG_VERSION")))
            .timeout_connect(Some(Duration::from_secs(10)))
            .timeout_recv_response(Some(Duration::from_secs(30)))
            .timeout_per_read(Some(Duration::from_secs(60)));
        Ok(Client {
            agent: config.build().new_agent(),
            endpoint: hub.endpoint.trim_end_matches('/').to_string(),
            token: hub.token.clone(),
        })
    }

    /// The address of a file of a repository.
    pub(super) fn address(&self, repo: &str, revision: &str, file: &str) -> String {
        let file: Vec<String> = file.split('/').map(encoded).collect();
        format!("{}/{repo}/resolve/{}/{}", self.endpoint, encoded(revision), file.join("/"))
    }

    /// The Hub's answer for the file at an address.
    pub(super) fn look(&self, address: &str) -> Result<FileLookup, Failure> {
        let mut address = address.to_string();
        for _ in 0..=REDIRECTS {
            let answer = self.patiently(|| {
                let request = self.agent.head(&address).config().max_redirects(0).build();
                self.authorised(request).call()
            })?;
            let (status, headers) = (answer.status(), answer.headers());
            // A repository that was renamed is elsewhere on the Hub; a large file is elsewhere, and what it is stands here.
            if status.is_redirection()
                && let Some(path) = header(headers, "location").filter(|l| l.starts_with('/') && !l.starts_with("//"))
            {
                address = format!("{}{path}", origin(&address));
                continue;
            }
            if status == StatusCode::NOT_FOUND && !matches!(code(headers), Some("RepoNotFound" | "RevisionNotFound")) {
                return Ok(FileLookup::Nothing(header(headers, "x-repo-commit").and_then(cache::name)));
            }
            if !status.is_success() && !status.is_redirection() {
                return Err(refusal(answer, &address));
            }
            let linked = header(headers, "x-linked-etag");
            let etag = linked.or(header(headers, "etag")).map(|e| e.trim_start_matches("W/").trim_matches('"'));
            let commit = header(headers, "x-repo-commit");
            let (Some(etag), Some(commit)) = (etag.and_then(cache::name), commit.and_then(cache::name)) else {
                return Err(Failure::Answer(format!("{address} does not say which version of the file it is")));
            };
            let sha256 = linked.map(|_| etag.clone()).filter(|e| e.len() == 64 && is_hex(e));
            return Ok(FileLookup::File(Version { address, commit, etag, sha256 }));
        }
        Err(Failure::Answer(format!("{address} leads from one address to the next")))
    }

    /// Writes the bytes of a version of a file.
    pub(super) fn download(&self, version: &Version, to: &mut impl Write) -> Result<(), Failure> {
        let address = &version.address;
        let answer = self.patiently(|| self.authorised(self.agent.get(address)).call())?;
        if !answer.status().is_success() {
            return Err(refusal(answer, address));
        }
        let mut body = answer.into_body().into_reader();
        let (mut hash, mut piece) = (Sha256::new(), vec![0; 1 << 16]);
        loop {
            let n = body.read(&mut piece).map_err(|e| Failure::Unreachable(format!("{address} broke off: {e}")))?;
            if n == 0 {
                break;
            }
            hash.update(&piece[..n]);
            to.write_all(&piece[..n]).map_err(|e| Error::new(crate::error::Kind::Io, e.to_string()))?;
        }
        let came: String = hash.finalize().iter().map(|b| format!("{b:02x}")).collect();
        match &version.sha256 {
            Some(said) if !said.eq_ignore_ascii_case(&came) => {
                Err(Failure::Answer(format!("{address} gave a file with the SHA-256 {came}, not {said}")))
            }
            _ => Ok(()),
        }
    }

    /// The paths of all files of a repository.
    pub(super) fn list(&self, repo: &str, revision: &str) -> Result<Vec<String>, Failure> {
        let mut files = Vec::new();
        let first = format!("{}/api/models/{repo}/tree/{}?recursive=true", self.endpoint, encoded(revision));
        let mut next = Some(first);
        while let Some(address) = next {
            let mut answer = self.patiently(|| self.authorised(self.agent.get(&address)).call())?;
            if !answer.status().is_success() {
                return Err(refusal(answer, &address));
            }
            next = header(answer.headers(), "link").and_then(next_page);
            let unread = |e: &dyn std::fmt::Display| Failure::Answer(format!("{address} lists no files: {e}"));
            let text = answer.body_mut().read_to_vec().map_err(|e| unread(&e))?;
            let entries: Vec<Value> = serde_json::from_slice(&text).map_err(|e| unread(&e))?;
            let paths = entries.iter().filter(|e| e["type"] == "file").filter_map(|e| e["path"].as_str());
            files.extend(paths.map(String::from));
        }
        Ok(files)
    }

    fn authorised<B>(&self, request: ureq::RequestBuilder<B>) -> ureq::RequestBuilder<B> {
        match &self.token {
            Some(token) => request.header("Authorization", format!("Bearer {token}")),
            None => request,
        }
    }

    /// The answer to a request, which is repeated where there is no answer or the Hub is busy.
    fn patiently(&self, ask: impl Fn() -> Result<Response<Body>, ureq::Error>) -> Result<Response<Body>, Failure> {
        let mut waits = WAITS.into_iter();
        loop {
            let answer = ask();
            let again = match &answer {
                Ok(answer) => matches!(answer.status().as_u16(), 408 | 429 | 500 | 502 | 503 | 504),
                Err(ureq::Error::BadUri(_) | ureq::Error::Http(_)) => false,
                Err(_) => true,
            };
            match waits.next().filter(|_| again) {
                Some(wait) => std::thread::sleep(wait),
                None => return answer.map_err(|e| Failure::Unreachable(e.to_string())),
            }
        }
    }
}

/// The failure that an unsuccessful answer means.
fn refusal(mut answer: Response<Body>, address: &str) -> Failure {
    let (status, headers) = (answer.status(), answer.headers());
    let mut message = header(headers, "x-error-message").map(String::from);
    let code = code(headers).unwrap_or_default().to_string();
    if message.is_none() {
        let said: Option<Value> = answer.body_mut().read_to_vec().ok().and_then(|b| serde_json::from_slice(&b).ok());
        message = said.and_then(|v| v["error"].as_str().map(String::from));
    }
    let text = format!("{status} of {address}{}", message.map(|m| format!(": {m}")).unwrap_or_default());
    match (&code[..], status.as_u16()) {
        ("RevisionNotFound", _) => Failure::Revision,
        ("GatedRepo", _) | (_, 403) => Failure::Gated(text),
        ("RepoNotFound", _) | (_, 401 | 404) => Failure::Repository,
        (_, 500..) => Failure::Unreachable(text),
        _ => Failure::Answer(text),
    }
}

fn header<'a>(headers: &'a HeaderMap, name: &str) -> Option<&'a str> {
    headers.get(name)?.to_str().ok()
}

fn code(headers: &HeaderMap) -> Option<&str> {
    header(headers, "x-error-code")
}

/// The next page's address in a Link header: `<https://...>; rel="next"`.
fn next_page(link: &str) -> Option<String> {
    let part = link.split(',').find(|part| part.contains("rel=\"next\""))?;
    Some(part.split_once('<')?.1.split_once('>')?.0.to_string())
}

/// Scheme and host of an address.
fn origin(address: &str) -> &str {
    let host = address.find("://").map_or(0, |i| i + 3);
    let end = address[host..].find('/').map_or(address.len(), |i| host + i);
    &address[..end]
}

fn encoded(part: &str) -> String {
    utf8_percent_encode(part, ENCODED).to_string()
}

fn is_hex(text: &str) -> bool {
    text.bytes().all(|b| b.is_ascii_hexdigit())
}

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used)]
    use super::*;

    #[test]
    fn addresses_are_encoded_and_taken_apart() {
        assert_eq!(encoded("refs/pr/1"), "refs%2Fpr%2F1");
        assert_eq!(origin("https://hub.example:8/org/net/resolve/main/a"), "https://hub.example:8");
        assert_eq!(origin("https://hub.example"), "https://hub.example");
        let link = "<https://hub.example/1>; rel=\"prev\", <https://hub.example/3?a=b>; rel=\"next\"";
        assert_eq!(next_page(link).as_deref(), Some("https://hub.example/3?a=b"));
        assert_eq!(next_page("<https://hub.example/1>; rel=\"prev\""), None);
    }
}
