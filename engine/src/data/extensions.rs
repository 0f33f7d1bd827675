//! Which files are images, by their extensions.

use crate::error::Result;
use crate::regular;
use std::path::{Path, PathBuf};

/// The extensions of image files.
pub const EXTENSIONS: [&str; 9] = ["png", "jpg", "jpeg", "jfif", "bmp", "gif", "webp", "tif", "tiff"];
/// Those of photos that are not read. They belong to a data set, so that they are counted and named as damaged ones are.
pub const UNREAD: [&str; 5] = ["heic", "heif", "avif", "jxl", "jp2"];

/// The files directly in a folder that `fit`, sorted.
pub(super) fn files_in(folder: &Path, fit: fn(&Path) -> bool) -> Result<Vec<PathBuf>> {
    let mut files = regular::entries(folder)?;
    files.retain(|p| p.is_file() && fit(p));
    files.sort();
    Ok(files)
}

/// The extension of a path in lower case; empty where it has none.
pub(super) fn extension(path: &Path) -> String {
    path.extension().map(|e| e.to_string_lossy().to_ascii_lowercase()).unwrap_or_default()
}

/// Whether a file is an image by its name, and not a hidden one.
pub fn is_image(path: &Path) -> bool {
    let hidden = path.file_name().is_some_and(|n| n.as_encoded_bytes().starts_with(b"."));
    !hidden && is_photo(&extension(path))
}

/// Whether an extension is one of photos, be they read or not.
pub fn is_photo(extension: &str) -> bool {
    EXTENSIONS.contains(&extension) || UNREAD.contains(&extension)
}
