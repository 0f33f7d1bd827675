//! Where results go: the terminal, a report, a notebook. The session's caller supplies it.

use crate::run::states::ClusterRequest;
use crate::widgets::Widget;
use convscope_engine::data::Image;
use convscope_engine::states::StateFile;
use convscope_engine::{Artifact, Error, Result};

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

    /// A part of a line.
    fn write(&self, text: &str) {
        self.print(text);
    }

    /// What `debug` writes: beside the results.
    fn debug(&self, text: &str) {
        self.print(text);
    }

    /// Asks the person in front of it for a line.
    ///
    /// # Errors
    /// Where nobody can be asked, or the answer was refused.
    fn ask(&self, prompt: &str) -> Result<String> {
        let _ = prompt;
        Err(Error::unsupported("there is nobody to ask").hint("run it in a terminal or a notebook"))
    }

    /// Has a cluster look at the images of a script's data sets; the states of all its questions, or nothing where this process
    /// looks at them itself.
    ///
    /// # Errors
    /// Where no cluster can be asked from here, or it does not answer.
    fn cluster(&self, request: &ClusterRequest) -> Result<Option<StateFile>> {
        Err(Error::unsupported(format!("`{}`: no cluster can be asked from here", request.address))
            .hint("`convscope run` asks one"))
    }

    /// Takes away what was shown, at once or when the next output comes.
    fn clear(&self, wait: bool) {
        let _ = wait;
    }

    /// Whether people can move what is shown here.
    fn moves(&self) -> bool {
        false
    }

    /// Shows something that people can move.
    fn widget(&self, widget: &Widget) {
        self.show(&widget.still);
    }

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
