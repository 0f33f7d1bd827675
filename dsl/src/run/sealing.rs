//! The permissions of a run in a process of its own: the script's files, what the user declares, and the cache of known nets.
//! Everything else is forbidden ([`convscope_engine::seal`]).

use super::source::absolute;
use convscope_engine::load::fetch::cache;
use convscope_engine::load::hub_cache;
use convscope_engine::seal::{Bounds, Seal, real};
use convscope_engine::{Error, Result};
use std::path::{Path, PathBuf};

/// What the user permits besides the script's files.
#[derive(Clone, Debug, Default)]
pub struct Allowed {
    /// The command line to which hints append permissions: `convscope lock deep/s.rhai`.
    pub command: String,
    /// Files and folders that may be read.
    pub inputs: Vec<PathBuf>,
    /// Whether repositories of the Hugging Face Hub may be fetched.
    pub fetch: bool,
    /// Whether all downloads are forbidden.
    pub offline: bool,
}

/// The permissions of a sealed run, before the folder of its outputs is known.
#[derive(Clone, Debug, Default)]
pub struct Sealing {
    /// The files of the script: its folder, or the files that a report lists.
    pub roots: Vec<PathBuf>,
    /// The user's permissions.
    pub allowed: Allowed,
    /// The folder that the script's paths are relative to, in the user's spelling.
    pub base: PathBuf,
    /// Whether the script may ask the user for a line.
    pub asks: bool,
}

impl Sealing {
    /// For a script in a folder of its own.
    pub fn of_folder(folder: &Path, allowed: &Allowed) -> Self {
        Sealing { roots: vec![folder.to_path_buf()], allowed: allowed.clone(), base: folder.to_path_buf(), asks: false }
    }

    /// The seal for a run of the script that writes to the folders `write`, which must exist.
    ///
    /// # Errors
    /// Where a declared input does not exist, or a folder of the seal contains the user's home.
    pub fn seal(&self, script: &Path, write: &[&Path]) -> Result<Seal> {
        for input in &self.allowed.inputs {
            input.metadata().map_err(|e| Error::io(input, &e).context("a declared input"))?;
        }
        self.roots.iter().try_for_each(|root| self.spares_home(root))?;
        let mut read: Vec<PathBuf> = self.roots.iter().chain(&self.allowed.inputs).map(|p| absolute(p)).collect();
        read.push(absolute(script));
        read.extend(cache::known_folders()?);
        read.extend(hub_cache().filter(|_| self.allowed.fetch));
        let bounds = Bounds {
            read,
            write: write.iter().map(|p| absolute(p)).collect(),
            command: self.allowed.command.clone(),
            base: self.base.clone(),
        };
        let kernel = std::env::var("CONVSCOPE_SEAL").as_deref() != Ok("engine");
        Ok(Seal { bounds, kernel, channel: cfg!(unix) })
    }

    /// Refuses a seal that includes the user's home, all of which the script could read.
    fn spares_home(&self, root: &Path) -> Result<()> {
        let (Some(home), root) = (std::env::home_dir().filter(|h| !h.as_os_str().is_empty()), real(root)) else {
            return Ok(());
        };
        let declared = self.allowed.inputs.iter().any(|input| root.starts_with(real(input)));
        if declared || !real(&home).starts_with(&root) {
            return Ok(());
        }
        let (root, command) = (root.display(), &self.allowed.command);
        Err(Error::value(format!("the script lies in `{root}`, so that it could read all of your home"))
            .hint(format!("move it to a folder of its own, or declare that one: {command} --input {root}")))
    }

    /// Whether the file at `path` belongs to the script or is declared.
    ///
    /// # Errors
    /// Where it is neither; the hint says how to declare it.
    pub fn may_read(&self, path: &Path) -> Result<()> {
        let read = self.roots.iter().chain(&self.allowed.inputs).map(|p| real(p)).collect();
        Bounds { read, command: self.allowed.command.clone(), ..Bounds::default() }.may_read(path)
    }
}

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used)]
    use super::*;
    use crate::output::Silent;
    use convscope_engine::seal::broker::Want;

    #[test]
    fn what_is_not_declared_is_not_read_and_what_is_not_allowed_not_fetched() {
        let root = tempfile::tempdir().unwrap();
        let allowed = Allowed { command: "convscope lock a/s.rhai".into(), ..Allowed::default() };
        let sealing = Sealing::of_folder(&root.path().join("a"), &allowed);
        assert!(sealing.may_read(&root.path().join("a/b.png")).is_ok());
        assert!(sealing.may_read(&root.path().join("a/../c.png")).is_err());
        let declared = Allowed { inputs: vec![root.path().to_path_buf()], offline: true, fetch: true, ..allowed };
        let wide = Sealing::of_folder(&root.path().join("a"), &declared);
        assert!(wide.may_read(&root.path().join("a/../c.png")).is_ok());
        let refused = |sealing: &Sealing, want: Want| sealing.serve(&want, &Silent).unwrap_err();
        let error = refused(&sealing, Want::Hub("x/y".into()));
        assert_eq!(error.hint.unwrap(), "if you trust it: convscope lock a/s.rhai --allow-fetch");
        assert!(refused(&wide, Want::Hub("x/y".into())).message.contains("`--offline` forbids"));
        assert!(refused(&wide, Want::Net("squeezenet1_1".into())).message.contains("`--offline` forbids"));
        assert!(refused(&sealing, Want::Line("?".into())).message.contains("no more lines"));
        assert!(declared.inputs[0].is_dir() && sealing.seal(Path::new("s"), &[]).is_ok());
        let home = Sealing::of_folder(Path::new("/"), &Allowed::default());
        assert!(std::env::home_dir().is_none() || home.seal(Path::new("/s"), &[]).is_err());
    }
}
