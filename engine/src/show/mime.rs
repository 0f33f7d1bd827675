//! Artifacts in the representations that notebooks choose from, by MIME type: figures as PNG, tables as HTML, texts as Markdown,
//! and always plain text.

use super::alt::alt;
use super::artifact::{Artifact, Part};
use super::look::Theme;
use super::raster::SCALE;
use super::{TextStyle, figure, html, text};
use crate::data::Image;
use crate::error::Result;
use base64::Engine as _;

/// A representation.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Representation {
    /// Its MIME type.
    pub mime: &'static str,
    /// Its content; base64 for pictures.
    pub content: String,
    /// The displayed width and height of a picture, px.
    pub size: Option<(u32, u32)>,
    /// The alternative text of a picture; empty for others.
    pub alt: String,
}

impl Representation {
    /// A textual representation.
    pub fn text(mime: &'static str, content: impl Into<String>) -> Self {
        Representation { mime, content: content.into(), size: None, alt: String::new() }
    }
}

/// The representations of an artifact, the richest first. Where it cannot be drawn, a text gives the error.
pub fn forms(artifact: &Artifact) -> Vec<Representation> {
    let plain = text::text(artifact, &TextStyle::default());
    let mut forms = match rich(artifact) {
        Ok(rich) => vec![rich],
        Err(error) => return vec![Representation::text("text/plain", format!("{plain}note: {error}"))],
    };
    forms.push(Representation::text("text/plain", plain.trim_end()));
    forms
}

/// An image pixel by pixel, called `label`.
///
/// # Errors
/// Where it cannot be encoded.
pub fn image(image: &Image, label: &str) -> Result<Vec<Representation>> {
    Ok(vec![png(&image.encode_png()?, 1.0, label.to_string()), Representation::text("text/plain", label)])
}

fn rich(artifact: &Artifact) -> Result<Representation> {
    if let [Part::Text(markdown)] = &artifact.parts[..]
        && artifact.title.is_empty()
        && artifact.notes.is_empty()
    {
        return Ok(Representation::text("text/markdown", markdown));
    }
    match artifact.is_drawn() {
        true => Ok(png(&picture(artifact)?, SCALE, alt(artifact))),
        false => Ok(Representation::text("text/html", html::html(artifact)?)),
    }
}

/// The figure as a PNG file for a notebook, whose page may be light or dark: transparent unless the artifact has a theme.
///
/// # Errors
/// As [`figure::draw`].
pub fn picture(artifact: &Artifact) -> Result<Vec<u8>> {
    figure::draw_on(artifact, Theme::Transparent)?.png()
}

/// A PNG with `scale` pixels per px of the screen.
fn png(bytes: &[u8], scale: f64, alt: String) -> Representation {
    // The size is in the header chunk, the first one.
    let number = |at: usize| bytes.get(at..at + 4).map_or(0, |b| b.iter().fold(0u32, |n, b| n << 8 | u32::from(*b)));
    let size = |at| (f64::from(number(at)) / scale).round() as u32;
    let content = base64::engine::general_purpose::STANDARD.encode(bytes);
    Representation { mime: "image/png", content, size: Some((size(16), size(20))), alt }
}

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used)]
    use super::*;
    use crate::show::{Look, Table, of_image, of_table};

    #[test]
    fn each_kind_of_result_has_its_forms() {
        let types = |artifact: &Artifact| forms(artifact).iter().map(|f| f.mime).collect::<Vec<_>>();
        assert_eq!(types(&of_table(&Table::new(["a"]))), ["text/html", "text/plain"]);
        assert_eq!(types(&Artifact::new("").part(Part::Text("*x*".into()))), ["text/markdown", "text/plain"]);
        assert_eq!(types(&of_image(&Image::filled(30, 20, [1; 3]).unwrap())), ["image/png", "text/plain"]);
    }

    /// The corners of the page are transparent in notebooks, and white where the artifact has the light theme.
    #[test]
    fn notebooks_get_figures_for_light_and_dark_pages() {
        let figure = of_image(&Image::filled(30, 20, [1; 3]).unwrap());
        let corner = |artifact: &Artifact| {
            let bytes = base64::engine::general_purpose::STANDARD.decode(&forms(artifact)[0].content).unwrap();
            image::load_from_memory(&bytes).unwrap().to_rgba8().get_pixel(0, 0).0[3]
        };
        assert_eq!(corner(&figure), 0);
        assert_eq!(corner(&figure.with_look(Look::named("light").unwrap())), 255);
    }

    #[test]
    fn pictures_say_their_size() {
        let forms = image(&Image::filled(30, 20, [1; 3]).unwrap(), "x").unwrap();
        assert_eq!((forms[0].size, forms[0].alt.as_str()), (Some((30, 20)), "x"));
    }
}
