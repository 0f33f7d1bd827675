//! The result of a probe: its parts, its arrays, its notes, and the settings that made it.

use super::Table;
use super::look::Look;
use super::recorded::{SignalMap, VolumeMap};
use crate::data::image::Image;
use crate::data::preprocess::Placement;
use crate::error::{Error, Result, did_you_mean};
use candle_core::Tensor;
use std::collections::BTreeMap;

/// How numbers become colours.
#[derive(Clone, Copy, Debug, PartialEq)]
pub enum Scale {
    /// From low to high: probabilities, magnitudes. `None` stands for the data's minimum or maximum.
    Sequential {
        /// The value of the darkest colour.
        low: Option<f64>,
        /// The value of the brightest colour.
        high: Option<f64>,
    },
    /// From high to low, bright where values are small: scores that remain after a part is removed.
    Falling {
        /// The value of the brightest colour.
        low: Option<f64>,
        /// The value of the darkest colour.
        high: Option<f64>,
    },
    /// Around zero: signed maps. Unless given, the bound is the largest magnitude.
    Diverging {
        /// The magnitude of the strongest colours.
        bound: Option<f64>,
    },
    /// Symmetric logarithm: asinh(v / c), c a hundredth of the largest magnitude; linear near zero, logarithmic beyond. From zero,
    /// or around zero where values have both signs. For values of very different magnitudes.
    SymmetricLog,
    /// Each tile of a grid from zero to its own maximum: shows patterns, hides magnitudes.
    Each,
}

/// How a map is drawn.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Default)]
pub enum Style {
    /// The map beside the photo.
    Alone,
    /// The map transparent over the photo.
    #[default]
    Overlay,
    /// Only the map; its photo is in a panel beside it. Without a label it has no colour bar.
    Panel,
    /// Only the photo, as large as the maps beside it.
    Photo,
}

/// A heat map over an input.
#[derive(Clone, Debug)]
pub struct Map {
    /// What it shows.
    pub title: String,
    /// Rows x columns.
    pub values: Tensor,
    /// What a value means, with its unit.
    pub label: String,
    /// How values become colours.
    pub scale: Scale,
    /// The photo underneath.
    pub photo: Option<Image>,
    /// The position of the net's input on the photo.
    pub placement: Option<Placement>,
    /// The part of the net's input that the map covers, px: top, left, bottom, right; all of it unless given.
    pub extent: Option<[f64; 4]>,
    /// The height and width of the net's input, px.
    pub input: [usize; 2],
    /// How it is drawn.
    pub style: Style,
}

/// A map of categories, such as the most probable class at each position.
#[derive(Clone, Debug)]
pub struct ClassMap {
    /// What it shows.
    pub title: String,
    /// Rows x columns of category numbers (f32).
    pub values: Tensor,
    /// The categories' numbers and names, most frequent first.
    pub names: Vec<(usize, String)>,
    /// As of [`Map`].
    pub photo: Option<Image>,
    /// As of [`Map`].
    pub placement: Option<Placement>,
    /// As of [`Map`].
    pub extent: Option<[f64; 4]>,
    /// As of [`Map`].
    pub input: [usize; 2],
}

/// One tile of a grid.
#[derive(Clone, Debug)]
pub struct Tile {
    /// The caption below the tile.
    pub caption: String,
    /// Rows x columns, or 3 x rows x columns for a colour tile (on the grid's scale, where zero is grey).
    pub values: Tensor,
}

/// Tiles on a common scale.
#[derive(Clone, Debug)]
pub struct Grid {
    /// What it shows.
    pub title: String,
    /// The tiles, row by row.
    pub tiles: Vec<Tile>,
    /// The number of tiles in a row; unless given, such that the grid is nearly square.
    pub columns: Option<usize>,
    /// What a value means.
    pub label: String,
    /// The common scale.
    pub scale: Scale,
}

/// A value for each pair of a named row and a named column.
#[derive(Clone, Debug)]
pub struct Matrix {
    /// What it shows.
    pub title: String,
    /// Rows x columns.
    pub values: Tensor,
    /// The rows' names, from the top.
    pub rows: Vec<String>,
    /// The columns' names, from the left.
    pub columns: Vec<String>,
    /// What a value means, with its unit.
    pub label: String,
    /// How values become colours.
    pub scale: Scale,
}

/// Pictures with captions.
#[derive(Clone, Debug)]
pub struct Pictures {
    /// What they show.
    pub title: String,
    /// Pictures and captions, row by row.
    pub images: Vec<(Image, String)>,
    /// The number of pictures in a row.
    pub columns: Option<usize>,
}

/// A box with a caption.
#[derive(Clone, Debug)]
pub struct Framed {
    /// Left, top, right, bottom in the photo's pixels.
    pub corners: [f64; 4],
    /// The caption.
    pub caption: String,
    /// Its group, an index into [`Boxes::names`].
    pub group: usize,
}

/// Boxes on a photo, the most confident first.
#[derive(Clone, Debug)]
pub struct Boxes {
    /// What they show.
    pub title: String,
    /// The photo.
    pub photo: Image,
    /// The boxes.
    pub boxes: Vec<Framed>,
    /// The groups' names.
    pub names: Vec<String>,
}

/// The form in which a series is drawn.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Mark {
    /// A line through its points.
    Line,
    /// A bar for each point.
    Bar,
    /// A dot for each point.
    Point,
}

/// One series of a plot.
#[derive(Clone, Debug)]
pub struct Series {
    /// Its name in the legend.
    pub name: String,
    /// Positions along x.
    pub x: Vec<f64>,
    /// Values.
    pub y: Vec<f64>,
    /// Lower and upper ends of error bars, one pair for each point, or empty.
    pub bars: Vec<(f64, f64)>,
    /// The form in which it is drawn.
    pub mark: Mark,
}

/// A plot.
#[derive(Clone, Debug)]
pub struct Plot {
    /// What it shows.
    pub title: String,
    /// The x axis, with its unit.
    pub x_label: String,
    /// The y axis, with its unit.
    pub y_label: String,
    /// The names of positions along x where they are categories: position i has the i-th name.
    pub categories: Vec<String>,
    /// The series.
    pub series: Vec<Series>,
}

/// Points in the plane whose distances matter, not their coordinates: an embedding.
#[derive(Clone, Debug, Default)]
pub struct Cloud {
    /// What it shows.
    pub title: String,
    /// The points, y upwards.
    pub points: Vec<[f64; 2]>,
    /// The group of each point, an index into `names`; a larger number is no group.
    pub groups: Vec<usize>,
    /// The groups' names.
    pub names: Vec<String>,
    /// Thumbnails drawn in place of dots, one for each point, or empty.
    pub thumbnails: Vec<Image>,
    /// The points drawn with a ring: the last ones, which were placed afterwards.
    pub ringed: std::ops::Range<usize>,
    /// The axes' names, where the axes have a meaning.
    pub axes: Option<[String; 2]>,
}

/// Many small pictures without gaps, framed in the colours of their groups; in HTML it can be zoomed.
#[derive(Clone, Debug, Default)]
pub struct Mosaic {
    /// What it shows.
    pub title: String,
    /// The pictures, row by row.
    pub images: Vec<Image>,
    /// The caption of each picture.
    pub captions: Vec<String>,
    /// The group of each picture, an index into `names`; a larger number is no group.
    pub groups: Vec<usize>,
    /// The groups' names.
    pub names: Vec<String>,
    /// The number of pictures in a row.
    pub columns: usize,
}

/// One part of an artifact.
#[derive(Clone, Debug)]
pub enum Part {
    /// An embedding.
    Cloud(Cloud),
    /// Many small pictures.
    Mosaic(Mosaic),
    /// A heat map.
    Map(Map),
    /// A map of classes.
    ClassMap(ClassMap),
    /// A map over a signal.
    SignalMap(SignalMap),
    /// A map over a volume.
    VolumeMap(VolumeMap),
    /// Boxes on a photo.
    Boxes(Boxes),
    /// Tiles on a common scale.
    Grid(Grid),
    /// A matrix.
    Matrix(Matrix),
    /// Pictures.
    Pictures(Pictures),
    /// A table with its title.
    Table(String, Table),
    /// A plot.
    Plot(Plot),
    /// A text in Markdown.
    Text(String),
    /// Artifacts side by side, in this number of columns.
    Figure(Vec<Artifact>, usize),
}

/// The result of a probe.
#[derive(Clone, Debug, Default)]
pub struct Artifact {
    /// Its title, one line.
    pub title: String,
    /// The parts that are shown.
    pub parts: Vec<Part>,
    /// The arrays as computed, never normalised.
    pub data: BTreeMap<String, Tensor>,
    /// The name of the array that `.value` and `save(.., "x.npy")` refer to.
    pub primary: String,
    /// Caveats and findings, one sentence each.
    pub notes: Vec<String>,
    /// False where the work ended early; a note says how far it got.
    pub complete: bool,
    /// The settings as JSON: probe, subject, input.
    pub manifest: serde_json::Value,
    /// The look of its figure.
    pub look: Look,
}

impl Artifact {
    /// Whether a part is a picture, neither a table nor a text.
    pub fn is_drawn(&self) -> bool {
        self.parts.iter().any(|part| match part {
            Part::Table(..) | Part::Text(_) => false,
            Part::Figure(inner, _) => inner.iter().any(Artifact::is_drawn),
            Part::Map(_) | Part::ClassMap(_) | Part::Grid(_) | Part::Pictures(_) | Part::Plot(_) => true,
            Part::Cloud(_) | Part::Mosaic(_) | Part::Boxes(_) | Part::Matrix(_) => true,
            Part::SignalMap(_) | Part::VolumeMap(_) => true,
        })
    }

    /// A complete artifact with a title and without parts.
    pub fn new(title: impl Into<String>) -> Self {
        Artifact { title: title.into(), complete: true, ..Artifact::default() }
    }

    /// Adds a part.
    pub fn part(mut self, part: Part) -> Self {
        self.parts.push(part);
        self
    }

    /// Adds an array; the first one is the primary array.
    pub fn array(mut self, name: &str, tensor: Tensor) -> Self {
        if self.primary.is_empty() {
            self.primary = name.to_string();
        }
        self.data.insert(name.to_string(), tensor);
        self
    }

    /// Adds a note.
    pub fn note(mut self, note: impl Into<String>) -> Self {
        self.notes.push(note.into());
        self
    }

    /// Adds notes.
    pub fn notes(mut self, notes: impl IntoIterator<Item = String>) -> Self {
        self.notes.extend(notes);
        self
    }

    /// Marks the artifact as ended early, where `done` is less than `total`, in steps.
    pub fn reached(mut self, done: usize, total: usize) -> Self {
        if done < total {
            self.complete = false;
            self.notes.insert(0, format!("stopped after {done} of {total} steps; what was done by then is shown"));
        }
        self
    }

    /// Sets the figure's look, also for the artifacts inside.
    pub fn with_look(mut self, look: Look) -> Self {
        self.look = look;
        self
    }

    /// The array called `name`.
    ///
    /// # Errors
    /// Where there is none; the hint lists the names.
    pub fn array_named(&self, name: &str) -> Result<&Tensor> {
        self.data.get(name).ok_or_else(|| {
            let names: Vec<&str> = self.data.keys().map(String::as_str).collect();
            let close = did_you_mean(name, names.iter().copied()).map_or(String::new(), |c| c + " ");
            let list = names.iter().map(|n| format!("`{n}`")).collect::<Vec<_>>().join(", ");
            Error::not_found(format!("no array `{name}` in \"{}\"", self.title))
                .hint(format!("{close}its arrays are {list}"))
        })
    }

    /// The primary array.
    ///
    /// # Errors
    /// Where the artifact has no array.
    pub fn value(&self) -> Result<&Tensor> {
        if self.data.is_empty() {
            return Err(Error::not_found(format!("\"{}\" holds no array", self.title)));
        }
        self.array_named(&self.primary)
    }

    /// The first table.
    pub fn table(&self) -> Option<&Table> {
        self.parts.iter().find_map(|p| if let Part::Table(_, t) = p { Some(t) } else { None })
    }
}
