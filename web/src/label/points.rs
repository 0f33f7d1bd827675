//! The page of points: a person clicks each named point on each image, or marks it as not visible. Each answer is one line on the
//! disk before the page continues, as on the other pages; a table that `load_images` reads is written beside the log.

use super::api::{ApiError, blocking, image_response};
use super::names::checked_name;
use super::session::{Refused, checked_id, now};
use crate::Page;
use crate::server::fixed;
use axum::extract::{Path as At, Query, State};
use axum::response::Response;
use axum::routing::{get, post};
use axum::{Json, Router};
use convscope_engine::data::Dataset;
use convscope_engine::humans::points::{standing, table};
use convscope_engine::humans::{Appended, ImageIds, Log, LogEntry, PointAnswer};
use convscope_engine::random::Stream;
use convscope_engine::{Error, Result, atomic};
use serde::Deserialize;
use serde_json::{Value, json};
use std::collections::{BTreeMap, BTreeSet};
use std::path::{Path, PathBuf};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};

/// A session in which people click points.
pub struct PointSession {
    data: Dataset,
    ids: ImageIds,
    names: Vec<String>,
    /// The order in which all people see the images.
    order: Vec<usize>,
    log: Mutex<Log>,
    /// The width and height, px, of the images that were opened so far.
    sizes: Mutex<BTreeMap<usize, [usize; 2]>>,
    /// The table's file, and the number of log entries in it.
    table: PathBuf,
    written: Mutex<usize>,
}

/// A person's progress.
struct Progress {
    done: usize,
    skipped: usize,
    next: Vec<usize>,
}

fn locked<T>(of: &Mutex<T>) -> MutexGuard<'_, T> {
    of.lock().unwrap_or_else(PoisonError::into_inner)
}

impl PointSession {
    /// A session over `data` for the points `names`. Answers are appended to the file `out`; the table has the same name with the
    /// extension .csv.
    ///
    /// # Errors
    /// Where a file cannot be written, images have no files, the log has images or points that this session does not have, or the
    /// table would replace a file of other origin.
    pub fn open(data: Dataset, names: Vec<String>, seed: u64, out: &Path) -> Result<Self> {
        let ids = ImageIds::of(&data);
        let of_file = data.items().all(|item| item.path().is_some());
        if !of_file {
            return Err(Error::value(format!("images of `{}` are in no files of their own", data.name))
                .hint("points are clicked on images in files: a folder, a pattern or a .csv table"));
        }
        let table = out.with_extension("csv");
        if table == out {
            return Err(Error::value(format!("`{}` is the name of the table of points", out.display()))
                .hint("answers go to a .jsonl file, the table is written beside it: --out points.jsonl"));
        }
        let is_new = !out.exists();
        if is_new && table.exists() {
            return Err(Error::value(format!("`{}` is there already and would be replaced", table.display()))
                .hint("name another file with --out"));
        }
        let log = Log::open(out)?;
        for entry in log.entries() {
            let unknown = match entry {
                LogEntry::Undo { .. } => None,
                LogEntry::Points(a) if ids.index(&a.image).is_none() => {
                    Some(format!("the image `{}` is not here", a.image))
                }
                LogEntry::Points(a) => {
                    a.points.keys().find(|p| !names.contains(p)).map(|p| format!("the point `{p}` is not asked for"))
                }
                LogEntry::Answer(_) | LogEntry::Tag(_) => Some("they are of classes, not of points".to_string()),
            };
            if let Some(unknown) = unknown {
                return Err(Error::value(format!("`{}` holds answers of another session: {unknown}", out.display()))
                    .hint("name another file with --out"));
            }
        }
        let order = Stream::new(seed, "label").permutation(data.len());
        let (log, sizes, written) = (Mutex::new(log), Mutex::default(), Mutex::new(0));
        let session = PointSession { data, ids, names, order, log, sizes, table, written };
        session.write_table()?;
        Ok(session)
    }

    /// The number of images.
    pub fn total(&self) -> usize {
        self.order.len()
    }

    /// The table's file.
    pub fn table(&self) -> &Path {
        &self.table
    }

    /// Everyone who answered, with the number of images done.
    pub fn people(&self) -> Vec<(String, usize)> {
        let log = locked(&self.log);
        let mut people: BTreeMap<&str, usize> = BTreeMap::new();
        standing(log.entries()).iter().for_each(|a| *people.entry(&a.labeller).or_default() += 1);
        people.into_iter().map(|(name, n)| (name.to_string(), n)).collect()
    }

    /// Updates the table to the log; writes nothing where it is up to date.
    ///
    /// # Errors
    /// Where the table cannot be written.
    pub fn write_table(&self) -> Result<()> {
        let mut written = locked(&self.written);
        let (answers, n) = {
            let log = locked(&self.log);
            let answers: Vec<PointAnswer> = standing(log.entries()).into_iter().cloned().collect();
            (answers, log.entries().len())
        };
        if n == *written {
            return Ok(());
        }
        let folder = self.table.parent().filter(|p| !p.as_os_str().is_empty()).unwrap_or(Path::new("."));
        let answers: Vec<&PointAnswer> = answers.iter().collect();
        atomic::write(&self.table, &table(&self.data, &self.ids, &self.names, &answers, folder)?)?;
        *written = n;
        Ok(())
    }

    fn progress(&self, name: &str, again: bool) -> Progress {
        let log = locked(&self.log);
        let own: Vec<&PointAnswer> = standing(log.entries()).into_iter().filter(|a| a.labeller == name).collect();
        let seen: BTreeSet<&str> = own.iter().map(|a| a.image.as_str()).collect();
        let skipped: BTreeSet<&str> = own.iter().filter(|a| a.skipped).map(|a| a.image.as_str()).collect();
        let open = |place: &usize| {
            let key = self.ids.name(self.order[*place]);
            !seen.contains(key) || (again && skipped.contains(key))
        };
        let next = (0..self.order.len()).filter(open).take(3).collect();
        Progress { done: seen.len(), skipped: skipped.len(), next }
    }

    fn index(&self, place: usize) -> Result<usize> {
        self.order.get(place).copied().ok_or_else(|| Error::not_found(format!("no image {place}")))
    }

    /// The width and height, px, of image `index` of the data.
    fn size(&self, index: usize) -> Result<[usize; 2]> {
        if let Some(size) = locked(&self.sizes).get(&index) {
            return Ok(*size);
        }
        let image = self.data.item(index)?.image()?;
        let size = [image.width(), image.height()];
        locked(&self.sizes).insert(index, size);
        Ok(size)
    }

    /// Saves an answer to the image at `place`; it is on the disk when this returns. An answer sent twice is saved once.
    ///
    /// # Errors
    /// Where the answer is invalid, its id belongs to another answer, or it cannot be written.
    fn answer(&self, mut answer: PointAnswer, place: usize) -> Result<(), Refused> {
        let index = self.index(place)?;
        answer.labeller = checked_name(&answer.labeller)?;
        answer.image = self.ids.name(index).to_string();
        answer.at = now();
        checked_id(&answer.id)?;
        if answer.time_s.is_some_and(|t| !(0.0..=1e7).contains(&t)) {
            return Err(Error::value("the time of an answer lies between 0 and 1e7 seconds").into());
        }
        match answer.skipped {
            true if !answer.points.is_empty() => {
                return Err(Error::value("an answer that skips its image has no points").into());
            }
            true => {}
            false => {
                if let Some(missing) = self.names.iter().find(|n| !answer.points.contains_key(*n)) {
                    return Err(Error::value(format!("the answer has no entry for the point `{missing}`")).into());
                }
                if let Some(odd) = answer.points.keys().find(|n| !self.names.contains(n)) {
                    return Err(Error::not_found(format!("no point `{odd}`")).into());
                }
                let [width, height] = self.size(index)?;
                let inside = |[x, y]: [f64; 2]| (0.0..=width as f64).contains(&x) && (0.0..=height as f64).contains(&y);
                if let Some((name, _)) = answer.points.iter().find(|(_, place)| !place.is_none_or(inside)) {
                    return Err(Error::value(format!(
                        "the point `{name}` is not on the image of {width} x {height} pixels"
                    ))
                    .into());
                }
            }
        }
        let id = answer.id.clone();
        match locked(&self.log).append(LogEntry::Points(answer))? {
            Appended::New | Appended::Known => Ok(()),
            Appended::Taken => Err(Refused::taken(&id)),
        }
    }

    /// Undoes the last answer of `name`; returns the place of its image and its points. A request sent twice undoes one answer.
    ///
    /// # Errors
    /// Where there is no answer, the id belongs to another entry, or it cannot be written.
    fn undo(&self, name: &str, id: &str) -> Result<(usize, Clicked), Refused> {
        checked_id(id)?;
        let mut log = locked(&self.log);
        let back = match log.find(id) {
            // A repeated request gets the same response again; an id of another entry is refused.
            Some(known) => {
                let of = if let LogEntry::Undo { of, .. } = known { log.find(of) } else { None };
                let Some(LogEntry::Points(answer)) = of else { return Err(Refused::taken(id)) };
                if answer.labeller != name {
                    return Err(Refused::taken(id));
                }
                log.in_place()?;
                answer.clone()
            }
            None => {
                let last = standing(log.entries()).into_iter().rfind(|a| a.labeller == name).cloned();
                let last = last.ok_or_else(|| Error::not_found(format!("{name} has given no answer to take back")))?;
                let undo = LogEntry::Undo { id: id.to_string(), of: last.id.clone(), at: now() };
                if log.append(undo)? == Appended::Taken {
                    return Err(Refused::taken(id));
                }
                last
            }
        };
        let index = self.ids.index(&back.image);
        let place = self.order.iter().position(|i| Some(*i) == index);
        Ok((place.ok_or_else(|| Error::internal("an answer about no image"))?, back.points))
    }
}

/// The points of an image by name, px; none for a point that the person does not see.
type Clicked = BTreeMap<String, Option<[f64; 2]>>;

/// The page of a session.
pub fn page(session: Arc<PointSession>) -> Page {
    let script = "text/javascript; charset=utf-8";
    let routes = Router::new()
        .route("/page.js", fixed(script, include_str!("page/points.js")))
        .route("/common.js", fixed(script, include_str!("page/common.js")))
        .route("/favicon.svg", fixed("image/svg+xml", include_str!("page/favicon.svg")))
        .route("/page.css", fixed("text/css; charset=utf-8", include_str!("page/page.css")))
        .route("/points.css", fixed("text/css; charset=utf-8", include_str!("page/points.css")))
        .route("/api/session", get(about))
        .route("/api/next", get(next))
        .route("/api/points", post(answer))
        .route("/api/undo", post(undo))
        .route("/image/{place}", get(image))
        .with_state(session);
    Page { html: include_str!("page/points.html"), routes }
}

/// The session's constants for the page.
async fn about(State(session): State<Arc<PointSession>>) -> Json<Value> {
    let people: Vec<Value> =
        session.people().into_iter().map(|(name, done)| json!({ "name": name, "done": done })).collect();
    Json(json!({
        "name": session.data.name,
        "total": session.total(),
        "points": session.names,
        "table": session.table.file_name().map(|n| n.to_string_lossy()),
        "people": people,
    }))
}

#[derive(Deserialize)]
struct NextQuery {
    labeller: String,
    #[serde(default)]
    again: bool,
}

async fn next(State(session): State<Arc<PointSession>>, Query(query): Query<NextQuery>) -> Json<Value> {
    Json(progress_json(&session.progress(query.labeller.trim(), query.again)))
}

fn progress_json(progress: &Progress) -> Value {
    json!({ "done": progress.done, "skipped": progress.skipped, "next": progress.next })
}

/// A request to save an answer.
#[derive(Deserialize)]
struct PointsRequest {
    id: String,
    labeller: String,
    place: usize,
    #[serde(default)]
    points: BTreeMap<String, Option<[f64; 2]>>,
    #[serde(default)]
    skipped: bool,
    time_s: Option<f64>,
    #[serde(default)]
    again: bool,
}

/// Saves an answer; when this returns, it is on the disk. The table is updated afterwards.
async fn answer(
    State(session): State<Arc<PointSession>>,
    Json(request): Json<PointsRequest>,
) -> Result<Json<Value>, ApiError> {
    let kept = session.clone();
    let reply = blocking(move || {
        let PointsRequest { id, labeller, place, points, skipped, time_s, again } = request;
        let name = labeller.trim().to_string();
        let answer = PointAnswer { id, labeller, image: String::new(), points, skipped, time_s, at: 0.0 };
        session.answer(answer, place)?;
        Ok(Json(progress_json(&session.progress(&name, again))))
    })
    .await;
    refresh(kept);
    reply
}

/// Updates the table in the background. Where that fails (a full disk), the next answer or the end of the session tries again.
fn refresh(session: Arc<PointSession>) {
    tokio::task::spawn_blocking(move || drop(session.write_table()));
}

#[derive(Deserialize)]
struct UndoRequest {
    id: String,
    labeller: String,
}

async fn undo(
    State(session): State<Arc<PointSession>>,
    Json(request): Json<UndoRequest>,
) -> Result<Json<Value>, ApiError> {
    let kept = session.clone();
    let reply = blocking(move || {
        let name = request.labeller.trim();
        let (place, points) = session.undo(name, &request.id)?;
        let mut reply = progress_json(&session.progress(name, false));
        reply["undone"] = json!({ "place": place, "points": points });
        Ok(Json(reply))
    })
    .await;
    refresh(kept);
    reply
}

/// The image at a place of the session's order, decoded by the engine: rotated as its EXIF says, so that clicks are in its pixels.
async fn image(State(session): State<Arc<PointSession>>, At(place): At<usize>) -> Result<Response, ApiError> {
    blocking(move || {
        let index = session.index(place)?;
        let image = session.data.item(index)?.image()?;
        locked(&session.sizes).insert(index, [image.width(), image.height()]);
        Ok(image_response("image/png", image.encode_png()?))
    })
    .await
}
