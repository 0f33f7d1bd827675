//! The look of a figure: colours for light and dark pages, and a form for papers. It does not change the content.

use crate::error::{Error, Result};

/// The page below a figure.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Default)]
pub enum Theme {
    /// Dark letters on white.
    #[default]
    Light,
    /// Light letters on nearly black.
    Dark,
    /// Grey letters on a transparent page, legible on light and dark.
    Transparent,
}

/// The look of a figure.
#[derive(Clone, Copy, Debug, PartialEq, Default)]
pub struct Look {
    /// The colours of page and letters. Unless given: white in files and reports, transparent in notebooks, whose pages may be
    /// light or dark.
    pub theme: Option<Theme>,
    /// The width of the whole figure, px (1/96 inch); unless given, as wide as needed.
    pub width: Option<f64>,
    /// For a paper: serif letters, a narrow margin, and neither title nor notes, which belong in the caption.
    pub paper: bool,
    /// Whether overlays have a contour at half of the strongest value.
    pub contours: bool,
}

/// The widths of a column and of the page of a two-column paper, px: 3.25 and 6.75 inches.
const COLUMN: f64 = 3.25 * 96.0;
const PAGE: f64 = 6.75 * 96.0;
/// The least and the greatest width of a figure, px.
const WIDTHS: std::ops::RangeInclusive<f64> = 240.0..=2400.0;

impl Look {
    /// The look of this name: "light", "dark", "transparent", "column" (a paper's column, 3.25 inches) or "page" (6.75 inches).
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

    /// The same look at this width, px.
    ///
    /// # Errors
    /// Where the width is out of range.
    pub fn wide(self, width: f64) -> Result<Look> {
        if !WIDTHS.contains(&width) {
            let (least, most) = (WIDTHS.start(), WIDTHS.end());
            return Err(Error::value(format!("a figure {width} px wide"))
                .hint(format!("from {least} to {most} px can be drawn")));
        }
        Ok(Look { width: Some(width), ..self })
    }

    /// The margin around the figure, px.
    pub fn margin(&self) -> f64 {
        if self.paper { 3.0 } else { 18.0 }
    }
}
