//! Volumes: values in three dimensions with the orientation of their axes, as nets of three-dimensional convolutions take them.
//! From NIfTI files (`.nii`, `.nii.gz`) and `.npy` arrays.

use super::records::{PACKED, unpacked};
use super::signal::scaled;
use super::{nifti, npy};
use crate::error::{Context, Error, Result};
use crate::limits::ARRAY;
use crate::{reads, regular};
use candle_core::{Device, Tensor};
use std::fmt;
use std::path::Path;

/// Where three axes point in a body: to its Right or Left, Anterior or Posterior, Superior or Inferior.
#[derive(Clone, Copy, PartialEq, Eq)]
pub struct Orientation([Axis; 3]);

/// An axis of the body (0 left-right, 1 posterior-anterior, 2 inferior-superior), and whether it points the positive way.
#[derive(Clone, Copy, PartialEq, Eq)]
struct Axis {
    body: usize,
    positive: bool,
}

const LETTERS: [[char; 2]; 3] = [['L', 'R'], ['P', 'A'], ['I', 'S']];

impl Orientation {
    /// The orientation that three letters name.
    pub fn parse(text: &str) -> Option<Self> {
        let axis = |c: char| {
            let c = c.to_ascii_uppercase();
            let body = LETTERS.iter().position(|pair| pair.contains(&c))?;
            Some(Axis { body, positive: LETTERS[body][1] == c })
        };
        let axes: [Axis; 3] = text.chars().map(axis).collect::<Option<Vec<_>>>()?.try_into().ok()?;
        let orientation = Orientation(axes);
        (0..3).all(|b| axes.iter().any(|a| a.body == b)).then_some(orientation)
    }

    /// The nearest orientation of the axes of an affine map from voxels to millimetres (x to the right, y to the front, z up):
    /// the axes are given those directions of the body that make the product of their cosines' magnitudes largest.
    pub fn of_affine(affine: &[[f64; 4]; 3]) -> Option<Self> {
        let column = |axis: usize| [affine[0][axis], affine[1][axis], affine[2][axis]];
        let cosine = |axis: usize, body: usize| {
            let c = column(axis);
            c[body] / (c[0] * c[0] + c[1] * c[1] + c[2] * c[2]).sqrt()
        };
        let orders = [[0, 1, 2], [0, 2, 1], [1, 0, 2], [1, 2, 0], [2, 0, 1], [2, 1, 0]];
        let fit = |order: &[usize; 3]| (0..3).map(|a| cosine(a, order[a]).abs()).product::<f64>();
        let best = orders.iter().filter(|o| fit(o) > 0.0).max_by(|a, b| fit(a).total_cmp(&fit(b)))?;
        Some(Orientation([0, 1, 2].map(|a| Axis { body: best[a], positive: cosine(a, best[a]) > 0.0 })))
    }

    /// Which of the body's axes (0 left-right, 1 posterior-anterior, 2 inferior-superior) axis `a` follows.
    pub fn body(&self, a: usize) -> usize {
        self.0[a].body
    }

    /// The letters of the two ends of axis `a`: where it begins, where it points.
    pub fn ends(&self, a: usize) -> [char; 2] {
        let Axis { body, positive } = self.0[a];
        let [low, high] = LETTERS[body];
        if positive { [low, high] } else { [high, low] }
    }
}

impl fmt::Display for Orientation {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        (0..3).try_for_each(|a| write!(f, "{}", self.ends(a)[1]))
    }
}

impl fmt::Debug for Orientation {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{self}")
    }
}

/// Values in three dimensions.
#[derive(Clone, Debug)]
pub struct Volume {
    /// Channels x three axes.
    pub values: Tensor,
    /// Where the axes point, where it is known.
    pub orientation: Option<Orientation>,
    /// Millimetres between voxels along each axis, where they are known.
    pub spacing: Option<[f64; 3]>,
    /// Its name in figures: the file's name.
    pub name: String,
    /// The steps applied to it since it was read.
    pub notes: Vec<String>,
}

impl Volume {
    /// Entries along the three axes.
    pub fn size(&self) -> [usize; 3] {
        match *self.values.dims() {
            [_, d, h, w] => [d, h, w],
            _ => [0; 3],
        }
    }

    /// Reads a `.nii`, `.nii.gz` or `.npy` file.
    ///
    /// # Errors
    /// Where the file is damaged, of another kind, or no volume.
    pub fn read(path: &Path) -> Result<Volume> {
        let name = path.file_name().map(|n| n.to_string_lossy().into_owned()).unwrap_or_default();
        let lower = name.to_lowercase();
        let read = if lower.ends_with(".nii") || lower.ends_with(".nii.gz") {
            let bytes = regular::read(path, |bytes| ARRAY.check(bytes))?;
            let read = match bytes.starts_with(&PACKED) {
                true => unpacked(&bytes[..]).and_then(|bytes| nifti::read(&bytes)),
                false => nifti::read(&bytes),
            };
            if let Ok(volume) = &read {
                reads::note_content(path, || npy::content_digest(&volume.values));
            }
            read
        } else if lower.ends_with(".npy") {
            of_array(&npy::load_tensor(path)?)
        } else {
            return Err(refused(path, &lower));
        };
        let name = name.split('.').next().unwrap_or_default().to_string();
        Ok(Volume { name, ..read.context(|| format!("`{}`", path.display()))? })
    }

    /// (x - mean) / std of each value.
    ///
    /// # Errors
    /// Where the values cannot be read.
    pub fn scaled(self, mean: f64, std: f64) -> Result<Volume> {
        Ok(Volume { values: scaled(&self.values, mean, std)?, ..self })
    }

    /// The same volume in another orientation: axes are permuted and flipped.
    ///
    /// # Errors
    /// Where its orientation is not known.
    pub fn oriented(&self, to: Orientation) -> Result<Volume> {
        let Some(from) = self.orientation else {
            return Err(Error::value(format!("`{}` does not say where its axes point", self.name))
                .hint("say it while loading: load_volume(path, #{ orientation: \"RAS\" })"));
        };
        let source = to.0.map(|wanted| from.0.iter().position(|a| a.body == wanted.body).unwrap_or(0));
        let mut values = self.values.permute((0, source[0] + 1, source[1] + 1, source[2] + 1))?;
        for (axis, from_axis) in source.iter().enumerate() {
            if from.0[*from_axis].positive != to.0[axis].positive {
                let n = values.dims()[axis + 1] as u32;
                let back: Vec<u32> = (0..n).rev().collect();
                values = values.contiguous()?.index_select(&Tensor::new(back, &Device::Cpu)?, axis + 1)?;
            }
        }
        let mut turned = Volume { values: values.contiguous()?, orientation: Some(to), ..self.clone() };
        turned.spacing = self.spacing.map(|s| source.map(|a| s[a]));
        if to != from {
            turned.notes.push(format!("turned from {from} to {to}"));
        }
        Ok(turned)
    }
}

/// The error for a file that is no volume that is read; the hint says how to make one of it.
fn refused(path: &Path, lower: &str) -> Error {
    let error = Error::unsupported(format!("`{}` is no file of a volume that is read", path.display()));
    let dicom = [".dcm", ".dicom", ".ima"].iter().any(|end| lower.ends_with(end)) || path.is_dir();
    error.hint(match dicom {
        true => "DICOM series are not read; make a NIfTI file of one: `dcm2niix -z y FOLDER`, or in Python SimpleITK.ReadImage and WriteImage(.., \"scan.nii.gz\")",
        false if lower.ends_with(".hdr") || lower.ends_with(".img") => {
            "NIfTI and Analyze in two files are not read; make one file of them: nibabel.save(nibabel.load(\"scan.hdr\"), \"scan.nii.gz\")"
        }
        false => "volumes are read from .nii, .nii.gz and .npy files; others: numpy.save(\"scan.npy\", x) with three axes",
    })
}

/// The volume in an array: three axes, or channels x three axes.
fn of_array(array: &Tensor) -> Result<Volume> {
    let values = match *array.dims() {
        [d, h, w] if d * h * w > 0 => array.reshape((1, d, h, w))?,
        [1, c, d, h, w] | [c, d, h, w] if c * d * h * w > 0 => array.reshape((c, d, h, w))?,
        ref dims => {
            return Err(Error::shape(format!("an array of shape {dims:?} is no volume"))
                .hint("a volume has three axes, or channels and three axes; load_tensor reads other arrays"));
        }
    };
    Ok(Volume { values, orientation: None, spacing: None, name: String::new(), notes: Vec::new() })
}

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used)]
    use super::*;
    use crate::tensor::{tensor, to_f32};

    fn volume(orientation: &str) -> Volume {
        let values = tensor((0..24).map(|v| v as f32).collect(), &[1, 2, 3, 4]).unwrap();
        let orientation = Orientation::parse(orientation);
        Volume { values, orientation, spacing: Some([1.0, 2.0, 3.0]), name: "v".into(), notes: Vec::new() }
    }

    #[test]
    fn orientations_are_read_written_and_refused() {
        for text in ["RAS", "LPS", "SPL", "IAR"] {
            assert_eq!(Orientation::parse(text).unwrap().to_string(), text);
        }
        assert!(["RAL", "RA", "RASS", "XYZ", ""].iter().all(|t| Orientation::parse(t).is_none()));
        let turned = [[0.0, 0.1, 2.0, 0.0], [-1.0, 0.0, 0.2, 0.0], [0.1, 3.0, 0.0, 0.0]];
        assert_eq!(Orientation::of_affine(&turned).unwrap().to_string(), "PSR");
        assert!(Orientation::of_affine(&[[0.0; 4]; 3]).is_none());
    }

    #[test]
    fn axes_are_swapped_and_turned_round() {
        // out[z, y, x] = in[x from its end, y, z].
        let turned = volume("LAS").oriented(Orientation::parse("SAR").unwrap()).unwrap();
        assert_eq!((turned.size(), turned.spacing), ([4, 3, 2], Some([3.0, 2.0, 1.0])));
        let (before, after) = (to_f32(&volume("LAS").values).unwrap(), to_f32(&turned.values).unwrap());
        for x in 0..2 {
            for y in 0..3 {
                for z in 0..4 {
                    assert_eq!(after[(z * 3 + y) * 2 + x], before[((1 - x) * 3 + y) * 4 + z]);
                }
            }
        }
        let back = turned.oriented(Orientation::parse("LAS").unwrap()).unwrap();
        assert_eq!(to_f32(&back.values).unwrap(), before);
        let silent = Volume { orientation: None, ..volume("RAS") };
        assert!(silent.oriented(Orientation::parse("RAS").unwrap()).unwrap_err().hint.is_some());
    }
}
