//! The numbers behind what a run showed, for programs that go on computing with them: `arrays.safetensors` and
//! `shown.json`.

use super::run::prose;
use convscope_dsl::Shown;
use convscope_engine::lock::Array;
use convscope_engine::lock::content::pack;
use convscope_engine::manifest::Manifest;
use convscope_engine::show::words;
use convscope_engine::{Error, Result, atomic};
use serde_json::{Value, json};
use std::collections::BTreeMap;
use std::path::Path;

/// Tables, texts and notes of what was shown, in order.
const SHOWN: &str = "shown.json";

/// Writes both files into `out`. An entry of `shown.json` holds a `text`, or an artifact's words with the names of its
/// `arrays`, the one that is its `value`, and its `figure` in the folder. Array `map` of the third entry is `3/map` in
/// `arrays.safetensors`.
///
/// # Errors
/// Where an array cannot be read or a file not be written.
pub fn write(out: &Path, shown: &[Shown], manifest: &Manifest) -> Result<()> {
    let mut figures = manifest.shown.iter().map(|entry| &entry.figure);
    let (mut entries, mut arrays) = (Vec::new(), BTreeMap::new());
    for (i, shown) in shown.iter().enumerate() {
        let artifact = match shown {
            Shown::Text(text) => {
                entries.push(json!({ "text": text }));
                continue;
            }
            Shown::Artifact(artifact) => artifact,
        };
        if let Some(text) = prose(artifact) {
            entries.push(json!({ "markdown": text }));
            continue;
        }
        for (name, tensor) in &artifact.data {
            arrays.insert(format!("{}/{name}", i + 1), Array::of(tensor)?);
        }
        let mut entry = words(artifact);
        entry["arrays"] = artifact.data.keys().cloned().collect();
        entry["value"] = artifact.value().map_or(Value::Null, |_| artifact.primary.clone().into());
        entry["figure"] = figures.next().cloned().flatten().into();
        entries.push(entry);
    }
    atomic::write(out.join(super::record::ARRAYS), &pack(&arrays)?)?;
    let text = serde_json::to_string_pretty(&entries).map_err(|e| Error::internal(e.to_string()))?;
    atomic::write(out.join(SHOWN), (text + "\n").as_bytes())
}
