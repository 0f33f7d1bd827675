//! `save(value, path)`: the ending of the path says what is written; files appear whole or not at all.

use crate::context::Context;
use crate::convert::{cast, kind};
use crate::fault::{Fallible, Raise};
use crate::library::Library;
use convscope_engine::data::Image;
use convscope_engine::show::{Saved, Table, save};
use convscope_engine::{Artifact, Error, Result, Tensor};
use rhai::Dynamic;

/// Binds `save`.
pub fn bind(library: &mut Library<'_>, context: &Context) {
    let shared = context.clone();
    library.add(
        "save(value, path: text)",
        "Writes a value by the path's ending: .png .svg .html (the figure), .npy (the primary array, raw), .csv (the table), \
         .json, .parquet (a row an image), .safetensors (all arrays). The path is relative to `--out`.",
        move |value: Dynamic, path: &str| {
            write(&shared, &value, path).raise()?;
            Fallible::Ok(())
        },
    );
}

fn write(context: &Context, value: &Dynamic, path: &str) -> Result<()> {
    let full = context.output_path(path)?;
    if let Some(artifact) = cast::<Artifact>(value) {
        return save(&Saved::Artifact(&artifact), &full);
    }
    if let Some(tensor) = cast::<Tensor>(value) {
        return save(&Saved::Tensor(&tensor), &full);
    }
    if let Some(image) = cast::<Image>(value) {
        return save(&Saved::Image(&image), &full);
    }
    if let Some(table) = cast::<Table>(value) {
        return save(&Saved::Table(&table), &full);
    }
    if let Some(artifact) = crate::script::artifact(value)? {
        return save(&Saved::Artifact(&artifact), &full);
    }
    let numbers = if value.is_array() { value.clone() } else { Dynamic::from_array(vec![value.clone()]) };
    match crate::values::tensor::from_list(&numbers) {
        Ok(tensor) => save(&Saved::Tensor(&tensor), &full),
        Err(_) => Err(Error::value(format!("{} cannot be saved", kind(value)))
            .hint("artifacts, tensors, images, tables, and lists of numbers can")),
    }
}
