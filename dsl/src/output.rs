//! Where results go: the terminal, a report, a notebook. The session's caller supplies it.

use convscope_engine::Artifact;
use convscope_engine::data::Image;

/// What `show` was given.
#[derive(Clone, Debug)]
pub enum Shown {
    /// A plain value as text.
    Text(String),
    /// A result with pictures, tables, plots.
    Artifact(Box<Artifact>),
}

/// Takes what a script prints and shows.
pub trait Output: Send + Sync {
    /// A line that the script printed.
    fn print(&self, text: &str);

    /// A result that the script showed.
    fn show(&self, shown: &Shown);

    /// `done` of `total` steps of the work called `label`.
    fn progress(&self, label: &str, done: usize, total: usize) {
        let _ = (label, done, total);
    }

    /// A picture as it grows.
    fn picture(&self, label: &str, image: &Image) {
        let _ = (label, image);
    }
}

/// An output that drops everything.
#[derive(Clone, Copy, Debug, Default)]
pub struct Silent;

impl Output for Silent {
    fn print(&self, _: &str) {}
    fn show(&self, _: &Shown) {}
}
