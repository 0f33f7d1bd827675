//! The entries of a labelling session's file.

use serde::{Deserialize, Serialize};
use std::collections::BTreeMap;

/// One person's answer for one image.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct Answer {
    /// Made by the page: the same answer sent again has the same one.
    pub id: String,
    /// Who answered.
    pub labeller: String,
    /// The image, as [`super::ImageIds`] names it.
    pub image: String,
    /// The classes guessed, the first guess first; none where the image was skipped.
    pub guesses: Vec<String>,
    /// Whether the image was skipped.
    #[serde(default)]
    pub skipped: bool,
    /// The time for the answer, seconds, without the time that the page was hidden.
    #[serde(default)]
    pub time_s: Option<f64>,
    /// Whether the right class was shown after each answer.
    #[serde(default)]
    pub training: bool,
    /// When the answer came, seconds since 1970 (UTC).
    #[serde(default)]
    pub at: f64,
}

/// The kinds of error of a wrong answer.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct Tag {
    /// Made by the page.
    pub id: String,
    /// The reviewer.
    pub by: String,
    /// Whose error it is: a labeller or a net.
    pub subject: String,
    /// The image.
    pub image: String,
    /// Names of [`super::taxonomy::KINDS`]; an empty list removes earlier ones.
    pub kinds: Vec<String>,
    /// When, seconds since 1970 (UTC).
    #[serde(default)]
    pub at: f64,
}

/// Where one person saw the named points of one image.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct PointAnswer {
    /// Made by the page: the same answer sent again has the same one.
    pub id: String,
    /// Who answered.
    pub labeller: String,
    /// The image, as [`super::ImageIds`] names it.
    pub image: String,
    /// The place of each point in pixels of the image, from its top left corner (the first pixel's centre is 0.5, 0.5), or none where
    /// it is not visible.
    pub points: BTreeMap<String, Option<[f64; 2]>>,
    /// Whether the image was skipped.
    #[serde(default)]
    pub skipped: bool,
    /// How long the image was looked at, seconds; the time that the page was hidden is not counted.
    #[serde(default)]
    pub time_s: Option<f64>,
    /// When the answer came, seconds since 1970 (UTC).
    #[serde(default)]
    pub at: f64,
}

/// One line.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[serde(tag = "kind", rename_all = "lowercase")]
pub enum Entry {
    /// An answer.
    Answer(Answer),
    /// An answer that is places of points.
    Points(PointAnswer),
    /// An answer is taken back.
    Undo {
        /// Made by the page.
        id: String,
        /// The answer's.
        of: String,
        /// When, seconds since 1970 (UTC).
        #[serde(default)]
        at: f64,
    },
    /// The kinds of an error.
    Tag(Tag),
}

impl Entry {
    /// Made by the page, so that nothing is written twice.
    pub fn id(&self) -> &str {
        match self {
            Entry::Answer(Answer { id, .. })
            | Entry::Points(PointAnswer { id, .. })
            | Entry::Undo { id, .. }
            | Entry::Tag(Tag { id, .. }) => id,
        }
    }

    /// Whether it says the same as `other`: all but when it came, and whether the session was one in training.
    pub(super) fn says(&self, other: &Entry) -> bool {
        let said = |entry: &Entry| {
            let mut entry = entry.clone();
            match &mut entry {
                Entry::Answer(answer) => (answer.at, answer.training) = (0.0, false),
                Entry::Points(PointAnswer { at, .. }) | Entry::Undo { at, .. } | Entry::Tag(Tag { at, .. }) => {
                    *at = 0.0
                }
            }
            entry
        };
        said(self) == said(other)
    }
}
