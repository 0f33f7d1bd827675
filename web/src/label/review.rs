//! The review page: each error of people and of the net, to which reviewers assign kinds of error.

use super::api::{ApiError, blocking, net_guesses};
use super::session::LabelSession;
use axum::Json;
use axum::extract::State;
use convscope_engine::Result;
use convscope_engine::humans::Tag;
use serde::Deserialize;
use serde_json::{Value, json};
use std::collections::{BTreeMap, BTreeSet};
use std::sync::Arc;

/// Every error, image by image in the session's order: the answers of people without a right guess, and those of the net where
/// people answered and none of its five guesses is right.
pub async fn errors(State(session): State<Arc<LabelSession>>) -> Result<Json<Value>, ApiError> {
    blocking(move || {
        let (answers, tags) = session.standing();
        let place_of: BTreeMap<&str, usize> =
            session.order.iter().enumerate().map(|(place, i)| (session.ids.name(*i), place)).collect();
        let mut found: Vec<(usize, Value)> = Vec::new();
        let mut judged = BTreeSet::new();
        let kinds = |subject: &str, image: &str| -> BTreeMap<String, Vec<String>> {
            let of = tags.iter().filter(|t| t.subject == subject && t.image == image);
            of.map(|t| (t.by.clone(), t.kinds.clone())).collect()
        };
        for answer in answers.iter().filter(|a| !a.skipped) {
            let Some(place) = place_of.get(answer.image.as_str()).copied() else { continue };
            let Some(truth) = session.truth(place) else { continue };
            judged.insert(place);
            if !answer.guesses.iter().any(|g| session.classes.index(g).ok() == Some(truth)) {
                let guesses: Vec<(String, Option<f64>)> = answer.guesses.iter().map(|g| (g.clone(), None)).collect();
                found.push((
                    place,
                    error_json(
                        &session,
                        place,
                        truth,
                        &answer.labeller,
                        true,
                        &guesses,
                        kinds(&answer.labeller, &answer.image),
                    ),
                ));
            }
        }
        if let Some(predictions) = &session.predictions {
            for place in judged {
                let Some(truth) = session.truth(place) else { continue };
                let guesses = net_guesses(&session, place)?;
                if !guesses.iter().any(|(g, _)| g == session.classes.name(truth)) {
                    let guesses: Vec<(String, Option<f64>)> = guesses.into_iter().map(|(g, p)| (g, Some(p))).collect();
                    let tagged = kinds(predictions.name(), session.ids.name(session.order[place]));
                    found
                        .push((place, error_json(&session, place, truth, predictions.name(), false, &guesses, tagged)));
                }
            }
        }
        found.sort_by_key(|(place, _)| *place);
        Ok(Json(found.into_iter().map(|(_, v)| v).collect()))
    })
    .await
}

fn error_json(
    session: &LabelSession,
    place: usize,
    truth: usize,
    subject: &str,
    person: bool,
    guesses: &[(String, Option<f64>)],
    kinds: BTreeMap<String, Vec<String>>,
) -> Value {
    json!({
        "place": place,
        "subject": subject,
        "person": person,
        "truth": { "index": truth, "name": session.classes.name(truth) },
        "guesses": guesses,
        "kinds": kinds,
    })
}

/// A request to save the kinds of an error.
#[derive(Deserialize)]
pub struct TagRequest {
    id: String,
    by: String,
    subject: String,
    place: usize,
    kinds: Vec<String>,
}

/// Saves the kinds of an error; when this returns, they are on the disk.
pub async fn tag(
    State(session): State<Arc<LabelSession>>,
    Json(request): Json<TagRequest>,
) -> Result<Json<Value>, ApiError> {
    blocking(move || {
        let TagRequest { id, by, subject, place, kinds } = request;
        session.tag(Tag { id, by, subject, image: String::new(), kinds, at: 0.0 }, place)?;
        Ok(Json(json!({})))
    })
    .await
}
