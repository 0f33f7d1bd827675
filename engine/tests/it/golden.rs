//! What `tests/golden` at the workspace's root stands for: weights by formula (its golden.py says which), case files,
//! reference arrays.

#![allow(clippy::unwrap_used)]

use convscope_engine::data::npy;
use serde_json::{Map, Value};
use std::io::{Read, Seek, SeekFrom, Write};
use std::path::{Path, PathBuf};

/// A file of the folder of reference values.
pub fn path(file: &str) -> PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR")).join("../tests/golden").join(file)
}

/// One file out of a zip of reference values.
pub fn entry(zip: &Path, name: &str) -> Vec<u8> {
    let file = std::fs::File::open(zip).unwrap_or_else(|e| panic!("{}: {e}", zip.display()));
    let mut archive = zip::ZipArchive::new(file).unwrap();
    let mut bytes = Vec::new();
    archive.by_name(name).unwrap().read_to_end(&mut bytes).unwrap();
    bytes
}

/// One JSON file out of a zip.
pub fn json(zip: &Path, name: &str) -> Value {
    serde_json::from_slice(&entry(zip, name)).unwrap()
}

/// The values of one .npy file out of a zip, row by row.
pub fn array(zip: &Path, name: &str) -> Vec<f32> {
    npy::read(&entry(zip, name)).unwrap().flatten_all().unwrap().to_vec1().unwrap()
}

/// The axes of a recipe.
pub fn shape(recipe: &Value) -> Vec<usize> {
    recipe["shape"].as_array().unwrap().iter().map(|n| n.as_u64().unwrap() as usize).collect()
}

/// The values that a recipe stands for.
pub fn values(recipe: &Value) -> Vec<f32> {
    let n: usize = shape(recipe).iter().product();
    let start = mix(recipe["seed"].as_u64().unwrap());
    let (scale, shift) = (recipe["scale"].as_f64().unwrap(), recipe["shift"].as_f64().unwrap());
    let value = |i: u64| {
        let r = mix(start.wrapping_add(i.wrapping_mul(0x9E37_79B9_7F4A_7C15))) >> 40;
        (scale * (r as f64 / 16_777_216.0 * 2.0 - 1.0) + shift) as f32
    };
    (1..=n as u64).map(value).collect()
}

fn mix(mut z: u64) -> u64 {
    z = (z ^ (z >> 30)).wrapping_mul(0xBF58_476D_1CE4_E5B9);
    z = (z ^ (z >> 27)).wrapping_mul(0x94D0_49BB_1331_11EB);
    z ^ (z >> 31)
}

/// The largest difference, as a part of the largest reference value.
pub fn worst(got: &[f32], want: &[f32]) -> f64 {
    assert_eq!(got.len(), want.len());
    let largest = want.iter().fold(1e-30f64, |m, v| m.max(f64::from(v.abs())));
    got.iter().zip(want).fold(0.0f64, |m, (a, b)| m.max(f64::from((a - b).abs()))) / largest
}

/// Writes a .safetensors file; an entry without a recipe is a hole in the file: zeros.
pub fn write_weights(path: &Path, entries: &[Value]) {
    let (mut header, mut at) = (Map::new(), 0);
    let mut places = Vec::new();
    for entry in entries {
        let whole = entry["dtype"] == "i64";
        let len = shape(entry).iter().product::<usize>() * if whole { 8 } else { 4 };
        let about = serde_json::json!({
            "dtype": if whole { "I64" } else { "F32" }, "shape": entry["shape"], "data_offsets": [at, at + len]
        });
        header.insert(entry["name"].as_str().unwrap().to_string(), about);
        places.push(at);
        at += len;
    }
    let mut header = serde_json::to_vec(&header).unwrap();
    header.resize(header.len().next_multiple_of(8), b' ');
    let mut file = std::fs::File::create(path).unwrap();
    file.write_all(&(header.len() as u64).to_le_bytes()).unwrap();
    file.write_all(&header).unwrap();
    let start = 8 + header.len();
    file.set_len((start + at) as u64).unwrap();
    for (entry, place) in entries.iter().zip(places).filter(|(e, _)| e["seed"].is_u64()) {
        let bytes: Vec<u8> = values(entry).iter().flat_map(|v| v.to_le_bytes()).collect();
        file.seek(SeekFrom::Start((start + place) as u64)).unwrap();
        file.write_all(&bytes).unwrap();
    }
}

/// Every entry that torchvision's state_dict of an architecture has: name, shape, and dtype where it is not f32.
pub fn listing(arch: &str) -> Vec<Value> {
    let rows = json(&path("weights/state_dicts.zip"), &format!("{arch}.json"));
    let entry = |row: &Value| match row.get(2) {
        Some(dtype) => serde_json::json!({"name": row[0], "shape": row[1], "dtype": dtype}),
        None => serde_json::json!({"name": row[0], "shape": row[1]}),
    };
    rows.as_array().unwrap().iter().map(entry).collect()
}
