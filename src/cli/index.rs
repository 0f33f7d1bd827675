//! `convscope index`: the shards of a data set as a Parquet file.

use super::terminal::print_out;
use clap::Args;
use convscope_engine::params::{Params as _, Value};
use convscope_engine::table::{LoadTable, index, shards_of, sources};
use convscope_engine::{Error, Result, atomic};
use std::path::{Path, PathBuf};

/// List the shards of a data set: files and parts of files, with the numbers of their images.
#[derive(Args)]
pub struct Index {
    /// The data set, as `load_table` takes it: .parquet, .tar or .csv files, a pattern, shard-{000..047}.tar, a folder, a URL, a
    /// bucket (s3://..).
    #[arg(required = true)]
    source: Vec<String>,
    /// The Parquet file to write: uri, format, first_row, rows, first_image.
    #[arg(long, short)]
    out: PathBuf,
    /// The most rows of a shard [default: each file is one shard].
    #[arg(long, value_parser = clap::value_parser!(u64).range(1..))]
    rows: Option<u64>,
    /// The column of images, as `load_table` takes it.
    #[arg(long)]
    image: Option<String>,
    /// The column of labels, as `load_table` takes it.
    #[arg(long)]
    label: Option<String>,
    /// Only the rows that fulfil it, as `load_table` takes it; scripts that use the list give the same.
    #[arg(long)]
    filter: Option<String>,
}

impl Index {
    /// Writes the list.
    pub fn main(self) -> Result<()> {
        let mut options = LoadTable::default();
        for (name, given) in [("image", &self.image), ("label", &self.label), ("filter", &self.filter)] {
            if let Some(given) = given {
                options.set(name, &Value::Text(given.clone()))?;
            }
        }
        let most = self.rows.map(|n| usize::try_from(n).unwrap_or(usize::MAX));
        let files = sources::files(&self.source, Path::new(""))?;
        let shards = shards_of(&files, &options, most)?;
        let Some(images) = shards.last().map(|s| s.first_image + s.rows) else {
            return Err(Error::value(format!("`{}` has no rows", self.source.join("`, `"))));
        };
        let folder = self.out.parent().unwrap_or(Path::new(""));
        atomic::write(&self.out, &index::encode(&shards, self.filter.as_deref(), folder)?)?;
        print_out(&format!("{}: {} shards, {images} images\n", self.out.display(), shards.len()));
        Ok(())
    }
}
