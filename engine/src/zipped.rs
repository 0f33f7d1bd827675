//! Opens zip files: checkpoints, wheels, bundles.

use crate::error::{Error, Result};
use std::io::Cursor;
use zip::ZipArchive;
use zip::read::{ArchiveOffset, Config};

/// The archive in a file that begins with it. The beginning is not searched for: PyTorch's archives have a record of 76 bytes after
/// their directory, and where the directory's first header is as long (a checkpoint whose stem has 21 characters), the search
/// finds the beginning 76 bytes late.
///
/// # Errors
/// Where it is damaged.
pub fn open(bytes: &[u8]) -> Result<ZipArchive<Cursor<&[u8]>>> {
    let config = Config { archive_offset: ArchiveOffset::Known(0) };
    ZipArchive::with_config(config, Cursor::new(bytes)).map_err(|e| {
        Error::format(format!("not a whole zip file: {e}")).hint("the file is cut short or damaged; get it again")
    })
}
