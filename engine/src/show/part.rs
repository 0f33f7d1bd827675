//! What a part is titled, and whether it is one picture.

use super::artifact::Part;

/// Whether a part is one picture in every form: no table, text, zoomable mosaic or figure of artifacts.
pub fn is_picture(part: &Part) -> bool {
    match part {
        Part::Map(_) | Part::ClassMap(_) | Part::Grid(_) | Part::Pictures(_) | Part::Plot(_) | Part::Cloud(_) => true,
        Part::Boxes(_) | Part::Matrix(_) | Part::SignalMap(_) | Part::VolumeMap(_) => true,
        Part::Table(..) | Part::Text(_) | Part::Mosaic(_) | Part::Figure(..) => false,
    }
}

/// The title of a part; empty where it has none.
pub fn part_title(part: &Part) -> &str {
    match part {
        Part::Map(m) => &m.title,
        Part::ClassMap(m) => &m.title,
        Part::Boxes(b) => &b.title,
        Part::SignalMap(m) => &m.title,
        Part::VolumeMap(m) => &m.title,
        Part::Grid(g) => &g.title,
        Part::Matrix(m) => &m.title,
        Part::Pictures(p) => &p.title,
        Part::Table(title, _) => title,
        Part::Plot(p) => &p.title,
        Part::Cloud(c) => &c.title,
        Part::Mosaic(m) => &m.title,
        Part::Text(_) | Part::Figure(..) => "",
    }
}

/// Whether a part's title adds nothing to the artifact's.
pub fn is_said(title: &str, part: &str) -> bool {
    !part.is_empty() && title.starts_with(part)
}
