//! A labelling session: the next image of each person, over an append-only log of answers.

use super::examples::Examples;
use super::names::checked_name;
use super::predictions::Predictions;
use convscope_engine::data::Dataset;
use convscope_engine::humans::{Answer, Appended, Classes, ImageIds, Log, LogEntry, Tag, Tree};
use convscope_engine::random::Stream;
use convscope_engine::{Error, Result};
use std::collections::{BTreeMap, BTreeSet};
use std::path::Path;
use std::sync::{Mutex, MutexGuard, PoisonError};
use std::time::{SystemTime, UNIX_EPOCH};

/// The options of a session.
#[derive(Clone, Copy, Debug)]
pub struct Settings {
    /// The seed of the images' order.
    pub seed: u64,
    /// How many guesses an answer may have.
    pub guesses: usize,
    /// Whether the right class is shown after each answer.
    pub training: bool,
    /// Whether the page reviews errors instead.
    pub review: bool,
}

/// A labelling session.
pub struct LabelSession {
    /// The images.
    pub data: Dataset,
    /// The images' names in the log.
    pub ids: ImageIds,
    /// The classes to choose from.
    pub classes: Classes,
    /// Thumbnails of each class.
    pub examples: Examples,
    /// The predictions of a net.
    pub predictions: Option<Predictions>,
    /// The tree of classes to browse.
    pub tree: Option<Tree>,
    /// The session's options.
    pub settings: Settings,
    /// The order in which all people see the images.
    pub order: Vec<usize>,
    state: Mutex<SessionState>,
}

/// The mutable state: the log, and each person's progress in it.
struct SessionState {
    log: Log,
    people: BTreeMap<String, Person>,
}

/// The valid answers of one person, in order.
#[derive(Default)]
struct Person {
    answers: Vec<Answer>,
    seen: BTreeSet<String>,
}

/// Why an entry was not saved.
#[derive(Debug)]
pub enum Refused {
    /// The entry is invalid or cannot be written.
    Error(Error),
    /// The entry's id belongs to another entry.
    Taken(Error),
}

impl Refused {
    /// The id belongs to another entry.
    pub(super) fn taken(id: &str) -> Self {
        let error = Error::value(format!("the id `{id}` belongs to another entry"));
        Refused::Taken(error.hint("nothing was saved; reload the page, which makes a new id"))
    }
}

impl From<Error> for Refused {
    fn from(error: Error) -> Self {
        Refused::Error(error)
    }
}

/// A person's progress.
#[derive(Clone, Debug, PartialEq)]
pub struct Progress {
    /// The number of images answered or skipped.
    pub done: usize,
    /// The number of images skipped.
    pub skipped: usize,
    /// The places, in the session's order, of the next images.
    pub next: Vec<usize>,
}

impl LabelSession {
    /// A session over `data` whose answers are appended to the file `out`.
    ///
    /// # Errors
    /// Where the file cannot be written, or has images or classes that this session does not have.
    pub fn open(
        data: Dataset,
        classes: Classes,
        examples: Examples,
        predictions: Option<Predictions>,
        settings: Settings,
        out: &Path,
    ) -> Result<Self> {
        let ids = ImageIds::of(&data);
        let log = Log::open(out)?;
        for entry in log.entries() {
            if let LogEntry::Points(_) = entry {
                return Err(Error::value(format!("`{}` holds points, not classes", out.display()))
                    .hint("go on with --points, or name another file with --out"));
            }
            let LogEntry::Answer(a) = entry else { continue };
            let unknown = match ids.index(&a.image) {
                None => Some(format!("the image `{}`", a.image)),
                Some(_) => a.guesses.iter().find(|g| classes.index(g).is_err()).map(|g| format!("the class `{g}`")),
            };
            if let Some(unknown) = unknown {
                return Err(Error::value(format!(
                    "`{}` holds answers of another session: {unknown} is not here",
                    out.display()
                ))
                .hint("name another file with --out"));
            }
        }
        let mut people = BTreeMap::new();
        log.entries().iter().for_each(|e| apply(&mut people, e));
        let order = Stream::new(settings.seed, "label").permutation(data.len());
        Ok(LabelSession {
            data,
            ids,
            classes,
            examples,
            predictions,
            tree: None,
            settings,
            order,
            state: Mutex::new(SessionState { log, people }),
        })
    }

    /// The same session with a tree of its classes.
    #[must_use]
    pub fn with_tree(self, tree: Option<Tree>) -> Self {
        LabelSession { tree, ..self }
    }

    fn state(&self) -> MutexGuard<'_, SessionState> {
        self.state.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// Everyone who answered, with the number of images done.
    pub fn people(&self) -> Vec<(String, usize)> {
        self.state().people.iter().map(|(name, p)| (name.clone(), p.seen.len())).collect()
    }

    /// The progress of `name`; with `again`, skipped images come once more.
    pub fn progress(&self, name: &str, again: bool) -> Progress {
        let state = self.state();
        let none = Person::default();
        let person = state.people.get(name).unwrap_or(&none);
        let skipped: BTreeSet<&str> = person.answers.iter().filter(|a| a.skipped).map(|a| a.image.as_str()).collect();
        let open = |place: &usize| {
            let key = self.ids.name(self.order[*place]);
            !person.seen.contains(key) || (again && skipped.contains(key))
        };
        Progress {
            done: person.seen.len(),
            skipped: skipped.len(),
            next: (0..self.order.len()).filter(open).take(3).collect(),
        }
    }

    /// Saves an answer to the image at `place`; it is on the disk when this returns. An answer sent twice is saved once.
    ///
    /// # Errors
    /// Where the answer is invalid, its id belongs to another answer, or it cannot be written.
    pub fn answer(&self, mut answer: Answer, place: usize) -> Result<(), Refused> {
        let index = *self.order.get(place).ok_or_else(|| Error::not_found(format!("no image {place}")))?;
        answer.labeller = checked_name(&answer.labeller)?;
        answer.image = self.ids.name(index).to_string();
        answer.training = self.settings.training;
        answer.at = now();
        checked_id(&answer.id)?;
        if answer.guesses.len() > self.settings.guesses {
            return Err(Error::value(format!(
                "{} guesses, at most {} are taken",
                answer.guesses.len(),
                self.settings.guesses
            ))
            .into());
        }
        if answer.skipped != answer.guesses.is_empty() {
            return Err(Error::value("an answer has guesses or skips its image").into());
        }
        let mut chosen = BTreeSet::new();
        for guess in &mut answer.guesses {
            let class = self.classes.index(guess)?;
            if !chosen.insert(class) {
                return Err(Error::value(format!("`{guess}` is guessed twice")).into());
            }
            *guess = self.classes.name(class).to_string();
        }
        if answer.time_s.is_some_and(|t| !(0.0..=1e7).contains(&t)) {
            return Err(Error::value("the time of an answer lies between 0 and 1e7 seconds").into());
        }
        self.write(LogEntry::Answer(answer))
    }

    /// Undoes the last answer of `name`; returns the place of its image and its guesses. A request sent twice undoes one answer.
    ///
    /// # Errors
    /// Where there is no answer, the id belongs to another entry, or it cannot be written.
    pub fn undo(&self, name: &str, id: &str) -> Result<(usize, Vec<String>), Refused> {
        checked_id(id)?;
        let last = {
            let state = self.state();
            if let Some(known) = state.log.find(id) {
                let of = if let LogEntry::Undo { of, .. } = known { state.log.find(of) } else { None };
                // A repeated request gets the same response again; an id of another entry is refused.
                let Some(LogEntry::Answer(answer)) = of else { return Err(Refused::taken(id)) };
                if answer.labeller != name {
                    return Err(Refused::taken(id));
                }
                state.log.in_place()?;
                return Ok(self.place_and_guesses(answer)?);
            }
            let person = state.people.get(name).and_then(|p| p.answers.last()).cloned();
            person.ok_or_else(|| Error::not_found(format!("{name} has given no answer to take back")))?
        };
        self.write(LogEntry::Undo { id: id.to_string(), of: last.id.clone(), at: now() })?;
        Ok(self.place_and_guesses(&last)?)
    }

    fn place_and_guesses(&self, answer: &Answer) -> Result<(usize, Vec<String>)> {
        let index = self.ids.index(&answer.image);
        let place = self.order.iter().position(|i| Some(*i) == index);
        Ok((place.ok_or_else(|| Error::internal("an answer about no image"))?, answer.guesses.clone()))
    }

    /// Saves the kinds of error of an answer.
    ///
    /// # Errors
    /// Where a kind is unknown, the id belongs to another entry, or it cannot be written.
    pub fn tag(&self, mut tag: Tag, place: usize) -> Result<(), Refused> {
        let index = *self.order.get(place).ok_or_else(|| Error::not_found(format!("no image {place}")))?;
        tag.image = self.ids.name(index).to_string();
        tag.by = checked_name(&tag.by)?;
        tag.at = now();
        checked_id(&tag.id)?;
        if let Some(wrong) = tag.kinds.iter().find(|k| convscope_engine::humans::taxonomy::find(k).is_none()) {
            return Err(Error::not_found(format!("no kind of error `{wrong}`")).into());
        }
        self.write(LogEntry::Tag(tag))
    }

    fn write(&self, entry: LogEntry) -> Result<(), Refused> {
        let mut state = self.state();
        match state.log.append(entry.clone())? {
            Appended::New => apply(&mut state.people, &entry),
            Appended::Known => {}
            Appended::Taken => return Err(Refused::taken(entry.id())),
        }
        Ok(())
    }

    /// The right class of the image at `place`, where it is known.
    pub fn truth(&self, place: usize) -> Option<usize> {
        let item = self.data.item(*self.order.get(place)?).ok()?;
        self.classes.index(item.label.as_deref()?).ok()
    }

    /// The valid answers of everyone, and the kinds of their errors.
    pub fn standing(&self) -> (Vec<Answer>, Vec<Tag>) {
        use convscope_engine::humans::log::{standing, tags};
        let state = self.state();
        let entries = state.log.entries();
        (standing(entries).into_iter().cloned().collect(), tags(entries).into_iter().cloned().collect())
    }
}

fn apply(people: &mut BTreeMap<String, Person>, entry: &LogEntry) {
    match entry {
        LogEntry::Answer(a) => {
            let person = people.entry(a.labeller.clone()).or_default();
            person.answers.retain(|b| b.image != a.image);
            person.answers.push(a.clone());
            person.seen.insert(a.image.clone());
        }
        LogEntry::Undo { of, .. } => {
            for person in people.values_mut() {
                if let Some(i) = person.answers.iter().position(|a| a.id == *of) {
                    let back = person.answers.remove(i);
                    person.seen.remove(&back.image);
                }
            }
        }
        LogEntry::Tag(_) | LogEntry::Points(_) => {}
    }
}

pub(super) fn checked_id(id: &str) -> Result<()> {
    let fine = (8..=64).contains(&id.len()) && id.bytes().all(|b| b.is_ascii_alphanumeric() || b == b'-');
    if fine { Ok(()) } else { Err(Error::value("an id has 8 to 64 letters and digits")) }
}

pub(super) fn now() -> f64 {
    SystemTime::now().duration_since(UNIX_EPOCH).map_or(0.0, |d| (d.as_secs_f64() * 1000.0).round() / 1000.0)
}
