//! Serves the requests of a sealed run, where they are permitted.

use super::sealing::Sealing;
use crate::output::Output;
use convscope_engine::load::fetch;
use convscope_engine::load::fetch_hub;
use convscope_engine::seal::broker::Want;
use convscope_engine::{Error, Kind, Result};

impl Sealing {
    /// Serves a request of a sealed run, where it is permitted.
    ///
    /// # Errors
    /// Where it is not permitted, or fails.
    pub fn serve(&self, want: &Want, output: &dyn Output) -> Result<String> {
        let report = |line: &str| output.progress(line, 0, 0);
        if let Want::Line(prompt) = want {
            return match self.asks {
                true => output.ask(prompt),
                false => Err(Error::value("`input`: there are no more lines to read")),
            };
        }
        if self.allowed.offline {
            return Err(want.forbidden());
        }
        match want {
            Want::Net(name) => fetch::fetch(name, &report).map(drop)?,
            Want::Labels => fetch::imagenet_labels(&report).map(drop)?,
            Want::Photos => fetch::sample_images()[0].load(&report).map(drop)?,
            Want::Hub(id) if self.allowed.fetch => fetch_hub(id, &report)?,
            Want::Hub(id) => {
                let message = format!("`hf:{id}` is not fetched: a sealed run has no network");
                let hint = format!("if you trust it: {} --allow-fetch", self.allowed.command);
                return Err(Error::new(Kind::Io, message).hint(hint));
            }
            Want::Line(_) => {}
        }
        Ok(String::new())
    }
}
