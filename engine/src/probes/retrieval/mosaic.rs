//! A large picture of many small ones, laid out so that images with near codes lie near each other: as one picture of a given size,
//! or as tiles of a page that is zoomed.
//!
//! CS231n, "Embedding the codes with t-SNE"; Karpathy, "t-SNE visualization of CNN codes": mosaics of 1,000, 4,000 and 6,000 px, with
//! the pictures at their exact places, and with every cell of a grid filled by the nearest one.

mod canvas;
mod plan;
mod tiles;

use crate::data::{Dataset, Image, Interpolation};
use crate::embed::knn::{Metric, nearest};
use crate::embed::tsne;
use crate::error::{Error, Result};
use crate::job::Job;
use crate::probe::Probe;
use crate::probe::maps::Folder;
use crate::probes::retrieval::codes::finish;
use crate::probes::retrieval::coding::{Codes, Coding, Pooling};
use crate::probes::retrieval::max_activating::numbers;
use crate::show::figure::mosaic_square;
use crate::show::{Artifact, Part, Pictures};
use crate::stream::stream;
use crate::subject::{Input, Subject};
use crate::tensor::{tensor, to_f64};
use candle_core::Tensor;
use canvas::Canvas;
use plan::{Distances, PlacedPicture, Plan};

crate::choice! {
    /// Where the pictures of a mosaic lie.
    pub enum MosaicLayout {
        /// Each at its own place; later ones cover earlier ones.
        Exact = "exact",
        /// On a grid, each cell filled with the picture nearest to its middle: a picture may stand in several cells or in none.
        Filled = "filled",
        /// On a grid, each picture once, as near to its place as possible.
        Once = "once",
    }
}

crate::params! {
    /// The images of a data set as one large picture in which near codes lie near each other.
    ///
    /// The picture is `artifact.images[0]`, which `save(.., "mosaic.png")` writes pixel by pixel. With a folder,
    /// `mosaic(..).run(net, data, "folder")`, tiles and pages are written there instead: `index.html` is zoomed by clicks, and the
    /// picture is never in memory as a whole. A run into a folder that was stopped goes on with the missing tiles.
    ///
    /// Arrays: `cells` (rows x columns, the numbers of the images, -1 in an empty cell) or, for exact places, `places` (N x 2, px of the
    /// pictures' middles); with `seams` also `right` (rows x columns - 1) and `down` (rows - 1 x columns), the distances of
    /// neighbouring cells' codes.
    #[probe(
        family = Images,
        source = "CS231n, \"Embedding the codes with t-SNE\"; Karpathy 2014, \"t-SNE visualization of CNN codes\"",
        subjects = "a layer, or a net (the input of its classifier)",
        input = Any,
        example = "mosaic(#{ size: 120, cell: 20 }).run(net, data)"
    )]
    pub struct MosaicOf as "mosaic" {
        /// Places of the images in the plane, N x 2, such as the embedding of `tsne` or the first two scores of `pca`; a t-SNE with
        /// its usual settings unless given.
        points: Option<Tensor> = None;
        /// Where the pictures lie.
        places: MosaicLayout = MosaicLayout::Filled;
        /// The longer side of the whole, px.
        size: usize = 2000, in 16..=1_000_000;
        /// The side of each picture, px; with `places: "once"` as many px as fit.
        cell: usize = 50, in 2..=2000;
        /// Whether lines between neighbouring cells show how far their codes are apart.
        seams: bool = false;
        /// The images of the input, where the input is codes.
        data: Option<Dataset> = None;
        /// How a layer's positions are pooled.
        pool: Pooling = Pooling::Mean;
        /// Whether the code is taken after the rectifier that follows the layer.
        relu: bool = true;
        /// Whether codes of image files are cached on disk.
        cache: bool = true;
    }
}

impl Probe for MosaicOf {
    fn run(&self, on: &Subject, input: &Input, job: &Job) -> Result<Artifact> {
        let laid = self.laid(on, input, job)?;
        let (plan, codes) = (&laid.plan, &laid.codes);
        let bytes = 3 * plan.width as u64 * plan.height as u64;
        let hint = "name a folder, and it is written there in tiles: `mosaic(..).run(net, data, \"folder\")`";
        job.holds(bytes, || format!("a picture of {} x {} px takes", plan.width, plan.height), hint)?;
        let mut pieces = plan.pieces.clone();
        pieces.sort_by_key(|p| p.row);
        let by_row: Vec<&[PlacedPicture]> = pieces.chunk_by(|a, b| a.row == b.row).collect();
        let mut canvas = Canvas::new([0, 0, plan.width, plan.height]);
        let small = |i: usize| laid.small(by_row[i][0].row);
        let report = stream(std::slice::from_ref(&(0..by_row.len())), 64, (job, "mosaic"), small, |items| {
            for (i, picture) in items {
                by_row[i].iter().for_each(|p| canvas.put(&picture, p.left, p.top));
            }
            Ok(())
        })?;
        plan.seams.iter().for_each(|(area, colour)| canvas.area(*area, *colour));
        let caption = format!("{} x {} px, pictures of {} px", plan.width, plan.height, plan.side);
        let title = format!("mosaic of {} images{}", codes.len(), codes.place());
        let artifact = Artifact::new(title).part(Part::Pictures(Pictures {
            title: String::new(),
            images: vec![(canvas.image()?, caption)],
            columns: Some(1),
        }));
        let total = by_row.len();
        Ok(finish(laid.arrays(artifact)?, codes).notes(report.note()).reached(report.reached, total))
    }

    fn run_into(&self, on: &Subject, input: &Input, folder: &mut dyn Folder, job: &Job) -> Result<Option<Artifact>> {
        let laid = self.laid(on, input, job)?;
        let artifact = tiles::write(self, on, &laid, folder, job)?;
        Ok(Some(finish(laid.arrays(artifact)?, &laid.codes)))
    }
}

/// Images and where they are painted.
struct Laid {
    codes: Codes,
    images: Dataset,
    plan: Plan,
    distances: Option<Distances>,
}

impl MosaicOf {
    fn laid(&self, on: &Subject, input: &Input, job: &Job) -> Result<Laid> {
        let coding = Coding { pool: self.pool, relu: self.relu, predictions: false, cache: self.cache };
        let codes = Codes::of(on, input, self.data.as_ref(), coding, job)?;
        let Some(images) = codes.data.clone() else {
            return Err(Error::subject("a mosaic of codes needs their images").hint("give them: #{ data: data }"));
        };
        job.whole_data("mosaic")?;
        let points = match &self.points {
            Some(points) => given(points, codes.len())?,
            None => embedded(&codes, job)?,
        };
        let plan = Plan::of(&points, self.places, [self.size, self.cell], job)?;
        let (plan, distances) = match self.seams {
            true => plan.with_seams(&codes.values, codes.d).map(|(plan, d)| (plan, Some(d)))?,
            false => (plan, None),
        };
        Ok(Laid { codes, images, plan, distances })
    }
}

/// Places that were given.
fn given(points: &Tensor, n: usize) -> Result<Vec<[f64; 2]>> {
    match *points.dims() {
        [m, 2] if m == n => Ok(to_f64(points)?.chunks(2).map(|p| [p[0], p[1]]).collect()),
        ref dims => Err(Error::shape(format!("option `points` is {dims:?}; the {n} images need [{n}, 2]"))
            .hint("`tsne().run(net, data).data(\"embedding\")` of the same images")),
    }
}

/// A t-SNE with its usual settings.
fn embedded(codes: &Codes, job: &Job) -> Result<Vec<[f64; 2]>> {
    let n = codes.len();
    if n < 5 {
        return Err(Error::value(format!("t-SNE needs at least 5 codes, got {n}")).hint("give the places as `points`"));
    }
    let settings = tsne::Settings::default();
    let k = ((3.0 * settings.perplexity) as usize).min(n - 1);
    let near = nearest(&codes.values, codes.d, None, k, Metric::Euclidean);
    Ok(tsne::embed(&near, tsne::start(&codes.values, codes.d), &settings, job).points)
}

impl Laid {
    /// The picture of a code's image: its middle square at the mosaic's size.
    fn small(&self, row: usize) -> Result<Image> {
        let square = mosaic_square(&self.images.get(self.codes.rows[row])?)?;
        let side = self.plan.side;
        if square.width() == side { Ok(square) } else { square.resize(side, side, Interpolation::Bicubic) }
    }

    /// Where each picture is, as arrays, and notes.
    fn arrays(&self, mut artifact: Artifact) -> Result<Artifact> {
        let (plan, n, shown) = (&self.plan, self.codes.len(), self.plan.shown());
        match &plan.grid {
            Some(grid) => {
                let number = |row: &Option<usize>| row.map_or(-1.0, |row| self.codes.rows[row] as f64);
                let cells = grid.of.iter().map(number).collect();
                artifact = artifact.array("cells", numbers(cells, self.images.len(), &[grid.rows, grid.columns])?);
                if let Some(found) = &self.distances {
                    artifact = artifact
                        .array("right", tensor(found.right.clone(), &[grid.rows, grid.columns - 1])?)
                        .array("down", tensor(found.down.clone(), &[grid.rows - 1, grid.columns])?)
                        .note("seams: the brighter, the farther apart are the codes on both sides");
                }
            }
            None => {
                let middle = |v: usize| (v as f64 + plan.side as f64 / 2.0) as f32;
                let places = plan.pieces.iter().flat_map(|p| [middle(p.left), middle(p.top)]).collect();
                artifact = artifact.array("places", tensor::<f32>(places, &[n, 2])?);
            }
        }
        Ok(match shown < n {
            true => {
                artifact.note(format!("{shown} of {n} images are nearest to a cell's middle; the others are not shown"))
            }
            false => artifact,
        })
    }
}
