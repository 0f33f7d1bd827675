//! The server of all pages: its port, the guard before each page, the limits of connections, its end.

use crate::address::{Address, new_token};
use crate::connection::Connections;
use crate::guard;
use axum::Router;
use axum::http::header;
use axum::middleware::from_fn_with_state;
use axum::response::IntoResponse;
use axum::routing::{MethodRouter, get};
use convscope_engine::{Error, Result};
use std::io::ErrorKind;
use std::net::Ipv4Addr;
use std::path::Path;
use std::sync::Arc;
use std::time::Duration;
use tokio::net::TcpListener;
use tokio::sync::Notify;

/// The time for responses that are under way when the server ends.
const RESPONSE_GRACE: Duration = Duration::from_millis(300);
/// The time for work on the disk that is under way when the server ends, so that files are complete.
const WORK_GRACE: Duration = Duration::from_secs(2);

/// A page: the document that the address opens, and the routes below it.
pub struct Page {
    /// The document.
    pub html: &'static str,
    /// The routes below the address.
    pub routes: Router,
}

/// Stops a server; clones stop the same one.
#[derive(Clone, Default)]
pub struct Stop(Arc<Notify>);

impl Stop {
    /// Stops the server at once, also with open connections.
    pub fn stop(&self) {
        self.0.notify_one();
    }
}

/// Serves a page until `stop`. `ready` receives the address, which is kept in a file beside `out`. The port is `port`, else the
/// one of the last start, else any free one.
///
/// # Errors
/// Where it cannot listen, the address cannot be written, or `ready` fails.
pub fn serve(
    page: Page,
    out: &Path,
    port: Option<u16>,
    stop: &Stop,
    ready: impl FnOnce(&Address) -> Result<()>,
) -> Result<()> {
    let wrong = |e: std::io::Error| Error::internal(format!("the server: {e}"));
    let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build().map_err(wrong)?;
    let served = runtime.block_on(async {
        let file = Address::file(out);
        let last = Address::load(&file);
        let listener = listen(port, last.as_ref().map(|a| a.port)).await?;
        let token = last.as_ref().map_or_else(new_token, |a| Ok(a.token.clone()))?;
        let address = Address { port: listener.local_addr().map_err(wrong)?.port(), token };
        if last.as_ref() != Some(&address) {
            address.store(&file)?;
        }
        let mut connections = Connections::new(guarded(page, &address));
        ready(&address)?;
        tokio::select! {
            () = connections.accept(&listener) => {}
            () = stop.0.notified() => {}
        }
        drop(listener);
        connections.end(RESPONSE_GRACE).await;
        Ok(())
    });
    runtime.shutdown_timeout(WORK_GRACE);
    served
}

/// Listens on the given port, else on that of the last start if it is free, else on any.
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

/// The page below its secret path, behind the guard.
fn guarded(page: Page, address: &Address) -> Router {
    Router::new()
        .nest(&format!("/{}", address.token), page.routes)
        .route(&format!("/{}/", address.token), fixed("text/html; charset=utf-8", page.html))
        .layer(from_fn_with_state(Arc::new(address.clone()), guard::check))
}

/// A route to a text that is compiled into the program.
pub(crate) fn fixed<S: Clone + Send + Sync + 'static>(kind: &'static str, text: &'static str) -> MethodRouter<S> {
    get(move || async move { ([(header::CONTENT_TYPE, kind)], text).into_response() })
}

#[cfg(test)]
mod tests;
