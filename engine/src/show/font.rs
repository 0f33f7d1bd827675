//! Outlines and widths of letters, from fonts that are part of the program, so that a figure looks the same on every machine:
//! Ubuntu Light, Hack for code and for letters that Ubuntu lacks, and DejaVu Serif for papers.

use ab_glyph::{Font, FontRef, GlyphId, OutlineCurve};
use std::sync::LazyLock;

/// A typeface.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Default)]
pub enum Face {
    /// Proportional, for words.
    #[default]
    Sans,
    /// Monospaced, for code and columns of numbers.
    Mono,
    /// With serifs, for papers.
    Serif,
}

/// A segment of an outline, px, y downwards from the baseline.
#[derive(Clone, Copy, Debug, PartialEq)]
pub enum Stroke {
    /// Begins a contour.
    Move(f32, f32),
    /// A straight line.
    Line(f32, f32),
    /// A quadratic curve: control point, end.
    Quad([f32; 2], [f32; 2]),
    /// A cubic curve: two control points, end.
    Cubic([f32; 2], [f32; 2], [f32; 2]),
}

/// The typefaces; empty only if the embedded files are damaged, and then nothing is drawn.
static FONTS: LazyLock<Vec<FontRef<'static>>> = LazyLock::new(|| {
    [epaint_default_fonts::UBUNTU_LIGHT, epaint_default_fonts::HACK_REGULAR, dejavu::serif::regular()]
        .into_iter()
        .filter_map(|bytes| FontRef::try_from_slice(bytes).ok())
        .collect()
});

/// The width of `text`, px, at font size `size`, px.
pub fn width(text: &str, size: f64, face: Face) -> f64 {
    lay(text, size, face, |_, _, _, _| {})
}

/// The outlines of `text` at font size `size`, px, with the start of the baseline at (0, 0).
pub fn outline(text: &str, size: f64, face: Face) -> Vec<Stroke> {
    let mut strokes = Vec::new();
    lay(text, size, face, |font, glyph, x, scale| {
        let Some(outline) = font.outline(glyph) else { return };
        let at = |p: ab_glyph::Point| [(x + f64::from(p.x) * scale) as f32, (-f64::from(p.y) * scale) as f32];
        let mut pen = None;
        for curve in outline.curves {
            let (from, stroke, to) = match curve {
                OutlineCurve::Line(a, b) => (a, Stroke::Line(at(b)[0], at(b)[1]), b),
                OutlineCurve::Quad(a, c, b) => (a, Stroke::Quad(at(c), at(b)), b),
                OutlineCurve::Cubic(a, c, d, b) => (a, Stroke::Cubic(at(c), at(d), at(b)), b),
            };
            if pen != Some(from) {
                strokes.push(Stroke::Move(at(from)[0], at(from)[1]));
            }
            strokes.push(stroke);
            pen = Some(to);
        }
    });
    strokes
}

/// `text` in lines of at most `limit` px, broken at spaces and within longer words; the last of `lines` lines ends in an ellipsis
/// where text is left over. At least one line.
pub fn wrap(text: &str, size: f64, limit: f64, lines: usize) -> Vec<String> {
    let fits = |s: &str| width(s, size, Face::Sans) <= limit;
    let mut out: Vec<String> = vec![String::new()];
    for word in text.split_whitespace() {
        let last = out.last().map_or("", String::as_str);
        let joined = if last.is_empty() { word.to_string() } else { format!("{last} {word}") };
        if fits(&joined) {
            out.pop();
            out.push(joined);
            continue;
        }
        if last.is_empty() {
            out.pop();
        }
        let mut piece = String::new();
        for letter in word.chars() {
            piece.push(letter);
            if piece.chars().count() > 1 && !fits(&piece) {
                piece.pop();
                out.push(std::mem::replace(&mut piece, letter.to_string()));
            }
        }
        out.push(piece);
        if out.len() > lines {
            break;
        }
    }
    if out.len() > lines.max(1) {
        out.truncate(lines.max(1));
        let last = out.pop().unwrap_or_default();
        out.push(abbreviate(&format!("{last} …"), size, limit));
    }
    out
}

/// `text` cut to `limit` px with an ellipsis where it is longer; empty where not even the ellipsis fits.
pub fn abbreviate(text: &str, size: f64, limit: f64) -> String {
    if width(text, size, Face::Sans) <= limit {
        return text.to_string();
    }
    let mut kept: Vec<char> = text.trim_end_matches(['…', ' ']).chars().collect();
    while !kept.is_empty() {
        let short = kept.iter().collect::<String>().trim_end().to_string() + "…";
        if width(&short, size, Face::Sans) <= limit {
            return short;
        }
        kept.pop();
    }
    String::new()
}

/// Calls `each` for each letter with the font, the glyph, its x and the font's scale; returns the end of the last letter.
fn lay(text: &str, size: f64, face: Face, mut each: impl FnMut(&FontRef<'static>, GlyphId, f64, f64)) -> f64 {
    let mut x = 0.0;
    let mut before: Option<(usize, GlyphId)> = None;
    for letter in text.chars() {
        let Some((which, glyph)) = find(letter, face) else { continue };
        let font = &FONTS[which];
        let scale = scale(font, size);
        if let Some((_, left)) = before.filter(|(w, _)| *w == which) {
            x += f64::from(font.kern_unscaled(left, glyph)) * scale;
        }
        each(font, glyph, x, scale);
        x += f64::from(font.h_advance_unscaled(glyph)) * scale;
        before = Some((which, glyph));
    }
    x
}

/// The first font in order of preference that has the letter, and its glyph; a box where none has it.
fn find(letter: char, face: Face) -> Option<(usize, GlyphId)> {
    let letter = if letter.is_control() { ' ' } else { letter };
    let order = match face {
        Face::Sans => [0, 1],
        Face::Mono => [1, 0],
        Face::Serif => [2, 1],
    };
    let known = order.into_iter().filter_map(|i| FONTS.get(i).map(|f| (i, f.glyph_id(letter))));
    known.clone().find(|(_, g)| g.0 != 0).or_else(|| known.clone().next())
}

fn scale(font: &FontRef<'static>, size: f64) -> f64 {
    size / f64::from(font.units_per_em().unwrap_or(1000.0))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn texts_have_widths_and_outlines() {
        assert!((width("mm", 12.0, Face::Sans) - 2.0 * width("m", 12.0, Face::Sans)).abs() < 1.0);
        assert_eq!(width("ii", 12.0, Face::Mono), width("mm", 12.0, Face::Mono));
        assert!(!outline("Åß≥ λ", 12.0, Face::Sans).is_empty());
        assert!(outline("", 12.0, Face::Sans).is_empty());
        assert!(width("\n漢字 \u{1F600}", 12.0, Face::Sans) > 0.0);
    }

    #[test]
    fn lines_fit_and_long_texts_end_in_an_ellipsis() {
        let text = "a caption that is rather long and has aWordThatIsLongerThanTheLineItStandsIn in its middle";
        for limit in [40.0, 100.0, 300.0] {
            let lines = wrap(text, 11.0, limit, 4);
            assert!(lines.len() <= 4);
            assert!(lines.iter().all(|l| width(l, 11.0, Face::Sans) <= limit), "{lines:?}");
        }
        assert!(wrap(text, 11.0, 40.0, 2)[1].ends_with('…'));
        assert_eq!(wrap("", 11.0, 40.0, 2), [""]);
        assert_eq!(abbreviate("abc", 11.0, 1.0), "");
        assert_eq!(wrap("short", 11.0, 100.0, 1), ["short"]);
    }
}
