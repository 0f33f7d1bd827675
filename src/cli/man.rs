//! `convscope man`: the manual pages, made from the same definition as the command line.

use super::Arguments;
use super::terminal::print_out;
use clap::{Args, CommandFactory};
use convscope_engine::{Error, Result, atomic};
use std::path::PathBuf;

/// Print the manual page, or write those of all commands to a folder.
#[derive(Args)]
pub struct Man {
    /// The folder for convscope.1, convscope-run.1 and so on.
    #[arg(long)]
    out: Option<PathBuf>,
}

impl Man {
    /// Prints or writes the pages.
    pub fn main(self) -> Result<()> {
        let mut command = Arguments::command();
        command.build();
        let Some(folder) = self.out else {
            print_out(&page(command)?);
            return Ok(());
        };
        std::fs::create_dir_all(&folder).map_err(|e| Error::io(&folder, &e))?;
        let parts: Vec<clap::Command> = command.get_subcommands().cloned().collect();
        for part in parts.into_iter().filter(|c| c.get_name() != "help") {
            let name = format!("convscope-{}", part.get_name());
            atomic::write(folder.join(format!("{name}.1")), page(part)?.as_bytes())?;
        }
        atomic::write(folder.join("convscope.1"), page(command)?.as_bytes())
    }
}

fn page(command: clap::Command) -> Result<String> {
    let mut text = Vec::new();
    let made = clap_mangen::Man::new(command).render(&mut text);
    made.map_err(|e| Error::internal(format!("a manual page: {e}")))?;
    String::from_utf8(text).map_err(|e| Error::internal(e.to_string()))
}
