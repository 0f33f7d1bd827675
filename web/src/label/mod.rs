//! The labelling page: it shows one image at a time and saves a person's answers.
//!
//! Karpathy, "What I learned from competing against a ConvNet on ImageNet", 2014: up to five guesses out of up to 1,000
//! classes, with examples of each.

mod api;
mod examples;
mod names;
pub mod points;
mod predictions;
mod review;
mod session;

pub use examples::Examples;
pub use points::PointSession;
pub use predictions::Predictions;
pub use session::{LabelSession, Settings};

use crate::Page;
use crate::server::fixed;
use axum::Router;
use axum::routing::{get, post};
use std::sync::Arc;

/// The page of a session: to label, or to review errors.
pub fn page(session: Arc<LabelSession>) -> Page {
    let (html, js) = if session.settings.review {
        (include_str!("page/review.html"), include_str!("page/review.js"))
    } else {
        (include_str!("page/label.html"), include_str!("page/label.js"))
    };
    let script = "text/javascript; charset=utf-8";
    let routes = Router::new()
        .route("/page.js", fixed(script, js))
        .route("/common.js", fixed(script, include_str!("page/common.js")))
        .route("/search.js", fixed(script, include_str!("page/search.js")))
        .route("/favicon.svg", fixed("image/svg+xml", include_str!("page/favicon.svg")))
        .route("/page.css", fixed("text/css; charset=utf-8", include_str!("page/page.css")))
        .route("/api/session", get(api::session))
        .route("/api/next", get(api::next))
        .route("/api/answer", post(api::answer))
        .route("/api/undo", post(api::undo))
        .route("/api/errors", get(review::errors))
        .route("/api/tag", post(review::tag))
        .route("/image/{place}", get(api::image))
        .route("/examples/{class}", get(api::examples))
        .with_state(session);
    Page { html, routes }
}
