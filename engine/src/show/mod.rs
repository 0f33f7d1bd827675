//! What probes return: an [`Artifact`] of parts that say *what* is shown; renderers (text, PNG, SVG, HTML) decide how.

pub mod artifact;
pub mod table;

pub use artifact::{Artifact, ClassMap, Grid, Map, Mark, Part, Pictures, Plot, Scale, Series, Style, Tile};
pub use table::{Cell, Table};
