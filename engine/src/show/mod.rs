//! Results of probes: an [`Artifact`] has parts that say *what* is shown; renderers (text, PNG, SVG, HTML) decide how.
//!
//! A figure is laid out once as a [`scene`] and then written as pixels or vectors, in the colours of its [`look`].

pub mod alt;
pub mod artifact;
pub mod colour;
pub mod escape;
pub mod field;
pub mod figure;
pub mod font;
pub mod headline;
pub mod html;
pub mod look;
pub mod markdown;
pub mod mime;
pub mod parquet;
mod part;
pub mod pdf;
pub mod raster;
pub mod recorded;
pub mod report;
pub mod save;
pub mod scene;
pub mod sealed;
pub mod single;
pub mod svg;
pub mod table;
pub mod text;
pub mod viewer;
mod zoom;

pub use alt::alt;
pub use artifact::{
    Artifact, Boxes, ClassMap, Cloud, Framed, Grid, Map, Mark, Matrix, Mosaic, Part, Pictures, Plot, Scale, Series,
    Style, Tile,
};
pub use figure::{Drawn, draw, pdf as to_pdf, png, svg as to_svg};
pub use html::{html as to_html, html_of, html_within};
pub use look::{Look, Theme};
pub use recorded::{SignalMap, VolumeMap};
pub use report::{Report, Section};
pub use save::{Encoded, Saved, encode, save, words};
pub use single::{of_image, of_signal, of_table, of_tensor, of_volume};
pub use table::{Cell, Table};
pub use text::{TextStyle, text as to_text, text_image, text_table, text_tensor};
