//! Artifacts of single values, so that `show` and `save` treat an image, a tensor or a table like a probe's result; and maps laid
//! over another image.

use super::artifact::{Artifact, Grid, Map, Mark, Part, Pictures, Plot, Scale, Series, Style, Tile};
use super::recorded::{SignalMap, VolumeMap};
use super::table::Table;
use crate::data::{Image, Signal, Volume};
use crate::error::{Error, Result};
use crate::tensor::{to_f32, to_f64};
use candle_core::Tensor;

/// The most rows and columns of a tensor that is shown as numbers.
const MAX_SIDE_AS_NUMBERS: usize = 12;
/// How many tiles are shown; the array has all.
const MAX_TILES: usize = 256;

/// An image.
pub fn of_image(image: &Image) -> Artifact {
    let mut title = format!("image, {} × {}", image.width(), image.height());
    if let Some(label) = image.label() {
        title += &format!(", {label}");
    }
    let images = vec![(image.clone(), String::new())];
    Artifact::new(title).part(Part::Pictures(Pictures { title: String::new(), images, columns: None }))
}

/// A signal as lines, one for each channel.
pub fn of_signal(signal: &Signal) -> Artifact {
    let part = Part::SignalMap(SignalMap {
        title: String::new(),
        signal: signal.values.clone(),
        values: None,
        label: String::new(),
        scale: Scale::Diverging { bound: None },
        rate: signal.rate,
        extent: None,
    });
    let title = format!("signal {}, {} × {} samples", signal.name, signal.channels(), signal.length());
    Artifact::new(title).part(part).array("signal", signal.values.clone()).notes(signal.notes.clone())
}

/// A volume's first channel as three planes through its middle.
///
/// # Errors
/// Where it cannot be read.
pub fn of_volume(volume: &Volume) -> Result<Artifact> {
    let part = Part::VolumeMap(VolumeMap {
        title: String::new(),
        volume: volume.values.get(0)?,
        values: None,
        label: String::new(),
        scale: Scale::Diverging { bound: None },
        orientation: volume.orientation,
        spacing: volume.spacing,
        extent: None,
    });
    let [d, h, w] = volume.size();
    let artifact = Artifact::new(format!("volume {}, {d} × {h} × {w} voxels", volume.name)).part(part);
    let channels = volume.values.dim(0)?;
    let artifact = artifact.array("volume", volume.values.clone()).notes(volume.notes.clone());
    Ok(if channels > 1 { artifact.note(format!("the first of {channels} channels is shown")) } else { artifact })
}

/// A table.
pub fn of_table(table: &Table) -> Artifact {
    Artifact::new("").part(Part::Table(String::new(), table.clone())).notes(table.notes().to_vec())
}

/// A tensor, also as the primary array `tensor`: a few numbers as a table, a vector as bars, rows and columns as a map, more axes
/// as a grid of maps.
///
/// # Errors
/// Where the tensor cannot be read.
pub fn of_tensor(tensor: &Tensor) -> Result<Artifact> {
    let dims = tensor.dims();
    let shape = dims.iter().map(usize::to_string).collect::<Vec<_>>().join(" × ");
    let mut artifact = Artifact::new(if dims.is_empty() { "number".to_string() } else { format!("tensor, {shape}") });
    artifact = match dims {
        _ if tensor.elem_count() == 0 => artifact.note("it holds no value"),
        [] => artifact.part(Part::Table(String::new(), numbers(&to_f64(tensor)?, 1, &["value".to_string()]))),
        [n] if *n <= MAX_SIDE_AS_NUMBERS => {
            let mut table = Table::new(["index", "value"]);
            to_f64(tensor)?.into_iter().enumerate().for_each(|(i, v)| table.push([i.into(), v.into()]));
            artifact.part(Part::Table(String::new(), table))
        }
        [n] => {
            let x = (0..*n).map(|i| i as f64).collect();
            let series = Series { name: "value".into(), x, y: to_f64(tensor)?, bars: Vec::new(), mark: Mark::Bar };
            artifact.part(Part::Plot(Plot {
                title: String::new(),
                x_label: "index".into(),
                y_label: "value".into(),
                categories: Vec::new(),
                series: vec![series],
            }))
        }
        [h, w] if *h <= MAX_SIDE_AS_NUMBERS && *w <= MAX_SIDE_AS_NUMBERS => {
            let names: Vec<String> = (0..*w).map(|i| i.to_string()).collect();
            artifact.part(Part::Table(String::new(), numbers(&to_f64(tensor)?, *w, &names)))
        }
        [_, _] => artifact.part(Part::Map(bare(tensor)?)),
        _ => {
            let (h, w) = (dims[dims.len() - 2], dims[dims.len() - 1]);
            let maps = tensor.reshape((tensor.elem_count() / (h * w), h, w))?;
            let count = maps.dim(0)?;
            if count > MAX_TILES {
                artifact = artifact.note(format!("the first {MAX_TILES} of {count} maps are shown"));
            }
            let tile = |i: usize| Ok(Tile { caption: indices(i, &dims[..dims.len() - 2]), values: maps.get(i)? });
            let tiles = (0..count.min(MAX_TILES)).map(tile).collect::<Result<Vec<_>>>()?;
            let (title, label) = (String::new(), "value".to_string());
            artifact.part(Part::Grid(Grid { title, tiles, columns: None, label, scale: scale(tensor)? }))
        }
    };
    Ok(artifact.array("tensor", tensor.clone()))
}

impl Artifact {
    /// The artifact with another title.
    pub fn with_title(mut self, title: impl Into<String>) -> Self {
        self.title = title.into();
        self
    }

    /// The artifact with its maps over `image`. Where they were on a photo of the same proportions they keep their position;
    /// otherwise they cover the whole image, and a note says so unless it has the input's proportions.
    ///
    /// # Errors
    /// Where the artifact has no map.
    pub fn overlay(&self, image: &Image) -> Result<Artifact> {
        let mut out = self.clone();
        let (mut found, mut stretched) = (false, false);
        for part in &mut out.parts {
            let (photo, placement, input) = match part {
                Part::Map(m) => {
                    m.style = Style::Overlay;
                    (&mut m.photo, &mut m.placement, m.input)
                }
                Part::ClassMap(m) => (&mut m.photo, &mut m.placement, m.input),
                _ => continue,
            };
            found = true;
            let (w, h) = (image.width() as f64, image.height() as f64);
            let alike = |(a, b): (f64, f64)| (w * b - h * a).abs() <= 0.01 * w * b;
            let before = photo.as_ref().map(|p| (p.width() as f64, p.height() as f64)).filter(|p| alike(*p));
            match (before, placement.as_mut()) {
                (Some((old, _)), Some(p)) => {
                    let zoom = w / old;
                    (p.left, p.top, p.width, p.height) = (p.left * zoom, p.top * zoom, p.width * zoom, p.height * zoom);
                }
                _ => {
                    stretched |= !alike((input[1] as f64, input[0] as f64));
                    *placement = None;
                }
            }
            *photo = Some(image.clone());
        }
        if !found {
            let map = self.value().ok().filter(|v| v.rank() == 2).map(bare);
            let Some(map) = map else {
                let message = format!("\"{}\" holds no map to put over an image", self.title);
                return Err(Error::value(message).hint("results of `occlusion`, `gradient` or `grad_cam` do"));
            };
            out.parts.push(Part::Map(map?));
            return out.overlay(image);
        }
        Ok(if stretched { out.note("the map is stretched over the whole image") } else { out })
    }
}

/// A tensor of rank 2 as a map without a photo.
fn bare(tensor: &Tensor) -> Result<Map> {
    let (rows, columns) = tensor.dims2()?;
    Ok(Map {
        title: String::new(),
        values: tensor.clone(),
        label: "value".into(),
        scale: scale(tensor)?,
        photo: None,
        placement: None,
        extent: None,
        input: [rows, columns],
        style: Style::Alone,
    })
}

/// Around zero where values have both signs, otherwise from zero (or the minimum).
fn scale(tensor: &Tensor) -> Result<Scale> {
    let values = to_f32(tensor)?;
    let (below, above) = (values.iter().any(|v| *v < 0.0), values.iter().any(|v| *v > 0.0));
    Ok(match (below, above) {
        (true, true) => Scale::Diverging { bound: None },
        (true, false) => Scale::Sequential { low: None, high: Some(0.0) },
        _ => Scale::Sequential { low: Some(0.0), high: None },
    })
}

fn numbers(values: &[f64], columns: usize, names: &[String]) -> Table {
    let mut table = Table::new(names.iter().cloned());
    values.chunks(columns).for_each(|row| table.push(row.iter().map(|v| (*v).into())));
    table
}

/// The indices of the `i`-th map along the leading axes, as text.
fn indices(mut i: usize, axes: &[usize]) -> String {
    let mut out = Vec::new();
    for axis in axes.iter().rev() {
        out.insert(0, (i % axis).to_string());
        i /= axis;
    }
    out.join(",")
}

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used)]
    use super::*;
    use crate::data::{Placement, Size};
    use candle_core::{DType, Device};

    #[test]
    fn every_rank_has_a_form() {
        let forms: [(&[usize], &str); 7] = [
            (&[], "table"),
            (&[5], "table"),
            (&[100], "plot"),
            (&[3, 3], "table"),
            (&[30, 3], "map"),
            (&[4, 5, 6], "300 tiles"),
            (&[0, 3], "nothing"),
        ];
        for (dims, form) in forms {
            let artifact = of_tensor(&Tensor::zeros(dims, DType::F32, &Device::Cpu).unwrap()).unwrap();
            let right = match artifact.parts.first() {
                Some(Part::Table(..)) => form == "table",
                Some(Part::Plot(_)) => form == "plot",
                Some(Part::Map(_)) => form == "map",
                Some(Part::Grid(g)) => g.tiles.len() == 4,
                None => form == "nothing",
                _ => false,
            };
            assert!(right, "{dims:?}");
            assert_eq!(artifact.value().unwrap().dims(), dims);
        }
        assert_eq!(indices(7, &[2, 4]), "1,3");
    }

    #[test]
    fn a_map_keeps_its_place_on_a_photo_of_the_same_proportions() {
        let map = bare(&Tensor::zeros((20, 20), DType::F32, &Device::Cpu).unwrap()).unwrap();
        let placement =
            Placement { left: 50.0, top: 0.0, width: 100.0, height: 100.0, input: Size { height: 20, width: 20 } };
        let photo = Some(Image::filled(200, 100, [0; 3]).unwrap());
        let artifact = Artifact::new("m").part(Part::Map(Map { photo, placement: Some(placement), ..map }));
        let twice = artifact.overlay(&Image::filled(400, 200, [1; 3]).unwrap()).unwrap();
        let Some(Part::Map(m)) = twice.parts.first() else { panic!("no map") };
        assert_eq!(m.placement.as_ref().unwrap().left, 100.0);
        assert!(twice.notes.is_empty());
        let square = artifact.overlay(&Image::filled(30, 30, [1; 3]).unwrap()).unwrap();
        assert!(square.notes.is_empty());
        let high = artifact.overlay(&Image::filled(30, 90, [1; 3]).unwrap()).unwrap();
        assert_eq!(high.notes, ["the map is stretched over the whole image"]);
        assert!(Artifact::new("none").overlay(&Image::filled(3, 3, [1; 3]).unwrap()).is_err());
        let array = Artifact::new("a").array("x", Tensor::zeros((2, 2), DType::F32, &Device::Cpu).unwrap());
        assert_eq!(array.overlay(&Image::filled(3, 3, [1; 3]).unwrap()).unwrap().parts.len(), 1);
    }
}
