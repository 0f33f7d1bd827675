//! All limits of readers of files, in one place, so that work is bounded by a file's size and by `--memory`, never by a number
//! that a damaged or hostile file claims.
//!
//! There are two kinds: limits that follow the process's memory (`convscope run --memory MB` raises them), and fixed ones, which
//! no ordinary file approaches. A reader checks a size before it allocates.

use crate::error::{Error, Result};
use std::sync::atomic::{AtomicU64, Ordering};

/// Memory that the process may use, bytes: 1 GiB unless `--memory` says otherwise.
static MEMORY: AtomicU64 = AtomicU64::new(1 << 30);

/// Sets the memory that the process may use, bytes. The limits that follow it change from now on.
pub fn set_memory(bytes: u64) {
    MEMORY.store(bytes, Ordering::Relaxed);
}

/// Memory that the process may use, bytes.
pub fn memory() -> u64 {
    MEMORY.load(Ordering::Relaxed)
}

/// A limit that follows the memory: one part in `share` of it.
#[derive(Clone, Copy, Debug)]
pub struct Share {
    what: &'static str,
    share: u64,
}

/// What gzip and deflate may unpack to, all of a file's parts together (IDX.gz, compressed checkpoints).
pub const UNPACKED: Share = Share { what: "unpacked data", share: 4 };
/// A text that is read whole: annotations (COCO, VOC, lists), tables, labels, reports.
pub const TEXT: Share = Share { what: "a text file", share: 4 };
/// A list of labels, each of which takes far more than its text.
pub const LABELS: Share = Share { what: "a list of labels", share: 128 };
/// A lock, or the list of a bundle's files: JSON, which takes many times its text once it is read.
pub const LOCK: Share = Share { what: "a lock", share: 16 };
/// A bundle, and what is in it once it is unpacked.
pub const PACKED: Share = Share { what: "a bundle", share: 2 };
/// An array in a file (`.npy`), in f32.
pub const ARRAY: Share = Share { what: "an array", share: 2 };
/// The labels of a data set's records in one file, a byte each.
pub const RECORDS: Share = Share { what: "records", share: 8 };

/// What a script prints and shows, as far as it is kept for the record and the report, each of which holds it again.
pub const PRINTED: Share = Share { what: "what the script prints and shows", share: 16 };
/// A page of a Parquet file, unpacked.
pub const PAGE: Share = Share { what: "a page of a Parquet column", share: 2 };
/// The pages of a column in a row group of a Parquet file, unpacked one after another.
pub const CHUNK: Share = Share { what: "a column of a Parquet row group", share: 1 };
/// Times its own size that a column of a row group may unpack to where that is more than [`CHUNK`]: images do not shrink so far.
pub const CHUNK_RATIO: u64 = 64;
/// The values of a block of a Parquet column's rows.
pub const BLOCK: Share = Share { what: "a block of rows of a Parquet column", share: 2 };

impl Share {
    /// The limit, bytes.
    pub fn most(self) -> u64 {
        memory() / self.share
    }

    /// An error unless `bytes` are within the limit; the hint says how to raise it.
    pub fn check(self, bytes: u64) -> Result<()> {
        if bytes <= self.most() { Ok(()) } else { Err(self.exceeded(Some(bytes))) }
    }

    /// The error for more than the limit; `bytes` says how much, where that is known.
    pub fn exceeded(self, bytes: Option<u64>) -> Error {
        let most = self.most() >> 20;
        let size = bytes.map_or(String::new(), |b| format!(" of {} MB", b.div_ceil(1 << 20)));
        let needed = bytes.map_or(2 * (memory() >> 20), |b| b.div_ceil(1 << 20).saturating_mul(self.share));
        Error::format(format!("{}{size}, more than the limit of {most} MB", self.what))
            .hint(format!("the limit follows the memory: `--memory {needed}` would do, if that is what you expect"))
    }
}

/// Rows of a table for each byte of its file; repeated values take less than a bit each, images do not.
pub const ROWS_A_BYTE: u64 = 256;
/// Rows of a table that are allowed however short its file is.
pub const ROWS: u64 = 1 << 16;
/// Columns of a table. Far more than tables of images have; each takes memory in every row.
pub const COLUMNS: usize = 4096;
/// Bytes of an image file.
pub const IMAGE_FILE: u64 = 1 << 30;
/// Pixels of an image: 256 million, 768 MB.
pub const PIXELS: usize = 1 << 28;
/// Bytes that an image may take while it is decoded, however little the memory.
pub const DECODED: u64 = 512 << 20;
/// Bytes that the first frame of an image may take beside its pixels while it is decoded.
pub const DECODER: u64 = 64 << 20;
/// Scans of a JPEG image, each of which goes over all of its pixels; progressive ones have about ten.
pub const SCANS: usize = 256;
/// Entries of a directory of tags within an image (TIFF, EXIF).
pub const TAGS: usize = 4096;

/// Objects in a pickle, and objects on its stack; checkpoints have some thousands.
pub const PICKLE_OBJECTS: usize = 2_000_000;
/// Axes of a tensor.
pub const AXES: usize = 32;
/// Dictionaries inside dictionaries that are searched for a state_dict, and wrappers around all of a file's names.
pub const NESTED: usize = 4;

/// Bytes of a name that a file gives to what stands beside many values: a column, a category, a point, a node. The name is held
/// once for each value.
pub const NAME: usize = 4096;
/// Folders that a search enters through links, all together.
pub const LINKED_FOLDERS: usize = 10_000;

/// Bytes of the nodes that calls of functions in an ONNX file become, all together.
pub const ONNX_EXPANDED: usize = 1 << 26;
/// Messages inside messages of an ONNX file (control flow nests two or three graphs).
pub const ONNX_DEPTH: usize = 48;
/// Values of a sample at a node of an ONNX net, whatever the memory.
pub const ONNX_VALUES: usize = 1 << 28;
/// One sample's value at a node of an ONNX net, bytes.
pub const ONNX_VALUE: Share = Share { what: "one sample's value at a node", share: 1 };
/// The constants that are computed while an ONNX file is read, all together.
pub const ONNX_FOLDED: Share = Share { what: "constants computed from an ONNX file", share: 2 };
/// Integers of shape arithmetic in an ONNX file, of one value. They are copied some times while they are moved.
pub const ONNX_INTEGERS: Share = Share { what: "integers computed from an ONNX file", share: 8 };
/// Additions (or operations that take as long) spent on recognising activations and normalisations that an ONNX file writes as
/// several nodes.
pub const ONNX_EVALUATED: u64 = 1 << 29;
/// Values of a constant in an ONNX net.
pub const ONNX_CONSTANT: usize = 1 << 31;
/// Values of a constant that is computed while an ONNX file is read, and entries along an axis that is made there.
pub const ONNX_COMPUTED: usize = 1 << 24;
/// Entries that are multiplied one by one in an ONNX file's product over axes.
pub const ONNX_PRODUCT: usize = 256;
/// Steps of a recurrent layer or a loop in an ONNX file, each of which becomes nodes of its own.
pub const ONNX_STEPS: usize = 4096;
/// A kernel's side, stride, dilation or padding in an ONNX net.
pub const ONNX_WINDOW: i64 = 1 << 16;

/// Values of the plane that a window moves over, padding included, for each value that the window reads or makes; kernels
/// copy planes into their padding.
pub const WINDOW_SHARE: usize = 64;
/// Values of such a plane that are allowed however few values there are.
pub const WINDOW_PLANE: usize = 1 << 20;

/// Attributes of an XML element; VOC's have none.
pub const XML_ATTRIBUTES: usize = 64;
/// Elements inside elements of an XML file.
pub const XML_DEPTH: usize = 64;
/// Folders inside folders that are looked through for images.
pub const FOLDERS: usize = 64;

/// Bytes that a bundle may unpack to, however much the memory.
pub const BUNDLE: u64 = 4 << 30;
/// Bytes that a bundle may unpack to for each byte of the archive.
pub const BUNDLE_RATIO: u64 = 200;
/// Files in a bundle.
pub const BUNDLE_FILES: usize = 100_000;

/// Outputs of an ONNX net that are kept, each as a net of its own; of a file with more only the first is.
pub const ONNX_OUTPUTS: usize = 64;
/// Total size of the tensors that an ONNX model takes from one external file, in multiples of that file's size.
pub const ONNX_SHARED: u64 = 8;

/// Bytes of a file within a pinned package from the Python package index.
pub const PACKAGED: u64 = 1 << 30;

/// Bytes of a script that comes from a pipe.
pub const SCRIPT: u64 = 1 << 20;

/// An error where a name of `what` is longer than names are.
///
/// # Errors
/// Where it has more than [`NAME`] bytes.
pub fn name(what: &str, name: &str) -> Result<()> {
    if name.len() <= NAME {
        return Ok(());
    }
    let start: String = name.chars().take(40).collect();
    Err(Error::format(format!(
        "the name of {what}, `{start}..`, has {} bytes, more than the limit of {NAME}",
        name.len()
    )))
}

/// An error unless an image may take that many bytes while it is decoded.
///
/// # Errors
/// Where they are more than the memory and [`DECODED`]; the hint says how to raise it.
pub fn decoding(bytes: u64) -> Result<()> {
    let (most, needed) = (memory().max(DECODED), bytes.div_ceil(1 << 20));
    if bytes <= most {
        return Ok(());
    }
    Err(Error::format(format!(
        "an image that takes {needed} MB while it is decoded, more than the limit of {} MB",
        most >> 20
    ))
    .hint(format!("the limit follows the memory: `--memory {needed}` would do, if the file is what you expect")))
}

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used)]
    use super::*;

    #[test]
    fn what_is_too_much_says_how_to_allow_it() {
        let error = UNPACKED.exceeded(Some(300 << 20));
        assert!(error.message.starts_with("unpacked data of 300 MB, more than the limit of "), "{error}");
        assert!(error.hint.is_some_and(|h| h.contains("`--memory 1200`")));
        assert!(decoding(memory()).is_ok());
        let error = decoding(memory() + 1).unwrap_err();
        assert!(error.hint.is_some_and(|h| h.contains(&format!("`--memory {}`", (memory() >> 20) + 1))));
        assert!(UNPACKED.check(UNPACKED.most()).is_ok() && UNPACKED.check(UNPACKED.most() + 1).is_err());
    }
}
