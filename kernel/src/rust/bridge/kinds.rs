//! Tensors, images and tables with plain fields.

use super::value::Value;
use std::ops::{Index, IndexMut};

/// A tensor of f32, row-major.
#[derive(Clone, Debug, Default, PartialEq)]
pub struct Tensor {
    /// The size of each axis.
    pub shape: Vec<usize>,
    /// The values, as many as the product of the sizes.
    pub values: Vec<f32>,
}

impl Tensor {
    /// A tensor of these values in this shape.
    ///
    /// # Panics
    /// Where the number of values is not the product of the sizes.
    pub fn new(shape: impl Into<Vec<usize>>, values: impl Into<Vec<f32>>) -> Self {
        let (shape, values) = (shape.into(), values.into());
        let room = shape.iter().product::<usize>();
        assert!(room == values.len(), "a tensor of shape {shape:?} has {room} values, not {}", values.len());
        Tensor { shape, values }
    }

    /// A tensor of zeros.
    pub fn zeros(shape: impl Into<Vec<usize>>) -> Self {
        let shape = shape.into();
        let values = vec![0.0; shape.iter().product()];
        Tensor { shape, values }
    }

    /// A tensor of the same shape with `f` of each value.
    pub fn map(&self, f: impl FnMut(f32) -> f32) -> Self {
        Tensor { shape: self.shape.clone(), values: self.values.iter().copied().map(f).collect() }
    }

    /// The index of an entry in `values`.
    fn place(&self, at: &[usize]) -> usize {
        let inside = at.len() == self.shape.len() && at.iter().zip(&self.shape).all(|(i, n)| i < n);
        assert!(inside, "no value at {at:?} in a tensor of shape {:?}", self.shape);
        at.iter().zip(&self.shape).fold(0, |place, (i, n)| place * n + i)
    }
}

/// `t[[c, y, x]]`.
impl<const N: usize> Index<[usize; N]> for Tensor {
    type Output = f32;

    fn index(&self, at: [usize; N]) -> &f32 {
        &self.values[self.place(&at)]
    }
}

impl<const N: usize> IndexMut<[usize; N]> for Tensor {
    fn index_mut(&mut self, at: [usize; N]) -> &mut f32 {
        let place = self.place(&at);
        &mut self.values[place]
    }
}

/// An RGB image, row by row from the top left.
#[derive(Clone, Debug, Default, PartialEq)]
pub struct Image {
    /// Width, px.
    pub width: usize,
    /// Height, px.
    pub height: usize,
    /// Red, green and blue of each pixel.
    pub pixels: Vec<u8>,
}

impl Image {
    /// An image of these pixels.
    ///
    /// # Panics
    /// Where there are not three values for each pixel.
    pub fn new(width: usize, height: usize, pixels: impl Into<Vec<u8>>) -> Self {
        let pixels = pixels.into();
        assert!(3 * width * height == pixels.len(), "an RGB image of {width} x {height} has {} values", pixels.len());
        Image { width, height, pixels }
    }

    /// The colour at column `x` of row `y`.
    pub fn pixel(&self, x: usize, y: usize) -> [u8; 3] {
        let at = 3 * (y * self.width + x);
        [self.pixels[at], self.pixels[at + 1], self.pixels[at + 2]]
    }
}

/// Rows of cells under named columns; a cell is nothing, a boolean, a number or a text.
#[derive(Clone, Debug, Default, PartialEq)]
pub struct Table {
    /// The columns' names.
    pub columns: Vec<String>,
    /// The rows, each with one cell for each column.
    pub rows: Vec<Vec<Value>>,
}

impl Table {
    /// An empty table with these columns.
    pub fn new<S: Into<String>>(columns: impl IntoIterator<Item = S>) -> Self {
        Table { columns: columns.into_iter().map(Into::into).collect(), rows: Vec::new() }
    }

    /// Adds a row; a short one is filled with empty cells, a long one cut.
    pub fn push(&mut self, row: impl IntoIterator<Item = Value>) {
        let mut row: Vec<Value> = row.into_iter().collect();
        row.resize(self.columns.len(), Value::Nothing);
        self.rows.push(row);
    }
}
