//! The server: where it listens, what it is asked, and how it ends.

use super::desk::Desk;
use super::{api, guard, review};
use axum::Router;
use axum::extract::DefaultBodyLimit;
use axum::http::header;
use axum::middleware::from_fn_with_state;
use axum::response::IntoResponse;
use axum::routing::{get, post};
use convscope_engine::{Error, Result, atomic};
use serde::{Deserialize, Serialize};
use std::io::ErrorKind;
use std::net::Ipv4Addr;
use std::path::{Path, PathBuf};
use std::sync::Arc;
use tokio::net::TcpListener;

/// Bytes of a request's body at most.
const BODY: usize = 64 * 1024;

/// The address of a session: only its holder gets in. It is kept beside the answers, so that a page that was open when the
/// server ended goes on when it starts again.
#[derive(Clone, Debug, Serialize, Deserialize)]
pub struct Address {
    /// The port on loopback.
    pub port: u16,
    /// 32 hexadecimal digits.
    pub token: String,
}

impl Address {
    /// The address as one opens it.
    pub fn url(&self) -> String {
        format!("http://127.0.0.1:{}/{}/", self.port, self.token)
    }

    /// Whether `host` (as `name:port`) means this server.
    pub fn is_own_host(&self, host: &str) -> bool {
        let port = format!(":{}", self.port);
        host.strip_suffix(&port).is_some_and(|name| matches!(name, "127.0.0.1" | "localhost"))
    }

    fn file(out: &Path) -> PathBuf {
        let mut name = out.as_os_str().to_owned();
        name.push(".address");
        PathBuf::from(name)
    }

    fn kept(out: &Path) -> Option<Self> {
        let address: Address = serde_json::from_slice(&std::fs::read(Self::file(out)).ok()?).ok()?;
        let hex = address.token.len() == 32 && address.token.bytes().all(|b| b.is_ascii_hexdigit());
        hex.then_some(address)
    }

    fn keep(&self, out: &Path) -> Result<()> {
        let text = serde_json::to_string(self).map_err(|e| Error::internal(e.to_string()))?;
        let file = Self::file(out);
        atomic::write(&file, text.as_bytes())?;
        #[cfg(unix)]
        {
            use std::os::unix::fs::PermissionsExt;
            std::fs::set_permissions(&file, std::fs::Permissions::from_mode(0o600))
                .map_err(|e| Error::io(&file, &e))?;
        }
        Ok(())
    }
}

fn token() -> Result<String> {
    let mut bytes = [0u8; 16];
    getrandom::fill(&mut bytes).map_err(|e| Error::internal(format!("no random numbers: {e}")))?;
    Ok(bytes.iter().map(|b| format!("{b:02x}")).collect())
}

/// Serves the session until `end` comes; `ready` hears the address.
///
/// # Errors
/// Where it cannot listen.
pub fn serve(
    desk: Desk,
    out: &Path,
    port: Option<u16>,
    ready: impl FnOnce(&Address),
    end: impl Future<Output = ()> + Send + 'static,
) -> Result<Arc<Desk>> {
    let wrong = |e: std::io::Error| Error::internal(format!("the server: {e}"));
    let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build().map_err(wrong)?;
    let desk = Arc::new(desk);
    runtime.block_on(async {
        let kept = Address::kept(out);
        let listener = listen(port, kept.as_ref().map(|a| a.port)).await?;
        let token = kept.map_or_else(token, |a| Ok(a.token))?;
        let address = Address { port: listener.local_addr().map_err(wrong)?.port(), token };
        address.keep(out)?;
        let router = router(desk.clone(), &address);
        ready(&address);
        axum::serve(listener, router).with_graceful_shutdown(end).await.map_err(wrong)
    })?;
    Ok(desk)
}

/// The port asked for, else the one of the last time if it is free, else any.
async fn listen(asked: Option<u16>, last: Option<u16>) -> Result<TcpListener> {
    let bind = |port: u16| TcpListener::bind((Ipv4Addr::LOCALHOST, port));
    match (asked, last) {
        (Some(port), _) => bind(port).await.map_err(|e| {
            let why = if e.kind() == ErrorKind::AddrInUse { "it is in use".to_string() } else { e.to_string() };
            Error::value(format!("port {port}: {why}")).hint("leave --port out to take a free one")
        }),
        (None, last) => match bind(last.unwrap_or(0)).await {
            Err(_) if last.is_some() => bind(0).await,
            other => other,
        }
        .map_err(|e| Error::internal(format!("no port on loopback: {e}"))),
    }
}

fn router(desk: Arc<Desk>, address: &Address) -> Router {
    let page = |kind: &'static str, text: &'static str| {
        get(move || async move { ([(header::CONTENT_TYPE, kind)], text).into_response() })
    };
    let (html, js) = if desk.settings.review {
        (include_str!("page/review.html"), include_str!("page/review.js"))
    } else {
        (include_str!("page/label.html"), include_str!("page/label.js"))
    };
    let inside = Router::new()
        .route("/page.js", page("text/javascript; charset=utf-8", js))
        .route("/common.js", page("text/javascript; charset=utf-8", include_str!("page/common.js")))
        .route("/search.js", page("text/javascript; charset=utf-8", include_str!("page/search.js")))
        .route("/favicon.svg", page("image/svg+xml", include_str!("page/favicon.svg")))
        .route("/page.css", page("text/css; charset=utf-8", include_str!("page/page.css")))
        .route("/api/session", get(api::session))
        .route("/api/next", get(api::next))
        .route("/api/answer", post(api::answer))
        .route("/api/undo", post(api::undo))
        .route("/api/errors", get(review::errors))
        .route("/api/tag", post(review::tag))
        .route("/image/{place}", get(api::image))
        .route("/examples/{class}", get(api::examples));
    Router::new()
        .nest(&format!("/{}", address.token), inside)
        .route(&format!("/{}/", address.token), page("text/html; charset=utf-8", html))
        .layer(DefaultBodyLimit::max(BODY))
        .layer(from_fn_with_state(Arc::new(address.clone()), guard::guard))
        .with_state(desk)
}
