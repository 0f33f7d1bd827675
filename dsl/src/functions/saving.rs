//! `save(value, path)`: the path's extension selects the format; a file is written whole or not at all.

use crate::context::Context;
use crate::convert::{cast, kind};
use crate::fault::{Fallible, Raise};
use crate::library::Library;
use convscope_engine::data::Image;
use convscope_engine::probe::maps;
use convscope_engine::show::{Encoded, Saved, Table, encode};
use convscope_engine::{Artifact, Error, Result, Tensor, atomic};
use rhai::Dynamic;
use std::path::Path;

/// Binds `save`.
pub fn bind(library: &mut Library<'_>, context: &Context) {
    let shared = context.clone();
    library.add(
        "save(value, path: text)",
        "Writes a value in the format of the path's extension: .png .svg .html (the figure), .npy (the primary array, as computed), .csv (the table), \
         .json, .parquet (a row an image), .safetensors (all arrays). The path is relative to `--out`.",
        move |value: Dynamic, path: &str| {
            write(&shared, &value, path).raise()?;
            Fallible::Ok(())
        },
    );
}

/// A folder below `--out` whose files are recorded as those of `save` are. One called `NAME.parquet` is a Parquet table in parts.
pub struct Folder {
    context: Context,
    name: String,
}

impl Folder {
    /// The folder `name`; it is made with its first file.
    pub fn new(context: &Context, name: &str) -> Self {
        Folder { context: context.clone(), name: name.trim_end_matches('/').to_string() }
    }
}

impl maps::Folder for Folder {
    fn read(&self, name: &str) -> Result<Option<Vec<u8>>> {
        let full = self.context.output_path(&format!("{}/{name}", self.name))?;
        match std::fs::read(&full) {
            Ok(bytes) => Ok(Some(bytes)),
            Err(e) if e.kind() == std::io::ErrorKind::NotFound => Ok(None),
            Err(e) => Err(Error::io(&full, &e)),
        }
    }

    fn has(&self, name: &str) -> Result<bool> {
        Ok(self.context.output_path(&format!("{}/{name}", self.name))?.is_file())
    }

    fn in_columns(&self) -> bool {
        Path::new(&self.name).extension().is_some_and(|e| e.eq_ignore_ascii_case("parquet"))
    }

    fn write(&mut self, name: &str, file: Encoded) -> Result<()> {
        let full = self.context.output_path(&format!("{}/{name}", self.name))?;
        atomic::write(&full, &file.bytes)?;
        self.context.wrote(&full, file);
        Ok(())
    }
}

fn write(context: &Context, value: &Dynamic, path: &str) -> Result<()> {
    let full = context.output_path(path)?;
    context.output.drawing();
    let encoded = encoded(value, &full)?;
    atomic::write(&full, &encoded.bytes)?;
    context.wrote(&full, encoded);
    Ok(())
}

fn encoded(value: &Dynamic, path: &Path) -> Result<Encoded> {
    if let Some(artifact) = cast::<Artifact>(value) {
        return encode(&Saved::Artifact(&artifact), path);
    }
    if let Some(tensor) = cast::<Tensor>(value) {
        return encode(&Saved::Tensor(&tensor), path);
    }
    if let Some(image) = cast::<Image>(value) {
        return encode(&Saved::Image(&image), path);
    }
    if let Some(table) = cast::<Table>(value) {
        return encode(&Saved::Table(&table), path);
    }
    if let Some(artifact) = crate::functions::artifact(value)? {
        return encode(&Saved::Artifact(&artifact), path);
    }
    let numbers = if value.is_array() { value.clone() } else { Dynamic::from_array(vec![value.clone()]) };
    match crate::values::tensor::from_list(&numbers) {
        Ok(tensor) => encode(&Saved::Tensor(&tensor), path),
        Err(_) => Err(Error::value(format!("{} cannot be saved", kind(value)))
            .hint("artifacts, tensors, images, tables, and lists of numbers can")),
    }
}
