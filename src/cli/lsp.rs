//! `convscope lsp`: what editors ask of the script language, over stdin and stdout.

use super::FAILED;
use clap::Args;
use convscope_engine::{Error, Result};
use std::io::BufReader;

/// Serve an editor over stdin and stdout by the Language Server Protocol.
#[derive(Args)]
pub struct Lsp {}

impl Lsp {
    /// Serves until the editor says that it goes; the exit code.
    pub fn main(self) -> Result<u8> {
        match convscope_lsp::serve(BufReader::new(std::io::stdin()), std::io::stdout()) {
            Ok(convscope_lsp::Ended::Requested) => Ok(0),
            Ok(convscope_lsp::Ended::Left) => Ok(FAILED),
            Err(e) => Err(Error::format(format!("the editor: {e}"))),
        }
    }
}
