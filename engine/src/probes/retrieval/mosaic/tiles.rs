//! A mosaic as tiles of several sizes with pages that are zoomed by clicks, without a script: for more pictures than one image
//! holds. Each level's tiles are made of four of the next, so that no more than a few are in memory.

use super::canvas::Canvas;
use super::plan::PlacedPicture;
use super::{Laid, MosaicOf};
use crate::data::{Image, Interpolation};
use crate::error::Result;
use crate::job::{Job, Steps};
use crate::params::Params as _;
use crate::probe::maps::{Folder, begin};
use crate::show::escape::escape;
use crate::show::{Artifact, Cell, Encoded, Part, Pictures, Saved, Table, encode};
use crate::subject::Subject;
use rayon::prelude::*;
use std::path::Path;

/// The side of a tile, px, up to a whole number of pictures.
const TILE: usize = 512;
/// The quality of the tiles' JPEGs, 1 to 100.
const QUALITY: u8 = 85;

const STYLE: &str = "body{margin:0;font:14px sans-serif;background:#fff;color:#222}\
nav{position:sticky;top:0;left:0;padding:6px 10px;background:#fffd;border-bottom:1px solid #dedfe3;width:max-content}\
nav a,nav b{margin-left:10px}.tiles{display:grid;width:max-content}\
.tiles>*{display:block;line-height:0;scroll-margin:40vh 40vw}.tiles a:focus-visible{outline:2px solid #06c}\
@media(prefers-color-scheme:dark){body{background:#16181d;color:#ddd}nav{background:#16181ddd;border-color:#444}nav a{color:#8bf}}";

/// Writes the tiles, their pages and the table of cells.
///
/// # Errors
/// Where the folder holds another mosaic, an image can no longer be read, or a file cannot be written.
pub fn write(probe: &MosaicOf, on: &Subject, laid: &Laid, folder: &mut dyn Folder, job: &Job) -> Result<Artifact> {
    let plan = &laid.plan;
    let side = plan.side * (TILE / plan.side).max(1);
    let levels = Levels { width: plan.width, height: plan.height, side };
    let [rows, columns] = levels.tiles(levels.deepest());
    let (title, total) = (format!("mosaic of {} images{}", laid.codes.len(), laid.codes.place()), rows * columns);
    if job.stopped() {
        // Codes or places are unfinished: tiles of these would not fit those of a whole run.
        return Ok(Artifact::new(title).reached(0, total));
    }
    // Written out: folders and locks hold its hash, so it must not change with the names of types.
    let piece = |p: &PlacedPicture| format!("Piece {{ row: {}, left: {}, top: {} }}", p.row, p.left, p.top);
    let pieces: Vec<String> = plan.pieces.iter().map(piece).collect();
    let layout = format!("[{}] {:?} {} {}", pieces.join(", "), plan.seams, plan.width, plan.height);
    let question = serde_json::json!({
        "probe": probe.settings(),
        "subject": on.to_string(),
        "weights": on.model()?.weights_digest()?,
        "data": laid.images.name,
        "images": laid.images.len(),
        "layout": blake3::hash(layout.as_bytes()).to_hex().to_string(),
    });
    begin(folder, "mosaic.json", "tiles", &question)?;
    let (whole, done) = {
        let steps = job.steps("mosaic: tiles", total);
        let mut work = Work { laid, levels, held: held(laid, side), folder: &mut *folder, steps, done: 0 };
        (work.tile(0, 0, 0)?, work.done)
    };
    let mut table = Table::new(["level", "width", "height", "tiles", "page"]);
    for z in 0..=levels.deepest() {
        let ([width, height], [rows, columns]) = (levels.size(z), levels.tiles(z));
        table.push([z.into(), width.into(), height.into(), (rows * columns).into(), page_name(z).into()]);
    }
    let mut artifact = Artifact::new(title.clone());
    if let Some(image) = whole.filter(|_| done == total) {
        for z in 0..=levels.deepest() {
            let bytes = page(&title, levels, z, folder)?.into_bytes();
            folder.write(&page_name(z), Encoded { bytes, picture: None })?;
        }
        let listed = encode(&Saved::Table(&places(laid)?), Path::new("pictures.csv"))?;
        folder.write("pictures.csv", listed)?;
        let images = vec![(image, "the first level".to_string())];
        artifact = artifact.part(Part::Pictures(Pictures { title: String::new(), images, columns: Some(1) }));
    }
    Ok(artifact.part(Part::Table("levels".into(), table)).reached(done, total))
}

/// The sizes of a pyramid's levels: the last is the whole in full size, each one before is half as large; the first is one tile.
#[derive(Clone, Copy)]
struct Levels {
    width: usize,
    height: usize,
    side: usize,
}

impl Levels {
    fn deepest(self) -> usize {
        (0..).find(|z| (self.side << z) >= self.width.max(self.height)).unwrap_or(0)
    }

    /// Width and height of a level, px.
    fn size(self, z: usize) -> [usize; 2] {
        [self.width, self.height].map(|v| v.div_ceil(1 << (self.deepest() - z)))
    }

    /// Rows and columns of tiles.
    fn tiles(self, z: usize) -> [usize; 2] {
        let [width, height] = self.size(z);
        [height.div_ceil(self.side), width.div_ceil(self.side)]
    }

    /// Width and height of a tile, px.
    fn tile(self, z: usize, x: usize, y: usize) -> [usize; 2] {
        let [width, height] = self.size(z);
        [(width - x * self.side).min(self.side), (height - y * self.side).min(self.side)]
    }
}

/// What is painted in each tile of the deepest level, row by row: the numbers of pieces and of seams.
struct Held {
    columns: usize,
    pieces: Vec<Vec<usize>>,
    seams: Vec<Vec<usize>>,
}

fn held(laid: &Laid, side: usize) -> Held {
    let plan = &laid.plan;
    let (rows, columns) = (plan.height.div_ceil(side), plan.width.div_ceil(side));
    let mut held = Held { columns, pieces: vec![Vec::new(); rows * columns], seams: vec![Vec::new(); rows * columns] };
    let over = |[left, top, width, height]: [usize; 4]| {
        let last = |from: usize, length: usize, n: usize| ((from + length - 1) / side).min(n - 1);
        let across = left / side..=last(left, width, columns);
        (top / side..=last(top, height, rows)).flat_map(move |y| across.clone().map(move |x| y * columns + x))
    };
    for (i, p) in plan.pieces.iter().enumerate() {
        over([p.left, p.top, plan.side, plan.side]).for_each(|tile| held.pieces[tile].push(i));
    }
    for (i, (area, _)) in plan.seams.iter().enumerate() {
        over(*area).for_each(|tile| held.seams[tile].push(i));
    }
    held
}

struct Work<'a> {
    laid: &'a Laid,
    levels: Levels,
    held: Held,
    folder: &'a mut dyn Folder,
    steps: Steps<'a>,
    /// Tiles of the deepest level that are there.
    done: usize,
}

impl Work<'_> {
    /// A tile as a page shows it, written unless it is there already; nothing where nothing is painted, or after an interrupt.
    fn tile(&mut self, z: usize, x: usize, y: usize) -> Result<Option<Image>> {
        let [rows, columns] = self.levels.tiles(z);
        if x >= columns || y >= rows {
            return Ok(None);
        }
        let name = file_name(z, x, y);
        if z == self.levels.deepest() {
            if self.steps.next().is_none() {
                return Ok(None);
            }
            let known = self.folder.read(&name)?.map(|bytes| Image::decode(&bytes)).transpose()?;
            let made = match known {
                Some(image) => Some(image),
                None => self.painted(x, y)?.map(|image| self.written(&name, &image)).transpose()?,
            };
            self.done += 1;
            return Ok(made);
        }
        let before = self.done;
        let [width, height] = self.levels.tile(z, x, y);
        let mut canvas = Canvas::new([0, 0, 2 * width, 2 * height]);
        let (mut any, mut asked) = (false, 0);
        for (dy, dx) in [(0, 0), (0, 1), (1, 0), (1, 1)] {
            asked += self.below(z + 1, 2 * x + dx, 2 * y + dy);
            if let Some(part) = self.tile(z + 1, 2 * x + dx, 2 * y + dy)? {
                canvas.put(&part, dx * self.levels.side, dy * self.levels.side);
                any = true;
            }
        }
        // A tile of which a part is missing waits for the run that goes on.
        if !any || self.done - before < asked {
            return Ok(None);
        }
        let half = canvas.image()?.resize(width, height, Interpolation::Bilinear)?;
        self.written(&name, &half).map(Some)
    }

    /// How many tiles of the deepest level lie below a tile.
    fn below(&self, z: usize, x: usize, y: usize) -> usize {
        let deep = self.levels.deepest() - z;
        let [rows, columns] = self.levels.tiles(self.levels.deepest());
        let within = |i: usize, n: usize| ((i + 1) << deep).min(n).saturating_sub(i << deep);
        within(y, rows) * within(x, columns)
    }

    /// A tile of the deepest level.
    fn painted(&self, x: usize, y: usize) -> Result<Option<Image>> {
        let (laid, tile) = (self.laid, y * self.held.columns + x);
        let pieces = &self.held.pieces[tile];
        if pieces.is_empty() {
            return Ok(None);
        }
        let small = |i: &usize| laid.small(laid.plan.pieces[*i].row);
        let pictures: Vec<Image> = pieces.par_iter().map(small).collect::<Result<_>>()?;
        let [width, height] = self.levels.tile(self.levels.deepest(), x, y);
        let mut canvas = Canvas::new([x * self.levels.side, y * self.levels.side, width, height]);
        for (i, picture) in pieces.iter().zip(&pictures) {
            let piece = laid.plan.pieces[*i];
            canvas.put(picture, piece.left, piece.top);
        }
        for (area, colour) in self.held.seams[tile].iter().map(|i| laid.plan.seams[*i]) {
            canvas.area(area, colour);
        }
        canvas.image().map(Some)
    }

    /// Writes a tile, and returns it as it is read from its file, so that a run that goes on makes the same.
    fn written(&mut self, name: &str, image: &Image) -> Result<Image> {
        let bytes = image.encode_jpeg(QUALITY)?;
        let read = Image::decode(&bytes)?;
        self.folder.write(name, Encoded { bytes, picture: None })?;
        Ok(read)
    }
}

fn file_name(z: usize, x: usize, y: usize) -> String {
    format!("{z}/{x}-{y}.jpg")
}

fn page_name(z: usize) -> String {
    if z == 0 { "index.html".into() } else { format!("level-{z}.html") }
}

/// A level's page: its tiles, each a link to its middle on the next level.
fn page(title: &str, levels: Levels, z: usize, folder: &dyn Folder) -> Result<String> {
    let [rows, columns] = levels.tiles(z);
    let mut out = format!(
        "<!DOCTYPE html>\n<html lang=\"en\"><head><meta charset=\"utf-8\"><meta name=\"viewport\" content=\"width=device-width\">\
         <title>{0}</title><style>{STYLE}</style></head><body>\n<nav>{0}",
        escape(title)
    );
    for level in 0..=levels.deepest() {
        let [width, height] = levels.size(level);
        let size = format!("{width} x {height} px");
        out += &match level == z {
            true => format!("<b>{size}</b>"),
            false => format!("<a href=\"{}\">{size}</a>", page_name(level)),
        };
    }
    out += &format!("</nav>\n<div class=\"tiles\" style=\"grid-template-columns:repeat({columns},max-content)\">\n");
    for (y, x) in (0..rows).flat_map(|y| (0..columns).map(move |x| (y, x))) {
        let [width, height] = levels.tile(z, x, y);
        let name = file_name(z, x, y);
        let place = format!("row {} of {rows}, column {} of {columns}", y + 1, x + 1);
        let picture = match folder.has(&name)? {
            true => format!(
                "<img loading=\"lazy\" width=\"{width}\" height=\"{height}\" alt=\"the pictures of {place}\" src=\"{name}\">"
            ),
            false => format!("<span style=\"display:block;width:{width}px;height:{height}px\"></span>"),
        };
        out += &match z < levels.deepest() {
            true => format!(
                "<a id=\"t{x}-{y}\" href=\"{}#t{}-{}\" title=\"zoom in\">{picture}</a>\n",
                page_name(z + 1),
                2 * x,
                2 * y
            ),
            false => format!("<i id=\"t{x}-{y}\">{picture}</i>\n"),
        };
    }
    Ok(out + "</div>\n</body></html>\n")
}

/// Which image is where: px of the whole in full size.
fn places(laid: &Laid) -> Result<Table> {
    let mut table = Table::new(["left", "top", "image", "name", "label"]);
    for piece in &laid.plan.pieces {
        let image = laid.codes.rows[piece.row];
        let label = laid.images.item(image)?.label.clone();
        table.push([
            piece.left.into(),
            piece.top.into(),
            image.into(),
            laid.codes.caption(piece.row).into(),
            label.map_or(Cell::Nothing, Cell::from),
        ]);
    }
    Ok(table)
}
