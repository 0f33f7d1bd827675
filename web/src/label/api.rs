//! The requests of the labelling page. Before an answer is given, no response reveals what an image shows: images are named
//! by their place in the session's order.

use super::session::{LabelSession, Progress, Refused};
use axum::Json;
use axum::extract::{Path, Query, State};
use axum::http::{StatusCode, header};
use axum::response::{IntoResponse, Response};
use convscope_engine::data::Source;
use convscope_engine::humans::{Answer, Classes};
use convscope_engine::{Error, Kind, Result, regular};
use serde::{Deserialize, Serialize};
use serde_json::{Value, json};
use std::sync::Arc;

/// An error in the form that the page shows.
pub struct ApiError(Refused);

impl IntoResponse for ApiError {
    fn into_response(self) -> Response {
        let (status, error) = match self.0 {
            Refused::Taken(error) => (StatusCode::CONFLICT, error),
            Refused::Error(error) => {
                let status = match error.kind {
                    Kind::NotFound => StatusCode::NOT_FOUND,
                    Kind::Value | Kind::Subject | Kind::Shape => StatusCode::UNPROCESSABLE_ENTITY,
                    _ => StatusCode::INTERNAL_SERVER_ERROR,
                };
                (status, error)
            }
        };
        (status, Json(json!({ "error": error.message, "hint": error.hint }))).into_response()
    }
}

/// Runs `f` on a thread that may block on the disk.
pub async fn blocking<T: Send + 'static>(
    f: impl FnOnce() -> Result<T, Refused> + Send + 'static,
) -> Result<T, ApiError> {
    match tokio::task::spawn_blocking(f).await {
        Ok(done) => done.map_err(ApiError),
        Err(e) => Err(ApiError(Error::internal(e.to_string()).into())),
    }
}

/// The session's constants: classes, settings, people.
pub async fn session(State(session): State<Arc<LabelSession>>) -> Json<Value> {
    let classes: Vec<Value> = session
        .classes
        .list()
        .iter()
        .enumerate()
        .map(|(i, c)| json!({ "name": c.name, "synonyms": c.synonyms, "examples": session.examples.count(i) }))
        .collect();
    let people: Vec<Value> =
        session.people().into_iter().map(|(name, done)| json!({ "name": name, "done": done })).collect();
    Json(json!({
        "name": session.data.name,
        "total": session.order.len(),
        "classes": classes,
        "tree": session.tree.as_ref().map(convscope_engine::humans::Tree::json),
        "guesses": session.settings.guesses,
        "training": session.settings.training,
        "net": session.predictions.as_ref().map(|o| o.name()),
        "people": people,
        "kinds": convscope_engine::humans::taxonomy::KINDS.map(|k| json!({ "name": k.name, "about": k.about })),
    }))
}

/// A request for the next images.
#[derive(Deserialize)]
pub struct NextQuery {
    labeller: String,
    #[serde(default)]
    again: bool,
}

/// The next images of a person.
pub async fn next(State(session): State<Arc<LabelSession>>, Query(query): Query<NextQuery>) -> Json<Value> {
    Json(progress_json(&session.progress(query.labeller.trim(), query.again)))
}

fn progress_json(progress: &Progress) -> Value {
    json!({ "done": progress.done, "skipped": progress.skipped, "next": progress.next })
}

/// A request to save an answer.
#[derive(Deserialize)]
pub struct AnswerRequest {
    id: String,
    labeller: String,
    place: usize,
    guesses: Vec<String>,
    #[serde(default)]
    skipped: bool,
    time_s: Option<f64>,
    #[serde(default)]
    again: bool,
}

/// Saves an answer; when this returns, it is on the disk.
pub async fn answer(
    State(session): State<Arc<LabelSession>>,
    Json(request): Json<AnswerRequest>,
) -> Result<Json<Value>, ApiError> {
    blocking(move || {
        let AnswerRequest { id, labeller, place, guesses, skipped, time_s, again } = request;
        let name = labeller.trim().to_string();
        let answer = Answer {
            id,
            labeller,
            image: String::new(),
            guesses: guesses.clone(),
            skipped,
            time_s,
            training: false,
            at: 0.0,
        };
        session.answer(answer, place)?;
        let mut reply = progress_json(&session.progress(&name, again));
        if session.settings.training && !skipped {
            reply["feedback"] = serde_json::to_value(feedback(&session, place, &guesses)?).unwrap_or_default();
        }
        Ok(Json(reply))
    })
    .await
}

/// The response to an answer in training.
#[derive(Serialize)]
struct Feedback {
    /// The right class and its index.
    truth: Option<(usize, String)>,
    /// The rank of the right guess, from 1.
    rank: Option<usize>,
    /// The net's most probable classes.
    net: Vec<(String, f64)>,
}

fn feedback(session: &LabelSession, place: usize, guesses: &[String]) -> Result<Feedback> {
    let truth = session.truth(place);
    let rank = guesses.iter().position(|g| session.classes.index(g).ok() == truth && truth.is_some()).map(|i| i + 1);
    let net = net_guesses(session, place)?;
    Ok(Feedback { truth: truth.map(|t| (t, session.classes.name(t).to_string())), rank, net })
}

/// The net's guesses for the image at `place` by name; none where there is no net.
pub fn net_guesses(session: &LabelSession, place: usize) -> Result<Vec<(String, f64)>> {
    let named = |classes: &Classes, all: Vec<(usize, f64)>| {
        all.into_iter().map(|(c, p)| (classes.name(c).to_string(), p)).collect()
    };
    match &session.predictions {
        Some(predictions) => Ok(named(&session.classes, predictions.guesses(&session.data, session.order[place])?)),
        None => Ok(Vec::new()),
    }
}

/// A request to undo the last answer.
#[derive(Deserialize)]
pub struct UndoRequest {
    id: String,
    labeller: String,
}

/// Undoes a person's last answer.
pub async fn undo(
    State(session): State<Arc<LabelSession>>,
    Json(request): Json<UndoRequest>,
) -> Result<Json<Value>, ApiError> {
    blocking(move || {
        let name = request.labeller.trim();
        let (place, guesses) = session.undo(name, &request.id)?;
        let mut reply = progress_json(&session.progress(name, false));
        reply["undone"] = json!({ "place": place, "guesses": guesses });
        Ok(Json(reply))
    })
    .await
}

/// The image at a place of the session's order.
pub async fn image(State(session): State<Arc<LabelSession>>, Path(place): Path<usize>) -> Result<Response, ApiError> {
    blocking(move || {
        let index = *session.order.get(place).ok_or_else(|| Error::not_found(format!("no image {place}")))?;
        let item = session.data.item(index)?;
        if let Source::File(path) = &item.source {
            let bytes = regular::read(path, |_| Ok(()))?;
            if let Some(kind) = image_type(&bytes) {
                return Ok(image_response(kind, bytes));
            }
        }
        Ok(image_response("image/png", item.image()?.encode_png()?))
    })
    .await
}

/// The MIME type of an image that browsers can show, by its first bytes.
fn image_type(bytes: &[u8]) -> Option<&'static str> {
    match bytes {
        [0xff, 0xd8, 0xff, ..] => Some("image/jpeg"),
        [0x89, b'P', b'N', b'G', ..] => Some("image/png"),
        [b'G', b'I', b'F', b'8', ..] => Some("image/gif"),
        [b'R', b'I', b'F', b'F', _, _, _, _, b'W', b'E', b'B', b'P', ..] => Some("image/webp"),
        _ => None,
    }
}

/// The examples of a class in one picture.
pub async fn examples(
    State(session): State<Arc<LabelSession>>,
    Path(class): Path<usize>,
) -> Result<Response, ApiError> {
    blocking(move || match session.examples.strip(class)? {
        Some(strip) => Ok(image_response("image/jpeg", strip.to_vec())),
        None => Err(Error::not_found(format!("no examples of class {class}")).into()),
    })
    .await
}

pub fn image_response(kind: &'static str, bytes: Vec<u8>) -> Response {
    ([(header::CONTENT_TYPE, kind), (header::CACHE_CONTROL, "private, max-age=86400")], bytes).into_response()
}
