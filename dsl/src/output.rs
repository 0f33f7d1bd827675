//! The interface to the destination of results (terminal, report or notebook), which the session's caller supplies.

use crate::run::request::ClusterRequest;
use crate::shown::Shown;
use crate::widgets::state::Widget;
use convscope_engine::data::Image;
use convscope_engine::states::StateFile;
use convscope_engine::{Error, Result};

/// The destination of what a script prints and shows.
pub trait Output: Send + Sync {
    /// A line that the script printed.
    fn print(&self, text: &str);

    /// A result that the script showed.
    fn show(&self, shown: &Shown);

    /// A part of a line, by `write`.
    fn write(&self, text: &str) {
        self.print(text);
    }

    /// A line of `debug`, which is no result.
    fn debug(&self, text: &str) {
        self.print(text);
    }

    /// The error that ends the script, where it printed and showed more than can be kept.
    fn too_much(&self) -> Option<Error> {
        None
    }

    /// Asks the user for a line.
    ///
    /// # Errors
    /// Where there is no user to ask, or the question was refused.
    fn ask(&self, prompt: &str) -> Result<String> {
        let _ = prompt;
        Err(Error::unsupported("there is no user to ask").hint("run it in a terminal or a notebook"))
    }

    /// Evaluates the images of a script's data sets on a cluster. Returns the states of all questions, or `None` where this process
    /// evaluates them itself.
    ///
    /// # Errors
    /// Where no cluster can be reached from here, or it fails.
    fn cluster(&self, request: &ClusterRequest) -> Result<Option<StateFile>> {
        Err(Error::unsupported(format!("`{}`: no cluster can be asked from here", request.address))
            .hint("`convscope run` asks one"))
    }

    /// Passes have ended for now, and a file is made of a result: what they freed is not used again soon.
    fn drawing(&self) {}

    /// Removes what was shown, at once or with the next output.
    fn clear(&self, wait: bool) {
        let _ = wait;
    }

    /// Whether widgets can be moved by the user.
    fn moves(&self) -> bool {
        false
    }

    /// Shows a widget.
    fn widget(&self, widget: &Widget) {
        self.show(&widget.still);
    }

    /// Reports `done` of `total` steps of the work `label`.
    fn progress(&self, label: &str, done: usize, total: usize) {
        let _ = (label, done, total);
    }

    /// Shows a picture as it is made.
    fn picture(&self, label: &str, image: &Image) {
        let _ = (label, image);
    }
}

/// An output that discards everything.
#[derive(Clone, Copy, Debug, Default)]
pub struct Silent;

impl Output for Silent {
    fn print(&self, _: &str) {}
    fn show(&self, _: &Shown) {}
}
