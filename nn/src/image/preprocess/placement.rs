//! Where a net's input lies on the photo that it was made from.

use serde::{Deserialize, Serialize};

use super::Size;

/// Where a net's input lies on the photo it was made from: the crop's rectangle in the photo's pixels, with resize and
/// crop undone; beyond the photo where the net's input has a ground around it. Positions are continuous: a pixel `i` covers `i` to `i + 1`.
#[derive(Clone, Copy, Debug, PartialEq, Serialize, Deserialize)]
pub struct Placement {
    /// The rectangle's left edge on the photo.
    pub left: f64,
    /// The rectangle's top edge on the photo.
    pub top: f64,
    /// The rectangle's width on the photo.
    pub width: f64,
    /// The rectangle's height on the photo.
    pub height: f64,
    /// The net's input that covers the rectangle.
    pub input: Size,
}

impl Placement {
    /// The position on the photo of a position on the net's input.
    pub fn to_photo(&self, x: f64, y: f64) -> (f64, f64) {
        let (w, h) = (self.input.width as f64, self.input.height as f64);
        (self.left + x * self.width / w, self.top + y * self.height / h)
    }

    /// The position on the net's input of a position on the photo; outside the crop it lies outside the input.
    pub fn to_input(&self, x: f64, y: f64) -> (f64, f64) {
        let (w, h) = (self.input.width as f64, self.input.height as f64);
        ((x - self.left) * w / self.width, (y - self.top) * h / self.height)
    }
}
