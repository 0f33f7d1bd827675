//! What went wrong with a request to a store, as a person understands it.

use crate::error::{Error, Kind};
use object_store::client::{HttpError, HttpErrorKind};
use std::error::Error as Cause;

/// Answers that the whole store gives, whatever is asked of it: credentials that ran out or are no good.
const SHUT: [&str; 6] = [
    "ExpiredToken",
    "InvalidToken",
    "InvalidAccessKeyId",
    "SignatureDoesNotMatch",
    "RequestTimeTooSkewed",
    "AuthFailure",
];

/// The error of a request about `uri`.
pub fn said(uri: &str, error: &object_store::Error) -> Error {
    let text = error.to_string();
    let code = text.split_once("<Code>").and_then(|(_, rest)| Some(rest.split_once("</Code>")?.0));
    let coded = |what: &str| match code {
        Some(code) => format!("`{uri}`: {what} ({code})"),
        None => format!("`{uri}`: {what}"),
    };
    let is = |status: &str| text.contains(status);
    if let Some(code) = code.filter(|code| SHUT.contains(code)) {
        return Error::new(Kind::Unreachable, format!("`{uri}`: the store does not take the credentials ({code})"))
            .hint("set those that hold; what was done is kept where states are kept");
    }
    let (not_found, denied, unknown) = match error {
        object_store::Error::NotFound { .. } => (true, false, false),
        object_store::Error::PermissionDenied { .. } => (false, true, false),
        object_store::Error::Unauthenticated { .. } => (false, false, true),
        object_store::Error::Precondition { .. } => {
            return Error::format(format!("`{uri}` changed while it was read")).hint("start anew");
        }
        _ => (is("404 Not Found"), is("403 Forbidden"), is("401 Unauthorized")),
    };
    if code == Some("NoSuchBucket") || not_found && is("bucket does not exist") {
        let bucket = uri.splitn(4, '/').take(3).collect::<Vec<_>>().join("/");
        return Error::not_found(format!("there is no bucket `{bucket}`"))
            .hint("look at its name, AWS_ENDPOINT and AWS_REGION");
    }
    if not_found {
        return Error::not_found(coded("there is no such object, or no such bucket"))
            .hint("a folder is named with a slash at its end");
    }
    if unknown {
        return Error::new(Kind::Unreachable, coded("the store does not know who asks: 401 Unauthorized"))
            .hint("look at the credentials in the environment: docs/scale.md");
    }
    if denied {
        return Error::new(Kind::Io, coded("the store forbids it: 403 Forbidden"))
            .hint("look at the credentials in the environment and at what they may read and list: docs/scale.md");
    }
    let (mut causes, mut last): (Vec<&(dyn Cause + 'static)>, &(dyn Cause + 'static)) = (vec![error], error);
    while let Some(next) = last.source() {
        causes.push(next);
        last = next;
    }
    let broke = causes.iter().find_map(|cause| cause.downcast_ref::<HttpError>()).map(HttpError::kind);
    let last = last.to_string();
    let plain = |text: &str| text.split_whitespace().collect::<Vec<_>>().join(" ");
    for (missing, name) in [("AccessKeyId", "AWS_ACCESS_KEY_ID"), ("SecretAccessKey", "AWS_SECRET_ACCESS_KEY")] {
        if is(&format!("Missing {missing}")) {
            return Error::new(Kind::Io, format!("`{uri}`: no credentials: {name} is not set"))
                .hint("set both keys, or none: docs/scale.md");
        }
    }
    if is("169.254.169.254") || is("metadata.google.internal") {
        return Error::new(Kind::Io, format!("`{uri}`: this machine has no credentials: {}", plain(&last)))
            .hint("set them in the environment: docs/scale.md");
    }
    if is("without LOCATION") || is("301 Moved") || is("PermanentRedirect") {
        return Error::new(Kind::Io, format!("`{uri}`: the bucket lies in another region"))
            .hint("set AWS_REGION to its region");
    }
    if is("URL scheme is not allowed") || is("builder error") {
        return Error::value(format!("`{uri}`: {}", plain(&last)))
            .hint("an endpoint without TLS wants AWS_ALLOW_HTTP=true");
    }
    let no_answer = matches!(
        broke,
        Some(HttpErrorKind::Connect | HttpErrorKind::Request | HttpErrorKind::Timeout | HttpErrorKind::Interrupted)
    );
    if no_answer {
        return Error::new(Kind::Unreachable, format!("`{uri}`: the store does not answer: {}", plain(&last)))
            .hint("it was asked for a minute; the same command goes on where states are kept");
    }
    let busy = ["429 ", "500 ", "502 ", "503 ", "504 "].iter().any(|status| is(&format!("status code: {status}")));
    let kind = if busy || is("SlowDown") || is("InternalError") { Kind::Unreachable } else { Kind::Io };
    let short: String = plain(&text).chars().take(400).collect();
    Error::new(kind, format!("`{uri}`: {short}"))
}
