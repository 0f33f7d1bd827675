//! `convscope lsp`: the language server, over stdin and stdout.

use super::FAILED;
use clap::Args;
use convscope_engine::{Error, Result};
use std::io::BufReader;

/// Run the language server for an editor, over stdin and stdout (Language Server Protocol).
#[derive(Args)]
pub struct Lsp {}

impl Lsp {
    /// Serves until the editor ends the session; the exit code.
    pub fn main(self) -> Result<u8> {
        match convscope_lsp::serve(BufReader::new(std::io::stdin()), std::io::stdout()) {
            Ok(convscope_lsp::Ended::Requested) => Ok(0),
            Ok(convscope_lsp::Ended::Left) => Ok(FAILED),
            Err(e) => Err(Error::format(format!("the editor: {e}"))),
        }
    }
}
