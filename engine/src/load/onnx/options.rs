//! The options of reading an ONNX file, and what is read of its input.

use crate::load::options::Layout;

/// The options of reading.
#[derive(Clone, Copy, Debug, Default)]
pub struct Options<'a> {
    /// Height and width of the input, where the file leaves them open.
    pub size: Option<[usize; 2]>,
    /// The order of the input's axes, where it is given.
    pub layout: Option<Layout>,
    /// The main input, where the net has several.
    pub input: Option<&'a str>,
}

/// An ONNX file's information on its main input.
#[derive(Clone, Copy, Debug, Default)]
pub struct Inlet {
    /// Whether it takes maps with open numbers of rows or columns.
    pub open: bool,
    /// Whether it takes bytes.
    pub bytes: bool,
    /// Whether the net is assumed to be TensorFlow's: by the file's producer, or because channels come last and PyTorch did not write
    /// it.
    pub tensorflow: bool,
    /// Whether a converter of TensorFlow nets wrote it.
    pub is_converted: bool,
}
