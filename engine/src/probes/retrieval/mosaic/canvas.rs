//! A part of a large picture as pixels, painted in the whole picture's coordinates.

use crate::data::Image;
use crate::error::Result;

/// A window of a picture; what is painted outside it is left out.
pub struct Canvas {
    left: usize,
    top: usize,
    width: usize,
    height: usize,
    pixels: Vec<u8>,
}

impl Canvas {
    /// The window [left, top, width, height] of a picture, white.
    pub fn new([left, top, width, height]: [usize; 4]) -> Self {
        Canvas { left, top, width, height, pixels: vec![255; 3 * width * height] }
    }

    /// Paints an image with its upper left corner at (left, top).
    pub fn put(&mut self, image: &Image, left: usize, top: usize) {
        let area = [left, top, image.width(), image.height()];
        self.rows(area, |row, columns, out| {
            let from = 3 * ((row - top) * image.width() + columns.start - left);
            out.copy_from_slice(&image.pixels()[from..from + 3 * columns.len()]);
        });
    }

    /// Paints an area [left, top, width, height].
    pub fn area(&mut self, area: [usize; 4], colour: [u8; 3]) {
        self.rows(area, |_, _, out| out.chunks_mut(3).for_each(|p| p.copy_from_slice(&colour)));
    }

    /// Hands out the rows of an area that lie in the window: the row, its columns, and its pixels.
    fn rows(
        &mut self,
        [left, top, width, height]: [usize; 4],
        mut paint: impl FnMut(usize, std::ops::Range<usize>, &mut [u8]),
    ) {
        let columns = left.max(self.left)..(left + width).min(self.left + self.width);
        if columns.is_empty() {
            return;
        }
        for row in top.max(self.top)..(top + height).min(self.top + self.height) {
            let at = 3 * ((row - self.top) * self.width + columns.start - self.left);
            paint(row, columns.clone(), &mut self.pixels[at..at + 3 * columns.len()]);
        }
    }

    /// The window as an image.
    ///
    /// # Errors
    /// Where it has no pixel.
    pub fn image(self) -> Result<Image> {
        Image::new(self.width, self.height, self.pixels)
    }
}

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used)]
    use super::*;

    #[test]
    fn windows_side_by_side_are_the_whole() {
        let tile = Image::new(5, 4, (0..60).map(|v| v as u8 * 4).collect()).unwrap();
        let paint = |window: [usize; 4]| {
            let mut canvas = Canvas::new(window);
            canvas.put(&tile, 3, 2);
            canvas.area([6, 0, 2, 9], [7, 8, 9]);
            canvas.image().unwrap()
        };
        let whole = paint([0, 0, 12, 9]);
        assert_eq!(whole.pixel(0, 0), Some([255; 3]));
        assert_eq!(whole.pixel(3, 2), tile.pixel(0, 0));
        assert_eq!(whole.pixel(5, 5), tile.pixel(2, 3));
        assert_eq!(whole.pixel(6, 3), Some([7, 8, 9]));
        for (left, top) in [(0, 0), (4, 0), (4, 3), (8, 6)] {
            let part = paint([left, top, 4, 3]);
            for (y, x) in (0..3).flat_map(|y| (0..4).map(move |x| (y, x))) {
                assert_eq!(part.pixel(x, y), whole.pixel(left + x, top + y), "{left} {top}: {x} {y}");
            }
        }
    }
}
