//! Maps over recordings: over the samples of a signal or the voxels of a volume.

use super::artifact::Scale;
use super::table::short;
use crate::data::Orientation;
use crate::error::{Error, Result};
use crate::tensor::to_f32;
use candle_core::Tensor;

/// A signal with a map over its samples; without a map, only the signal.
#[derive(Clone, Debug)]
pub struct SignalMap {
    /// What it shows.
    pub title: String,
    /// The signal, channels x samples.
    pub signal: Tensor,
    /// The map: cells along the whole signal, or channels x cells; none where only the signal is shown.
    pub values: Option<Tensor>,
    /// What a value means, with its unit.
    pub label: String,
    /// How values become colours.
    pub scale: Scale,
    /// Samples per second, where it is known.
    pub rate: Option<f64>,
    /// The samples that the map's cells cover: the first, and one behind the last; all unless given.
    pub extent: Option<[f64; 2]>,
}

/// A volume with a map over its voxels; without a map, only the volume.
#[derive(Clone, Debug)]
pub struct VolumeMap {
    /// What it shows.
    pub title: String,
    /// The volume, three axes.
    pub volume: Tensor,
    /// The map, three axes, its cells evenly over `extent`; none where only the volume is shown.
    pub values: Option<Tensor>,
    /// What a value means, with its unit.
    pub label: String,
    /// How values become colours.
    pub scale: Scale,
    /// The directions of the axes, where they are known.
    pub orientation: Option<Orientation>,
    /// The voxel spacing along each axis, mm, where it is known.
    pub spacing: Option<[f64; 3]>,
    /// The voxels that the map's cells cover along each axis: the first, and one behind the last; all unless given.
    pub extent: Option<[[f64; 2]; 3]>,
}

impl SignalMap {
    /// The samples of each channel.
    ///
    /// # Errors
    /// Where the signal does not have these axes.
    pub fn channels(&self) -> Result<Vec<Vec<f32>>> {
        rows(&self.signal)
    }

    /// The map's rows: none, one for all channels, or one for each channel.
    ///
    /// # Errors
    /// Where the map does not have these axes.
    pub fn map_rows(&self) -> Result<Vec<Vec<f32>>> {
        self.values.as_ref().map_or(Ok(Vec::new()), rows)
    }

    /// The number of samples.
    pub fn length(&self) -> usize {
        self.signal.dims().last().copied().unwrap_or(0)
    }

    /// The cell of a map of `cells` cells at sample `at` (whose middle is at + 0.5); none outside of the map.
    pub fn cell(&self, at: f64, cells: usize) -> Option<usize> {
        let [first, end] = self.extent.unwrap_or([0.0, self.length() as f64]);
        let place = (at - first) / (end - first) * cells as f64;
        (0.0..cells as f64).contains(&place).then_some(place as usize)
    }

    /// A short description: the size, and the position of the strongest value.
    ///
    /// # Errors
    /// As [`SignalMap::map_rows`].
    pub fn words(&self) -> Result<String> {
        let (channels, length) = (self.channels()?.len(), self.length());
        let time = |sample: f64| match self.rate {
            Some(rate) => format!("{} s", short(sample / rate)),
            None => format!("sample {}", sample.floor()),
        };
        let mut out = format!("signal of {channels} × {length} samples");
        if let Some(rate) = self.rate {
            out += &format!(", {} s at {} Hz", short(length as f64 / rate), short(rate));
        }
        let map = self.map_rows()?;
        let falling = matches!(self.scale, Scale::Falling { .. });
        let all: Vec<f32> = map.concat();
        let width = map.first().map_or(1, Vec::len);
        let peak = if falling { lowest(&all) } else { strongest(&[all]).map(|(_, at)| at) };
        if let Some((row, cell)) = peak.map(|at| (at / width, at % width)) {
            let [first, end] = self.extent.unwrap_or([0.0, length as f64]);
            let at = first + (cell as f64 + 0.5) / map[row].len() as f64 * (end - first);
            let of = if self.label.is_empty() { "value".to_string() } else { self.label.clone() };
            let word = if falling { "lowest" } else { "strongest" };
            out += &format!("; the {word} {of} is {} at {}", short(f64::from(map[row][cell])), time(at));
            if map.len() > 1 {
                out += &format!(" in channel {row}");
            }
        }
        Ok(out)
    }
}

impl VolumeMap {
    /// The number of entries along the three axes.
    pub fn size(&self) -> [usize; 3] {
        match *self.volume.dims() {
            [d, h, w] => [d, h, w],
            _ => [0; 3],
        }
    }

    /// The volume's values, row-major.
    ///
    /// # Errors
    /// Where it does not have three axes.
    pub fn voxels(&self) -> Result<Vec<f32>> {
        three(&self.volume)?;
        to_f32(&self.volume)
    }

    /// The map's size and values.
    ///
    /// # Errors
    /// Where it does not have three axes.
    pub fn map(&self) -> Result<Option<([usize; 3], Vec<f32>)>> {
        self.values.as_ref().map(|t| Ok((three(t)?, to_f32(t)?))).transpose()
    }

    /// The position in cells, of a map of `cells`, for a position in voxels; none outside of the map.
    pub fn cell(&self, at: [f64; 3], cells: [usize; 3]) -> Option<[f64; 3]> {
        let size = self.size();
        let extent = self.extent.unwrap_or([0, 1, 2].map(|a| [0.0, size[a] as f64]));
        let place = [0, 1, 2].map(|a| (at[a] - extent[a][0]) / (extent[a][1] - extent[a][0]) * cells[a] as f64);
        (0..3).all(|a| (0.0..cells[a] as f64).contains(&place[a])).then_some(place)
    }

    /// The voxel in the middle of the map's strongest cell (largest magnitude, the first of equal ones); without a map, the central
    /// voxel.
    ///
    /// # Errors
    /// As [`VolumeMap::map`].
    pub fn focus(&self) -> Result<[usize; 3]> {
        let size = self.size();
        let Some((cells, values)) = self.map()? else { return Ok(size.map(|n| n / 2)) };
        let towards = matches!(self.scale, Scale::Falling { .. });
        let best = if towards { lowest(&values) } else { strongest(&[values]).map(|(_, at)| at) };
        let Some(at) = best else { return Ok(size.map(|n| n / 2)) };
        let [_, h, w] = cells;
        let cell = [at / (h * w), at / w % h, at % w];
        let extent = self.extent.unwrap_or([0, 1, 2].map(|a| [0.0, size[a] as f64]));
        Ok([0, 1, 2].map(|a| {
            let [first, end] = extent[a];
            let place = first + (cell[a] as f64 + 0.5) / cells[a] as f64 * (end - first);
            (place.max(0.0) as usize).min(size[a].saturating_sub(1))
        }))
    }

    /// A short description: the size, and the position of the strongest value.
    ///
    /// # Errors
    /// As [`VolumeMap::map`].
    pub fn words(&self) -> Result<String> {
        let [d, h, w] = self.size();
        let mut out = format!("volume of {d} × {h} × {w} voxels");
        if let Some(spacing) = self.spacing {
            out += &format!(" of {} mm", spacing.map(short).join(" × "));
        }
        if let Some(orientation) = self.orientation {
            out += &format!(", its axes pointing to {orientation}");
        }
        if let Some((cells, values)) = self.map()? {
            let of = if self.label.is_empty() { "value".to_string() } else { self.label.clone() };
            let at = self.focus()?;
            let word = if matches!(self.scale, Scale::Falling { .. }) { "lowest" } else { "strongest" };
            let place = at.map(|i| i as f64 + 0.5);
            let value = self.cell(place, cells).map(|p| values[index(p.map(|v| v as usize), cells)]);
            if let Some(value) = value {
                let [z, y, x] = at;
                out += &format!("; the {word} {of} is {} at voxel {z}, {y}, {x}", short(f64::from(value)));
            }
        }
        Ok(out)
    }
}

/// The index of an entry in a row-major array of three axes.
pub fn index([z, y, x]: [usize; 3], [_, h, w]: [usize; 3]) -> usize {
    (z * h + y) * w + x
}

/// The row and column of the value with the largest magnitude, the first of equal ones.
pub fn strongest(rows: &[Vec<f32>]) -> Option<(usize, usize)> {
    let all = rows.iter().enumerate().flat_map(|(r, row)| row.iter().enumerate().map(move |(i, v)| (r, i, v.abs())));
    let best = |best: Option<(usize, usize, f32)>, this: (usize, usize, f32)| match best {
        Some(b) if b.2 >= this.2 => Some(b),
        _ => Some(this),
    };
    all.filter(|(.., v)| !v.is_nan()).fold(None, best).map(|(r, i, _)| (r, i))
}

fn lowest(values: &[f32]) -> Option<usize> {
    let finite = values.iter().enumerate().filter(|(_, v)| !v.is_nan());
    finite.min_by(|a, b| a.1.total_cmp(b.1).then(a.0.cmp(&b.0))).map(|(i, _)| i)
}

fn rows(tensor: &Tensor) -> Result<Vec<Vec<f32>>> {
    let (rows, columns) = match *tensor.dims() {
        [n] => (1, n),
        [c, n] => (c, n),
        ref dims => return Err(Error::shape(format!("an array of shape {dims:?} is no map over a signal"))),
    };
    if rows * columns == 0 {
        return Err(Error::shape(format!("an array of shape {:?} holds no value", tensor.dims())));
    }
    Ok(to_f32(tensor)?.chunks(columns).map(<[f32]>::to_vec).collect())
}

fn three(tensor: &Tensor) -> Result<[usize; 3]> {
    match *tensor.dims() {
        [d, h, w] if d * h * w > 0 => Ok([d, h, w]),
        ref dims => Err(Error::shape(format!("an array of shape {dims:?} is no map over a volume"))),
    }
}
