//! The numbers of a run's results in files for other programs: `arrays.safetensors` and `shown.json`.

use convscope_engine::run::array::pack;
use convscope_engine::run::finished::ARRAYS;
use convscope_engine::run::{Array, Finished};
use convscope_engine::{Error, Result, atomic};
use std::collections::BTreeMap;

/// The file of tables, texts and notes, in order.
const SHOWN_FILE: &str = "shown.json";

/// Writes both files into the folder of a run that kept its arrays. An entry of `shown.json` has a `text`, or an artifact's words
/// with the names of its `arrays`, the one that is its `value`, and its `figure` in the folder. Array `map` of the third entry is
/// `3/map` in `arrays.safetensors`.
///
/// # Errors
/// Where a file cannot be written.
pub fn write(finished: &Finished) -> Result<()> {
    let numbered = |name: &String| -> Option<String> {
        // show/NN-TITLE/ARRAY
        let (number, rest) = name.strip_prefix("show/")?.split_once('-')?;
        Some(format!("{}/{}", number.parse::<usize>().ok()?, rest.split_once('/')?.1))
    };
    let arrays: BTreeMap<String, Array> =
        finished.arrays.iter().filter_map(|(name, array)| Some((numbered(name)?, array.clone()))).collect();
    atomic::write(finished.out.join(ARRAYS), &pack(&arrays)?)?;
    let text = serde_json::to_string_pretty(&finished.entries).map_err(|e| Error::internal(e.to_string()))?;
    atomic::write(finished.out.join(SHOWN_FILE), (text + "\n").as_bytes())
}
