//! How a figure looks: its colours on light and dark pages, and a form for papers. The look does not change the content.

use crate::error::{Error, Result};

/// The page under a figure.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Default)]
pub enum Theme {
    /// Dark letters on white.
    #[default]
    Light,
    /// Light letters on nearly black.
    Dark,
    /// Grey letters, legible on light and on dark pages, on nothing.
    Transparent,
}

/// The look of a figure.
#[derive(Clone, Copy, Debug, PartialEq, Default)]
pub struct Look {
    /// Colours of page and letters; where absent those of the place: white in files and reports, nothing in notebooks, whose
    /// pages may be light or dark.
    pub theme: Option<Theme>,
    /// The width of the whole figure in px (1/96 inch); as wide as it needs where absent.
    pub width: Option<f64>,
    /// For a paper: serif letters, a narrow margin, neither title nor notes, which belong into the caption.
    pub paper: bool,
    /// Lines at half of the strongest value on overlays.
    pub contours: bool,
}

/// A column of a paper of two columns, and its page, px: 3.25 and 6.75 inch.
const COLUMN: f64 = 3.25 * 96.0;
const PAGE: f64 = 6.75 * 96.0;
/// The narrowest figure that can be laid out, and the widest, px.
const WIDTHS: std::ops::RangeInclusive<f64> = 240.0..=2400.0;

impl Look {
    /// The look of that name: "light", "dark", "transparent", "column" (a paper's column, 3.25 inch) or "page" (6.75 inch).
    ///
    /// # Errors
    /// Where there is none of that name.
    pub fn named(name: &str) -> Result<Look> {
        let plain = |theme| Look { theme: Some(theme), ..Look::default() };
        let paper = |width| Look { width: Some(width), paper: true, ..plain(Theme::Light) };
        Ok(match name {
            "light" => plain(Theme::Light),
            "dark" => plain(Theme::Dark),
            "transparent" => plain(Theme::Transparent),
            "column" => paper(COLUMN),
            "page" => paper(PAGE),
            other => {
                return Err(Error::value(format!("no look is called \"{other}\""))
                    .hint("\"light\", \"dark\", \"transparent\", \"column\" and \"page\" are known"));
            }
        })
    }

    /// The same, so many px wide.
    ///
    /// # Errors
    /// Where nothing could be laid out in it.
    pub fn wide(self, width: f64) -> Result<Look> {
        if !WIDTHS.contains(&width) {
            let (least, most) = (WIDTHS.start(), WIDTHS.end());
            return Err(Error::value(format!("a figure {width} px wide"))
                .hint(format!("from {least} to {most} px can be drawn")));
        }
        Ok(Look { width: Some(width), ..self })
    }

    /// White around the whole figure, px.
    pub fn margin(&self) -> f64 {
        if self.paper { 3.0 } else { 18.0 }
    }
}
