//! The entries of a labelling session's log.

use serde::{Deserialize, Serialize};
use std::collections::BTreeMap;

/// A person's answer for one image.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct Answer {
    /// An id made by the page; an answer that is sent twice has the same id.
    pub id: String,
    /// The person.
    pub labeller: String,
    /// The image, as [`super::ImageIds`] names it.
    pub image: String,
    /// The guessed classes in order; empty where the image was skipped.
    pub guesses: Vec<String>,
    /// Whether the image was skipped.
    #[serde(default)]
    pub skipped: bool,
    /// The time to answer, seconds, without the time in which the page was hidden.
    #[serde(default)]
    pub time_s: Option<f64>,
    /// Whether the session shows the right class after each answer.
    #[serde(default)]
    pub training: bool,
    /// The time of the answer, seconds since 1970 (UTC).
    #[serde(default)]
    pub at: f64,
}

/// A reviewer's kinds of an error.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct Tag {
    /// An id made by the page.
    pub id: String,
    /// The reviewer.
    pub by: String,
    /// Who made the error: a person or a net.
    pub subject: String,
    /// The image.
    pub image: String,
    /// Names in [`super::taxonomy::KINDS`]; an empty list removes earlier ones.
    pub kinds: Vec<String>,
    /// The time of the entry, seconds since 1970 (UTC).
    #[serde(default)]
    pub at: f64,
}

/// A person's points for one image.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct PointAnswer {
    /// An id made by the page; an answer that is sent twice has the same id.
    pub id: String,
    /// The person.
    pub labeller: String,
    /// The image, as [`super::ImageIds`] names it.
    pub image: String,
    /// The position of each point in pixels of the image, from its top left corner (the first pixel's centre is 0.5, 0.5); none
    /// where the point is not visible.
    pub points: BTreeMap<String, Option<[f64; 2]>>,
    /// Whether the image was skipped.
    #[serde(default)]
    pub skipped: bool,
    /// The time to answer, seconds, without the time in which the page was hidden.
    #[serde(default)]
    pub time_s: Option<f64>,
    /// The time of the answer, seconds since 1970 (UTC).
    #[serde(default)]
    pub at: f64,
}

/// An entry, one line of the log.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[serde(tag = "kind", rename_all = "lowercase")]
pub enum LogEntry {
    /// An answer of classes.
    Answer(Answer),
    /// An answer of points.
    Points(PointAnswer),
    /// The undoing of an answer.
    Undo {
        /// An id made by the page.
        id: String,
        /// The answer's id.
        of: String,
        /// The time of the entry, seconds since 1970 (UTC).
        #[serde(default)]
        at: f64,
    },
    /// The kinds of an error.
    Tag(Tag),
}

impl LogEntry {
    /// The entry's id, by which an entry that is sent twice is recognised.
    pub fn id(&self) -> &str {
        match self {
            LogEntry::Answer(Answer { id, .. })
            | LogEntry::Points(PointAnswer { id, .. })
            | LogEntry::Undo { id, .. }
            | LogEntry::Tag(Tag { id, .. }) => id,
        }
    }

    /// Whether it equals `other` except for the time and the training mode.
    pub(super) fn says(&self, other: &LogEntry) -> bool {
        let said = |entry: &LogEntry| {
            let mut entry = entry.clone();
            match &mut entry {
                LogEntry::Answer(answer) => (answer.at, answer.training) = (0.0, false),
                LogEntry::Points(PointAnswer { at, .. })
                | LogEntry::Undo { at, .. }
                | LogEntry::Tag(Tag { at, .. }) => *at = 0.0,
            }
            entry
        };
        said(self) == said(other)
    }
}
