//! Access control: requests must carry the secret, come from a page of this server, be short and arrive in time.
//!
//! Other sites in the same browser are kept out by the token in the path, by the `Host` (a foreign name that resolves to
//! loopback) and by the `Origin` (a page elsewhere that posts here). Every response forbids what the page does not need.

use crate::address::Address;
use axum::body::{Body, to_bytes};
use axum::extract::{Request, State};
use axum::http::header::{self, HeaderMap, HeaderName, HeaderValue};
use axum::http::{Method, StatusCode};
use axum::middleware::Next;
use axum::response::{IntoResponse, Response};
use std::sync::Arc;
use std::time::Duration;

/// How many bytes a request's body may have.
const MAX_BODY: usize = 64 * 1024;
/// The time for a request's body to arrive.
const BODY_TIME: Duration = Duration::from_secs(10);

/// The headers of every response.
const HEADERS: [(HeaderName, &str); 6] = [
    (
        header::CONTENT_SECURITY_POLICY,
        "default-src 'none'; script-src 'self'; style-src 'self'; img-src 'self'; connect-src 'self'; \
         base-uri 'none'; form-action 'none'; frame-ancestors 'none'",
    ),
    (header::X_CONTENT_TYPE_OPTIONS, "nosniff"),
    (header::REFERRER_POLICY, "no-referrer"),
    (HeaderName::from_static("cross-origin-resource-policy"), "same-origin"),
    (HeaderName::from_static("cross-origin-opener-policy"), "same-origin"),
    (header::X_FRAME_OPTIONS, "DENY"),
];

/// Lets a request through, or refuses it without revealing what this server is.
pub async fn check(State(address): State<Arc<Address>>, request: Request, next: Next) -> Response {
    let mut response = match rejection(&address, &request) {
        Some(status) => refusal(status),
        None => match with_body(request).await {
            Ok(request) => next.run(request).await,
            Err(status) => refusal(status),
        },
    };
    let headers = response.headers_mut();
    for (name, value) in HEADERS {
        headers.insert(name, HeaderValue::from_static(value));
    }
    headers.entry(header::CACHE_CONTROL).or_insert(HeaderValue::from_static("no-store"));
    response
}

fn refusal(status: StatusCode) -> Response {
    (status, status.canonical_reason().unwrap_or("refused")).into_response()
}

/// Reads the request's body, within limits of time and length.
async fn with_body(request: Request) -> Result<Request, StatusCode> {
    let (parts, body) = request.into_parts();
    match tokio::time::timeout(BODY_TIME, to_bytes(body, MAX_BODY)).await {
        Ok(Ok(body)) => Ok(Request::from_parts(parts, Body::from(body))),
        Ok(Err(_)) => Err(StatusCode::PAYLOAD_TOO_LARGE),
        Err(_) => Err(StatusCode::REQUEST_TIMEOUT),
    }
}

fn rejection(address: &Address, request: &Request<Body>) -> Option<StatusCode> {
    let headers = request.headers();
    let host = single_header(headers, header::HOST).or_else(|| request.uri().authority().map(|a| a.as_str()));
    if !host.is_some_and(|h| address.is_own_host(h)) {
        return Some(StatusCode::MISDIRECTED_REQUEST);
    }
    if !same_token(request.uri().path(), &address.token) {
        return Some(StatusCode::NOT_FOUND);
    }
    if headers.contains_key(header::ORIGIN)
        && !single_header(headers, header::ORIGIN)
            .and_then(|o| o.strip_prefix("http://"))
            .is_some_and(|h| address.is_own_host(h))
    {
        return Some(StatusCode::FORBIDDEN);
    }
    let site = HeaderName::from_static("sec-fetch-site");
    if headers.contains_key(&site) && !single_header(headers, site).is_some_and(|s| matches!(s, "same-origin" | "none"))
    {
        return Some(StatusCode::FORBIDDEN);
    }
    // A form on another page can post, but not JSON.
    let json =
        single_header(headers, header::CONTENT_TYPE).is_some_and(|t| t.split(';').next() == Some("application/json"));
    (request.method() == Method::POST && !json).then_some(StatusCode::UNSUPPORTED_MEDIA_TYPE)
}

/// The value of a header that must occur exactly once.
fn single_header(headers: &HeaderMap, name: HeaderName) -> Option<&str> {
    let mut all = headers.get_all(name).iter();
    let first = all.next()?.to_str().ok()?;
    all.next().is_none().then_some(first)
}

/// Whether the path's first part is the token; the time of the comparison does not depend on how much of it is right.
fn same_token(path: &str, token: &str) -> bool {
    let given = path.strip_prefix('/').and_then(|p| p.split('/').next()).unwrap_or_default();
    given.len() == token.len() && given.bytes().zip(token.bytes()).fold(0, |d, (a, b)| d | (a ^ b)) == 0
}
