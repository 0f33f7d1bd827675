//! Volumes: three orthogonal planes through the strongest voxel, the volume above, the map over it below.
//!
//! Where the orientation is known, planes are shown in the radiological convention: superior or anterior at the top, right or
//! anterior at the left.

use super::super::artifact::Scale;
use super::super::colour::{self, BLANK, Ramp, blend};
use super::super::field::{paint, remarks};
use super::super::raster::SCALE;
use super::super::recorded::{VolumeMap, index};
use super::super::scene::{Anchor, DARK, SOFT, Scene, SceneItem};
use super::super::table::short;
use super::SMALL_TEXT;
use super::bar::colour_bar;
use super::map::with_lines;
use crate::data::Image;
use crate::error::Result;

const BETWEEN: f64 = 14.0;
/// The width reserved for the colour bar, px.
const BAR_ROOM: f64 = 84.0;
/// The longest side of a plane, px.
const MAX_PLANE: f64 = 260.0;
/// The number of values from which on a map's scale ends at a quantile.
const MIN_QUANTILE_VALUES: usize = 1024;
const QUANTILE: f64 = 0.995;

/// A plane: the axes of the volume along its rows and columns, and their directions.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Plane {
    /// The volume's axis orthogonal to the plane.
    pub through: usize,
    /// The axis down the plane.
    pub down: Across,
    /// The axis across the plane.
    pub across: Across,
}

/// An axis of a plane.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Across {
    /// The index of the volume's axis.
    pub axis: usize,
    /// Whether it runs backwards, from the last entry to the first.
    pub back: bool,
}

impl Plane {
    /// The plane of a volume orthogonal to one of its axes.
    pub fn through(map: &VolumeMap, through: usize) -> Plane {
        let plain = |axis| Across { axis, back: false };
        let [a, b] = [0, 1, 2].into_iter().filter(|a| *a != through).collect::<Vec<_>>()[..] else {
            return Plane { through, down: plain(0), across: plain(1) };
        };
        let Some(orientation) = map.orientation else { return Plane { through, down: plain(a), across: plain(b) } };
        let [down, across] = if orientation.body(a) > orientation.body(b) { [a, b] } else { [b, a] };
        let turned = |axis: usize| Across { axis, back: !matches!(orientation.ends(axis)[0], 'S' | 'A' | 'R') };
        Plane { through, down: turned(down), across: turned(across) }
    }

    /// Its name: "axial", "coronal" or "sagittal" where the orientation is known.
    pub fn name(&self, map: &VolumeMap) -> String {
        match map.orientation.map(|o| o.body(self.through)) {
            Some(0) => "sagittal".into(),
            Some(1) => "coronal".into(),
            Some(_) => "axial".into(),
            None => format!("axis {}", self.through),
        }
    }

    /// The position in the volume, voxels, of a position on the plane (shares of its height and width) at `slice`.
    pub fn place(&self, size: [usize; 3], slice: f64, down: f64, across: f64) -> [f64; 3] {
        let mut at = [slice; 3];
        for (side, share) in [(self.down, down), (self.across, across)] {
            at[side.axis] = (if side.back { 1.0 - share } else { share }) * size[side.axis] as f64;
        }
        at
    }
}

/// The grey window of a volume: the 1 and 99 % quantiles of its values.
pub fn window(voxels: &[f32]) -> (f64, f64) {
    let mut finite: Vec<f32> = voxels.iter().copied().filter(|v| v.is_finite()).collect();
    finite.sort_by(f32::total_cmp);
    let at =
        |q: f64| finite.get(((finite.len().max(1) - 1) as f64 * q).round() as usize).map_or(0.0, |v| f64::from(*v));
    let (low, high) = (at(0.01), at(0.99));
    if low < high { (low, high) } else { (low - 0.5, low + 0.5) }
}

/// The three planes, at most `width` px wide.
///
/// # Errors
/// Where the arrays do not have the map's axes.
pub fn drawn(map: &VolumeMap, width: f64) -> Result<Scene> {
    let (size, voxels, values) = (map.size(), map.voxels()?, map.map()?);
    let focus = map.focus()?;
    let sharp =
        |n: usize| n >= MIN_QUANTILE_VALUES && matches!(map.scale, Scale::Sequential { .. } | Scale::Diverging { .. });
    let ramp = values.as_ref().map(|(_, v)| Ramp::fit(map.scale, v, sharp(v.len()).then_some(QUANTILE)));
    let spacing = map.spacing.unwrap_or([1.0; 3]);
    let planes = [0, 1, 2].map(|through| Plane::through(map, through));
    // In the order of an atlas: axial, coronal, sagittal.
    let order = match map.orientation {
        Some(o) => [2, 1, 0].map(|body| planes[(0..3).find(|a| o.body(*a) == body).unwrap_or(0)]),
        None => planes,
    };
    let extent = |side: Across| size[side.axis] as f64 * spacing[side.axis];
    let room = width - if ramp.is_some() { BAR_ROOM } else { 0.0 } - 2.0 * BETWEEN;
    let across: f64 = order.iter().map(|p| extent(p.across)).sum();
    let longest = order.iter().flat_map(|p| [extent(p.down), extent(p.across)]).fold(0.0, f64::max);
    let zoom = (room / across).min(MAX_PLANE / longest);
    let (low, high) = window(&voxels);
    let draw = Drawing { map, size, voxels: &voxels, values: values.as_ref(), ramp: ramp.as_ref(), low, high, focus };
    let mut scene = Scene::default();
    let rows: &[bool] = if ramp.is_some() { &[false, true] } else { &[false] };
    let mut covered = (0.0, 0.0);
    for over in rows {
        let mut line = Scene::default();
        for (i, plane) in order.iter().enumerate() {
            let whole = |mm: f64| ((mm * zoom * SCALE).round().max(16.0)) / SCALE;
            let (wide, high) = (whole(extent(plane.across)), whole(extent(plane.down)));
            let drawn = draw.panel(plane, wide, high, *over)?;
            let left = if i > 0 { line.width + BETWEEN } else { 0.0 };
            (line.width, line.height) = (left + drawn.width, line.height.max(drawn.height));
            line.put(drawn, left, 0.0);
        }
        let top = if scene.height > 0.0 { scene.height + 8.0 } else { 0.0 };
        covered = (top, line.height);
        scene.below(line, 8.0);
    }
    if let Some(ramp) = &ramp {
        let bar = colour_bar(ramp, &map.label, (covered.1 - 1.6 * SMALL_TEXT).clamp(60.0, 240.0))?;
        let left = scene.width + 10.0;
        scene.width = left + bar.width;
        scene.put(bar, left, covered.0);
    }
    let mut lines = values.as_ref().map_or(Vec::new(), |(_, v)| remarks(v));
    if let Some((largest, high)) = ramp.and_then(|r| r.beyond.map(|b| (b, r.high))) {
        let what =
            if values.as_ref().is_some_and(|(_, v)| sharp(v.len())) { "at the 99.5 % quantile, " } else { "at " };
        lines.insert(0, format!("colours end {what}{}; the largest value is {}", short(high), short(largest)));
    }
    let through = if values.is_some() { "through the strongest voxel" } else { "through the middle" };
    let [z, y, x] = focus;
    lines.push(format!("planes {through}, {z}, {y}, {x}; greys from {} to {}", short(low), short(high)));
    Ok(with_lines(scene, &lines, width))
}

struct Drawing<'a> {
    map: &'a VolumeMap,
    size: [usize; 3],
    voxels: &'a [f32],
    values: Option<&'a ([usize; 3], Vec<f32>)>,
    ramp: Option<&'a Ramp>,
    low: f64,
    high: f64,
    focus: [usize; 3],
}

impl Drawing<'_> {
    /// One plane with lines at the voxel that it passes through, and its name below.
    fn panel(&self, plane: &Plane, wide: f64, high: f64, over: bool) -> Result<Scene> {
        let slice = self.focus[plane.through] as f64 + 0.5;
        let picture = self.picture(plane, slice, [(high * SCALE) as usize, (wide * SCALE) as usize], over)?;
        let mut scene = Scene::new(wide, high + 1.6 * SMALL_TEXT);
        scene.add(SceneItem::Picture([0.0, 0.0, wide, high], picture));
        let share = |side: Across| {
            let at = (self.focus[side.axis] as f64 + 0.5) / self.size[side.axis] as f64;
            if side.back { 1.0 - at } else { at }
        };
        let (x, y) = (share(plane.across) * wide, share(plane.down) * high);
        let gap = 9.0;
        for (from, to) in
            [((x, 0.0), (x, y - gap)), ((x, y + gap), (x, high)), ((0.0, y), (x - gap, y)), ((x + gap, y), (wide, y))]
        {
            if from.0 <= to.0 && from.1 <= to.1 {
                scene.rule(from, to, DARK, 1.4);
                scene.rule(from, to, [235; 3], 0.6);
            }
        }
        self.letters(plane, wide, high, &mut scene);
        let name = plane.name(self.map);
        let text = format!("{name}, {} of {}", self.focus[plane.through], self.size[plane.through]);
        scene.write(wide / 2.0, high + 1.25 * SMALL_TEXT, &text, SMALL_TEXT, SOFT, Anchor::Middle);
        Ok(scene)
    }

    /// Writes the letters of the directions at the ends of rows and columns.
    fn letters(&self, plane: &Plane, wide: f64, high: f64, scene: &mut Scene) {
        let Some(orientation) = self.map.orientation else { return };
        let ends = |side: Across| {
            let [first, last] = orientation.ends(side.axis);
            if side.back { [last, first] } else { [first, last] }
        };
        let ([top, bottom], [left, right]) = (ends(plane.down), ends(plane.across));
        let middle = high / 2.0 + SMALL_TEXT * 0.35;
        let places = [
            (top, wide / 2.0 + 9.0, SMALL_TEXT + 1.0),
            (bottom, wide / 2.0 + 9.0, high - 4.0),
            (left, 8.0, middle - 9.0),
            (right, wide - 8.0, middle - 9.0),
        ];
        for (letter, x, y) in places {
            for (dx, dy) in [(-0.7, 0.0), (0.7, 0.0), (0.0, -0.7), (0.0, 0.7)] {
                scene.write(x + dx, y + dy, &letter.to_string(), SMALL_TEXT, DARK, Anchor::Middle);
            }
            scene.write(x, y, &letter.to_string(), SMALL_TEXT, [245; 3], Anchor::Middle);
        }
    }

    fn picture(&self, plane: &Plane, slice: f64, [rows, columns]: [usize; 2], over: bool) -> Result<Image> {
        paint(columns, rows, |x, y| {
            let (down, across) = ((y as f64 + 0.5) / rows as f64, (x as f64 + 0.5) / columns as f64);
            let at = plane.place(self.size, slice, down, across);
            let voxel = self.voxels[index([0, 1, 2].map(|a| (at[a] as usize).min(self.size[a] - 1)), self.size)];
            let base = match f64::from(voxel) {
                v if v.is_nan() => colour::nan_at(x, y),
                v => colour::grey((v - self.low) / (self.high - self.low)),
            };
            let (true, Some((cells, values)), Some(ramp)) = (over, self.values, self.ramp) else { return base };
            let Some(place) = self.map.cell(at, *cells) else { return blend(base, BLANK, 0.15) };
            let value = f64::from(smooth(values, *cells, place));
            match ramp.colour(value) {
                Some(c) => blend(base, c, 0.85 * ramp.strength(value).sqrt()),
                None => colour::nan_at(x, y),
            }
        })
    }
}

/// The value at a position in cells, interpolated between their centres; beyond the border, the border's value.
pub fn smooth(values: &[f32], cells: [usize; 3], place: [f64; 3]) -> f32 {
    let low = place.map(|p| (p - 0.5).floor());
    let share = [0, 1, 2].map(|a| place[a] - 0.5 - low[a]);
    let (mut sum, mut weight) = (0.0, 0.0);
    for corner in 0..8usize {
        let high = [corner & 1, corner >> 1 & 1, corner >> 2].map(|b| b == 1);
        let part: f64 = (0..3).map(|a| if high[a] { share[a] } else { 1.0 - share[a] }).product();
        let at = [0, 1, 2].map(|a| {
            let i = low[a] + f64::from(u8::from(high[a]));
            (i.max(0.0) as usize).min(cells[a] - 1)
        });
        let v = f64::from(values[index(at, cells)]);
        if part > 0.0 && !v.is_nan() {
            sum += part * v;
            weight += part;
        }
    }
    (sum / weight) as f32
}

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used)]
    use super::*;
    use crate::data::Orientation;
    use crate::tensor::tensor;

    fn map(orientation: Option<&str>) -> VolumeMap {
        let values = (0..24).map(|i| i as f32).collect();
        VolumeMap {
            title: String::new(),
            volume: tensor(values, &[2, 3, 4]).unwrap(),
            values: None,
            label: String::new(),
            scale: Scale::Diverging { bound: None },
            orientation: orientation.and_then(Orientation::parse),
            spacing: None,
            extent: None,
        }
    }

    #[test]
    fn planes_lie_as_radiologists_look_at_them() {
        // R A S: the axial plane has A at the top and R at the left, the sagittal one S at the top and A at the left.
        let ras = map(Some("RAS"));
        let axial = Plane::through(&ras, 2);
        assert_eq!((axial.down.axis, axial.down.back, axial.across.axis, axial.across.back), (1, true, 0, true));
        assert_eq!(axial.name(&ras), "axial");
        let sagittal = Plane::through(&ras, 0);
        assert_eq!((sagittal.down.axis, sagittal.across.axis, sagittal.across.back), (2, 1, true));
        let ips = map(Some("IPR"));
        let coronal = Plane::through(&ips, 1);
        assert_eq!((coronal.down.axis, coronal.down.back, coronal.across.back), (0, false, true));
        let unknown = Plane::through(&map(None), 1);
        assert_eq!((unknown.down.axis, unknown.across.axis, unknown.down.back), (0, 2, false));
    }

    #[test]
    fn places_between_cells_are_interpolated() {
        let values: Vec<f32> = vec![0.0, 1.0, 2.0, 3.0, 4.0, 5.0, 6.0, 7.0];
        assert_eq!(smooth(&values, [2, 2, 2], [1.0, 1.0, 1.0]), 3.5);
        assert_eq!(smooth(&values, [2, 2, 2], [0.0, 0.2, 0.5]), 0.0);
        assert_eq!(smooth(&values, [2, 2, 2], [1.5, 1.5, 1.0]), 6.5);
    }
}
