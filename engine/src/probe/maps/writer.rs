//! Where the maps of a data set go: into memory, one `.npy` file an image, or the parts of a Parquet table, many maps a file.

use super::Folder;
use crate::error::Result;
use crate::job::Job;
use crate::show::{Artifact, Cell, Encoded, Saved, Table, encode, parquet};
use candle_core::Tensor;
use std::path::Path;

/// The columns of the table of maps.
const COLUMNS: [&str; 5] = ["image", "name", "label", "map", "file"];
/// Bytes of maps in a part of a Parquet table, about.
const BYTES_PER_PART: usize = 32 << 20;
/// The most maps in a part.
const MOST_MAPS_PER_PART: usize = 4096;

/// What is known of an image besides its map: its number, name and label.
pub type ImageCells = [Cell; 3];

/// Where maps go while they are made.
pub struct MapWriter<'a> {
    /// Images in all.
    images: usize,
    kind: Kind<'a>,
    /// The maps that are kept: number, name, label, what the map is, and its file.
    pub table: Table,
}

enum Kind<'a> {
    Memory(Vec<Tensor>),
    Files(&'a mut dyn Folder),
    Parts(Parts<'a>),
}

/// The parts of a Parquet table.
struct Parts<'a> {
    folder: &'a mut dyn Folder,
    /// Images of a part, the last one perhaps fewer.
    each: usize,
    /// The part at hand, and whether its file is there already.
    at: Option<(usize, bool)>,
    /// Its images so far, with what their maps are.
    rows: Vec<(ImageCells, String)>,
    maps: Vec<Tensor>,
}

impl<'a> MapWriter<'a> {
    /// For so many images; maps have at most `values` values. In a folder of columns the maps are parts of a Parquet table.
    pub fn new(folder: Option<&'a mut dyn Folder>, images: usize, values: usize) -> Self {
        let each = (BYTES_PER_PART / (4 * values.max(1))).clamp(1, MOST_MAPS_PER_PART);
        let kind = match folder {
            None => Kind::Memory(Vec::new()),
            Some(folder) if folder.in_columns() => {
                Kind::Parts(Parts { folder, each, at: None, rows: Vec::new(), maps: Vec::new() })
            }
            Some(folder) => Kind::Files(folder),
        };
        MapWriter { images, kind, table: Table::new(COLUMNS) }
    }

    /// Whether the map of image `i` is in its file already.
    ///
    /// # Errors
    /// Where the folder cannot be read.
    pub fn has(&mut self, i: usize) -> Result<bool> {
        let file = self.file(i);
        match &mut self.kind {
            Kind::Memory(_) => Ok(false),
            Kind::Files(folder) => folder.has(&file),
            Kind::Parts(parts) => {
                let part = i / parts.each;
                let there = match parts.at {
                    Some((at, there)) if at == part => there,
                    _ => parts.folder.has(&file)?,
                };
                parts.at = Some((part, there));
                Ok(there)
            }
        }
    }

    /// Notes an image whose map is in its file and is not made again.
    pub fn skip(&mut self, i: usize, known: ImageCells) {
        let file = self.file(i);
        self.table.push(known.into_iter().chain([Cell::Nothing, file.into()]));
    }

    /// Keeps the map of image `i`; `what` says what it is.
    ///
    /// # Errors
    /// Where it cannot be written, or the maps do not fit in memory.
    pub fn put(&mut self, i: usize, known: ImageCells, what: &str, map: &Tensor, job: &Job) -> Result<()> {
        let there = self.has(i)?;
        let file = self.file(i);
        let mut named = Cell::from(file.as_str());
        match &mut self.kind {
            Kind::Memory(maps) => {
                let bytes = 4 * map.elem_count() as u64 * self.images as u64;
                let hint = "name a folder: `probe.run(subject, data, \"maps\")` writes them there one by one";
                job.holds(bytes, || format!("the maps of {} images take", self.images), hint)?;
                maps.push(map.clone());
                named = Cell::Nothing;
            }
            Kind::Files(folder) if !there => folder.write(&file, encode(&Saved::Tensor(map), Path::new(&file))?)?,
            Kind::Parts(parts) if !there => {
                // The row is noted when its part is written.
                parts.rows.push((known, what.to_string()));
                parts.maps.push(map.clone());
                return Ok(());
            }
            Kind::Files(_) | Kind::Parts(_) => {}
        }
        self.table.push(known.into_iter().chain([what.into(), named]));
        Ok(())
    }

    /// Ends image `i`, which may be the last of its part.
    ///
    /// # Errors
    /// Where the part cannot be written.
    pub fn end(&mut self, i: usize) -> Result<()> {
        let file = self.file(i);
        let Kind::Parts(parts) = &mut self.kind else { return Ok(()) };
        if parts.maps.is_empty() || (!(i + 1).is_multiple_of(parts.each) && i + 1 < self.images) {
            return Ok(());
        }
        let mut table = Table::new(["image", "name", "label", "map of", "channels", "rows", "columns"]);
        for ((known, what), map) in parts.rows.iter().zip(&parts.maps) {
            let shape = match *map.dims() {
                [c, h, w] => [c, h, w],
                [h, w] => [1, h, w],
                _ => [1, 1, map.elem_count()],
            };
            table.push(known.iter().cloned().chain([what.as_str().into()]).chain(shape.map(Cell::from)));
        }
        let bytes = parquet::of_lists(&table, "map", &parts.maps)?;
        parts.folder.write(&file, Encoded { bytes, picture: None })?;
        parts.maps.clear();
        for (known, what) in parts.rows.drain(..) {
            self.table.push(known.into_iter().chain([what.into(), file.as_str().into()]));
        }
        Ok(())
    }

    /// Adds what is kept to the artifact: the table of files to a folder of files, the array `maps` of those in memory.
    ///
    /// # Errors
    /// Where it cannot be written.
    pub fn finish(self, artifact: Artifact) -> Result<(Artifact, Table)> {
        let artifact = match self.kind {
            Kind::Files(folder) => {
                folder.write("maps.csv", encode(&Saved::Table(&self.table), Path::new("maps.csv"))?)?;
                artifact
            }
            Kind::Memory(maps) => match maps.first() {
                Some(first) if maps.iter().all(|m| m.dims() == first.dims()) => {
                    artifact.array("maps", Tensor::stack(&maps, 0)?)
                }
                Some(_) => artifact.note("the maps differ in size, so there is no array of all; a folder holds each"),
                None => artifact,
            },
            Kind::Parts(parts) if !parts.maps.is_empty() => artifact.note(format!(
                "the last {} maps are of a part that is not full yet; they are made again when the run goes on",
                parts.maps.len()
            )),
            Kind::Parts(_) => artifact,
        };
        Ok((artifact, self.table))
    }

    /// The file of image `i`; a name without a meaning for maps in memory.
    fn file(&self, i: usize) -> String {
        let digits = |most: usize| most.max(1).to_string().len();
        match &self.kind {
            Kind::Parts(parts) => {
                let last = self.images.saturating_sub(1) / parts.each;
                format!("part-{:0width$}.parquet", i / parts.each, width = digits(last))
            }
            Kind::Memory(_) | Kind::Files(_) => {
                format!("{i:0width$}.npy", width = digits(self.images.saturating_sub(1)))
            }
        }
    }
}
