//! Writes a file whole or not at all, whatever happens in between and whoever else writes it.

use std::io::Write;
use std::path::Path;

use crate::error::{Error, Result};
use crate::seal;

/// Writes `bytes` to `path` by way of a temporary file in the same folder and a rename; the folder must exist.
pub fn write(path: impl AsRef<Path>, bytes: &[u8]) -> Result<()> {
    write_as(path.as_ref(), bytes, 0o666)
}

/// The same for a secret: from the start its owner alone may read the file.
pub fn write_private(path: impl AsRef<Path>, bytes: &[u8]) -> Result<()> {
    write_as(path.as_ref(), bytes, 0o600)
}

/// `mode` is what the permissions are on Unix, less the process's mask.
fn write_as(path: &Path, bytes: &[u8], mode: u32) -> Result<()> {
    seal::may_write(path)?;
    let folder = path.parent().filter(|p| !p.as_os_str().is_empty()).unwrap_or(Path::new("."));
    let mut builder = tempfile::Builder::new();
    builder.prefix(".convscope-");
    #[cfg(unix)]
    {
        use std::os::unix::fs::PermissionsExt;
        builder.permissions(std::fs::Permissions::from_mode(mode));
    }
    #[cfg(not(unix))]
    let _ = mode;
    let mut file = builder.tempfile_in(folder).map_err(|e| Error::io(path, &e))?;
    file.write_all(bytes).map_err(|e| Error::io(path, &e))?;
    file.persist(path).map_err(|e| Error::io(path, &e.error))?;
    Ok(())
}

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used)]
    use super::*;

    #[cfg(unix)]
    #[test]
    fn a_secret_is_its_owners_alone() {
        use std::os::unix::fs::PermissionsExt;
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("secret");
        write_private(&path, b"x").unwrap();
        assert_eq!(std::fs::metadata(&path).unwrap().permissions().mode() & 0o777, 0o600);
    }

    #[test]
    fn a_file_is_replaced_and_nothing_else_stays_in_the_folder() {
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("a.bin");
        write(&path, b"one").unwrap();
        write(&path, b"two").unwrap();
        assert_eq!(std::fs::read(&path).unwrap(), b"two");
        assert_eq!(std::fs::read_dir(folder.path()).unwrap().count(), 1);
        let error = write(folder.path().join("no/such/a.bin"), b"x").unwrap_err();
        assert!(error.message.contains("no such file or directory"), "{error}");
    }
}
