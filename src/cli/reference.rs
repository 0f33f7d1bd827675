//! `convscope doc`: the reference, all of it or one entry, as text or JSON.

use super::terminal::print_out;
use clap::Args;
use convscope_dsl::{Session, Silent};
use convscope_engine::{Error, Job, Result};
use std::sync::Arc;

/// Print the reference: all of it, or one entry.
#[derive(Args)]
pub struct Doc {
    /// A probe, a function, a method (`net.layer` or `layer`) or a kind of value.
    name: Option<String>,
    /// Print JSON.
    #[arg(long)]
    json: bool,
}

impl Doc {
    /// Prints the reference.
    pub fn main(self) -> Result<()> {
        let reference = Session::new(Job::new(), Arc::new(Silent)).reference();
        let text = match (&self.name, self.json) {
            (None, false) => reference.overview(),
            (None, true) => pretty(&reference.json())?,
            (Some(name), json) => {
                let found = reference.find(name)?;
                match json {
                    true => pretty(&found.iter().map(|e| e.json()).collect())?,
                    false => found.iter().map(|e| e.text()).collect::<Vec<_>>().join("\n"),
                }
            }
        };
        print_out(&text);
        Ok(())
    }
}

fn pretty(value: &serde_json::Value) -> Result<String> {
    Ok(serde_json::to_string_pretty(value).map_err(|e| Error::internal(e.to_string()))? + "\n")
}
