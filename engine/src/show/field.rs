//! Rows and columns of numbers as pixels: sampling, their position on a photo, and remarks on their values that a figure shows.

use super::artifact::{ClassMap, Map};
use super::colour::{self, Ramp, Rgb};
use super::table::short;
use crate::data::{Image, Interpolation, Placement};
use crate::error::{Error, Result};
use crate::tensor::to_f32;
use candle_core::Tensor;

/// Numbers in rows and columns.
#[derive(Clone, Debug)]
pub struct ValueGrid {
    /// The number of rows.
    pub rows: usize,
    /// The number of columns.
    pub columns: usize,
    /// The numbers, row by row.
    pub values: Vec<f32>,
}

impl ValueGrid {
    /// From a tensor of rank 2, or of a higher rank whose leading axes are 1; a vector is one row.
    ///
    /// # Errors
    /// Where the tensor is no single map.
    pub fn of(tensor: &Tensor) -> Result<Self> {
        let dims = tensor.dims();
        let (lead, plane) = dims.split_at(dims.len().saturating_sub(2));
        let (rows, columns) = match plane {
            [h, w] => (*h, *w),
            [w] => (1, *w),
            _ => (1, 1),
        };
        if lead.iter().any(|d| *d != 1) || rows * columns == 0 {
            return Err(Error::shape(format!("a tensor of {dims:?} is no map of rows and columns")));
        }
        Ok(ValueGrid { rows, columns, values: to_f32(tensor)? })
    }

    /// The value at a position in cells, (0, 0) being the top left corner: that of the cell, or interpolated between cell centres.
    /// Positions beyond the border have the border's value.
    pub fn at(&self, row: f64, column: f64, smooth: bool) -> f32 {
        let cell = |r: f64, c: f64| {
            let r = r.clamp(0.0, (self.rows - 1) as f64) as usize;
            let c = c.clamp(0.0, (self.columns - 1) as f64) as usize;
            self.values[r * self.columns + c]
        };
        let nearest = cell(row.floor(), column.floor());
        if !smooth || nearest.is_nan() {
            return nearest;
        }
        let (y, x) = (row - 0.5, column - 0.5);
        let (top, left) = (y.floor(), x.floor());
        let (fy, fx) = (y - top, x - left);
        let (mut sum, mut weight) = (0.0, 0.0);
        for (r, wy) in [(top, 1.0 - fy), (top + 1.0, fy)] {
            for (c, wx) in [(left, 1.0 - fx), (left + 1.0, fx)] {
                let v = cell(r, c);
                if !v.is_nan() && wy * wx > 0.0 {
                    sum += wy * wx * f64::from(v);
                    weight += wy * wx;
                }
            }
        }
        (sum / weight) as f32
    }

    /// The field at another size: sharp cells where it is enlarged enough to see them, means of cells where it is reduced.
    pub fn resized(&self, rows: usize, columns: usize) -> ValueGrid {
        let (sy, sx) = (self.rows as f64 / rows as f64, self.columns as f64 / columns as f64);
        let taps = |s: f64| if s > 1.0 { s.ceil() as usize } else { 1 };
        let (ny, nx) = (taps(sy), taps(sx));
        let mut values = Vec::with_capacity(rows * columns);
        for r in 0..rows {
            for c in 0..columns {
                let (mut sum, mut n) = (0.0, 0.0);
                for i in 0..ny {
                    for j in 0..nx {
                        let y = (r as f64 + (i as f64 + 0.5) / ny as f64) * sy;
                        let x = (c as f64 + (j as f64 + 0.5) / nx as f64) * sx;
                        let v = f64::from(self.at(y, x, false));
                        if !v.is_nan() {
                            sum += v;
                            n += 1.0;
                        }
                    }
                }
                values.push((sum / n) as f32);
            }
        }
        ValueGrid { rows, columns, values }
    }

    /// The field in a ramp's colours, one pixel for each number.
    ///
    /// # Errors
    /// Where the picture would be too large.
    pub fn picture(&self, ramp: &Ramp) -> Result<Image> {
        paint(self.columns, self.rows, |x, y| {
            let value = f64::from(self.values[y * self.columns + x]);
            ramp.colour(value).unwrap_or_else(|| colour::nan_at(x, y))
        })
    }

    /// The row and column of the first maximum; none where all values are NaN.
    pub fn peak(&self) -> Option<(usize, usize)> {
        let mut best: Option<usize> = None;
        for (i, v) in self.values.iter().enumerate() {
            if !v.is_nan() && best.is_none_or(|b| *v > self.values[b]) {
                best = Some(i);
            }
        }
        best.map(|i| (i / self.columns, i % self.columns))
    }
}

/// Remarks on the values: how many are NaN or infinite, and whether all are equal.
pub fn remarks(values: &[f32]) -> Vec<String> {
    let mut out = Vec::new();
    let nan = values.iter().filter(|v| v.is_nan()).count();
    let infinite = values.iter().filter(|v| v.is_infinite()).count();
    if nan > 0 {
        out.push(format!("{nan} of {} values are not a number (hatched)", values.len()));
    }
    if infinite > 0 {
        out.push(format!("{infinite} of {} values are infinite (drawn as the ends of the scale)", values.len()));
    }
    if let Some(first) = values.first().filter(|f| !f.is_nan() && values.len() > 1 && values.iter().all(|v| v == *f)) {
        out.push(format!("every value is {}", short(f64::from(*first))));
    }
    out
}

/// The position of a map's cells on the picture below it.
#[derive(Clone)]
pub struct Ground<'a> {
    photo: Option<&'a Image>,
    placement: Option<Placement>,
    extent: [f64; 4],
    input: [f64; 2],
    cells: [f64; 2],
}

impl<'a> Ground<'a> {
    /// The ground of a heat map.
    pub fn of(map: &'a Map, field: &ValueGrid) -> Self {
        Self::new(map.photo.as_ref(), map.placement, map.extent, map.input, field)
    }

    /// The ground of a class map.
    pub fn of_classes(map: &'a ClassMap, field: &ValueGrid) -> Self {
        Self::new(map.photo.as_ref(), map.placement, map.extent, map.input, field)
    }

    fn new(
        photo: Option<&'a Image>,
        placement: Option<Placement>,
        extent: Option<[f64; 4]>,
        input: [usize; 2],
        field: &ValueGrid,
    ) -> Self {
        let cells = [field.rows as f64, field.columns as f64];
        let input = if input[0] * input[1] == 0 { cells } else { input.map(|d| d as f64) };
        let whole = [0.0, 0.0, input[0], input[1]];
        let fits = |e: &[f64; 4]| e.iter().all(|v| v.is_finite()) && e[2] > e[0] && e[3] > e[1];
        Ground { photo, placement, extent: extent.filter(fits).unwrap_or(whole), input, cells }
    }

    /// The width and height of the photo, or of the net's input where there is no photo.
    pub fn size(&self) -> (f64, f64) {
        self.photo.map_or((self.input[1], self.input[0]), |p| (p.width() as f64, p.height() as f64))
    }

    /// The rectangle of the net's input on the ground, in shares of its size: left, top, width, height.
    pub fn crop(&self) -> [f64; 4] {
        let (w, h) = self.size();
        match (self.photo, self.placement) {
            (Some(_), Some(p)) => [p.left / w, p.top / h, p.width / w, p.height / h],
            _ => [0.0, 0.0, 1.0, 1.0],
        }
    }

    /// The edges of the map's cells on the ground, in shares of its size: left, top, right, bottom.
    pub fn reach(&self) -> [f64; 4] {
        let [left, top, width, height] = self.crop();
        let [t, l, b, r] = self.extent;
        let (x, y) = (|v: f64| left + v / self.input[1] * width, |v: f64| top + v / self.input[0] * height);
        [x(l), y(t), x(r), y(b)]
    }

    /// Whether part of the photo lies outside the net's input.
    pub fn is_cropped(&self) -> bool {
        let [l, t, w, h] = self.crop();
        l > 0.002 || t > 0.002 || l + w < 0.998 || t + h < 0.998
    }

    /// The position in cells of a position on the ground (shares of its size); none outside of the map.
    pub fn cell(&self, x: f64, y: f64) -> Option<(f64, f64)> {
        let [left, top, width, height] = self.crop();
        let (ix, iy) = ((x - left) / width * self.input[1], (y - top) / height * self.input[0]);
        if !(0.0..self.input[1]).contains(&ix) || !(0.0..self.input[0]).contains(&iy) {
            return None;
        }
        let [t, l, b, r] = self.extent;
        let (row, column) = ((iy - t) / (b - t) * self.cells[0], (ix - l) / (r - l) * self.cells[1]);
        let inside = (0.0..self.cells[0]).contains(&row) && (0.0..self.cells[1]).contains(&column);
        inside.then_some((row, column))
    }
}

/// A picture of `width` x `height` whose pixels have the colours `at(x, y)`.
///
/// # Errors
/// Where it would be too large.
pub fn paint(width: usize, height: usize, mut at: impl FnMut(usize, usize) -> Rgb) -> Result<Image> {
    Image::check_size(width, height)?;
    let mut pixels = Vec::with_capacity(3 * width * height);
    for y in 0..height {
        for x in 0..width {
            pixels.extend(at(x, y));
        }
    }
    Image::new(width, height, pixels)
}

/// An image scaled to `width` x `height` pixels: sharp pixels where it is enlarged at least threefold, smooth otherwise.
///
/// # Errors
/// Where the picture would be too large.
pub fn fitted(image: &Image, width: usize, height: usize) -> Result<Image> {
    let crisp = width >= 3 * image.width();
    image.resize(width, height, if crisp { Interpolation::Nearest } else { Interpolation::Bicubic })
}

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used)]
    use super::*;
    use crate::data::Size;
    use candle_core::Device;

    fn field(rows: usize, columns: usize, values: &[f32]) -> ValueGrid {
        ValueGrid::of(&Tensor::from_slice(values, (rows, columns), &Device::Cpu).unwrap()).unwrap()
    }

    #[test]
    fn cells_are_crisp_or_interpolated_and_nan_stays_in_its_cell() {
        let f = field(1, 2, &[0.0, 1.0]);
        assert_eq!(f.at(0.5, 0.99, false), 0.0);
        assert_eq!(f.at(0.5, 1.0, true), 0.5);
        assert_eq!(f.at(0.5, 0.1, true), 0.0);
        let f = field(1, 2, &[f32::NAN, 1.0]);
        assert!(f.at(0.5, 0.9, true).is_nan());
        assert_eq!(f.at(0.5, 1.1, true), 1.0);
        assert_eq!(f.peak(), Some((0, 1)));
        assert_eq!(field(1, 1, &[f32::NAN]).peak(), None);
        assert_eq!(field(2, 2, &[0.0, 1.0, 2.0, 5.0]).resized(1, 1).values, [2.0]);
        assert!(ValueGrid::of(&Tensor::zeros((2, 3, 3), candle_core::DType::F32, &Device::Cpu).unwrap()).is_err());
    }

    #[test]
    fn a_map_lies_within_the_crop_of_its_photo() {
        let photo = Image::filled(200, 100, [0; 3]).unwrap();
        let size = Size { height: 50, width: 50 };
        let f = field(2, 2, &[0.0; 4]);
        let placement = Placement { left: 50.0, top: 0.0, width: 100.0, height: 100.0, input: size };
        let ground = Ground::new(Some(&photo), Some(placement), None, [50, 50], &f);
        assert!(ground.is_cropped());
        assert_eq!(ground.cell(0.2, 0.5), None);
        assert_eq!(ground.cell(0.5, 0.5), Some((1.0, 1.0)));
        let half = Ground::new(Some(&photo), Some(placement), Some([0.0, 0.0, 25.0, 50.0]), [50, 50], &f);
        assert_eq!(half.cell(0.5, 0.75), None);
        assert_eq!(half.cell(0.5, 0.25), Some((1.0, 1.0)));
        assert!(!Ground::new(None, None, None, [0, 0], &f).is_cropped());
    }
}
