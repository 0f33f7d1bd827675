//! An artifact's maps in the viewer's format: a description in JSON; values and photos as bytes. The viewer (`viewer.js`) is the
//! only script of a report, and the front end of the notebooks' widgets.

use super::artifact::{Artifact, ClassMap, Grid, Map, Part, Scale, Style};
use super::colour::{self, Ramp, Rgb};
use super::field::{Ground, ValueGrid, paint};
use super::figure::{Plane, grey_window, smooth};
use super::recorded::{VolumeMap, index};
use crate::data::{Image, Interpolation};
use crate::error::Result;
use serde_json::{Value, json};
use sha2::{Digest as _, Sha256};

/// The viewer's source: it defines the class `Viewer` and the function `openViewers` and runs nothing when loaded.
pub const SCRIPT: &str = include_str!("viewer.js");
/// The viewer's style sheet.
pub const STYLE: &str = include_str!("viewer.css");
/// What a page runs after [`SCRIPT`].
const PAGE: &str = "openViewers(document);\n";

/// How many bytes of maps and photos a page may carry for its viewers.
pub const MAX_PAGE_BYTES: usize = 16 << 20;
/// The longest side of a photo below a map, px.
const MAX_PHOTO_SIDE: usize = 640;
/// The JPEG quality of the photo, 1 to 100.
const JPEG_QUALITY: u8 = 88;
/// The number of values from which on a single map's colours end at a quantile, as in its figure.
const MIN_QUANTILE_VALUES: usize = 1024;
const QUANTILE: f64 = 0.995;

/// Maps with their photos.
#[derive(Clone, Debug, Default, PartialEq)]
pub struct Maps {
    /// `maps`, `photos`, `palettes` and `left_out`; `at` is an offset in `bytes`.
    pub about: Value,
    /// Values (f32, little endian), JPEGs and palettes (256 x RGB).
    pub bytes: Vec<u8>,
}

/// The script of a page with viewers, and its hash in the form of a content security policy.
pub fn script() -> (String, String) {
    use base64::Engine as _;
    let script = format!("\n{SCRIPT}{PAGE}");
    let hash = base64::engine::general_purpose::STANDARD.encode(Sha256::digest(script.as_bytes()));
    (script, format!("sha256-{hash}"))
}

/// The maps of `artifact` in at most `room` bytes; none where it has no maps. Those of artifacts inside are included where
/// `inside` is true. Maps that do not fit are named in `left_out`.
///
/// # Errors
/// Where a photo cannot be encoded.
pub fn maps(artifact: &Artifact, inside: bool, room: usize) -> Result<Option<Maps>> {
    let mut packed = Packed { room, ..Packed::default() };
    packed.add(artifact, inside)?;
    if packed.maps.is_empty() && packed.left_out.is_empty() {
        return Ok(None);
    }
    let left_out = match packed.left_out.len() {
        0 => Value::Null,
        _ => format!("left out for their size: {}", packed.left_out.join(", ")).into(),
    };
    let photos: Vec<&Value> = packed.photos.iter().map(|(_, about)| about).collect();
    let about = json!({ "maps": packed.maps, "photos": photos, "left_out": left_out });
    Ok(Some(Maps { about, bytes: packed.bytes }))
}

#[derive(Default)]
struct Packed<'a> {
    room: usize,
    maps: Vec<Value>,
    /// The photos, and the slices of volumes, which belong to one map each.
    photos: Vec<(Option<&'a Image>, Value)>,
    palettes: Vec<(bool, usize)>,
    bytes: Vec<u8>,
    left_out: Vec<String>,
}

impl<'a> Packed<'a> {
    fn add(&mut self, artifact: &'a Artifact, inside: bool) -> Result<()> {
        for part in &artifact.parts {
            let title = |own: &str| if own.is_empty() { artifact.title.clone() } else { own.to_string() };
            match part {
                Part::Map(map) if map.style != Style::Photo => {
                    self.map(map, title(&map.title), is_occlusion(artifact))?
                }
                Part::ClassMap(map) => self.classes(map, title(&map.title), is_occlusion(artifact))?,
                Part::Grid(grid) => self.grid(grid, title(&grid.title))?,
                Part::VolumeMap(map) => self.volume(map, title(&map.title))?,
                Part::Figure(artifacts, _) if inside => {
                    artifacts.iter().try_for_each(|artifact| self.add(artifact, true))?;
                }
                _ => {}
            }
        }
        Ok(())
    }

    fn map(&mut self, map: &'a Map, title: String, occludes: bool) -> Result<()> {
        let Ok(field) = ValueGrid::of(&map.values) else { return Ok(()) };
        let alone = matches!(map.style, Style::Alone | Style::Panel) && field.values.len() >= MIN_QUANTILE_VALUES;
        let ramp = Ramp::fit(map.scale, &field.values, alone.then_some(QUANTILE));
        let ground = Ground::of(map, &field);
        let mut about = placed(&ground, &field, occludes);
        about["title"] = title.into();
        about["label"] = map.label.clone().into();
        self.put(about, map.photo.as_ref(), Some(ramp), &[field])
    }

    fn classes(&mut self, map: &'a ClassMap, title: String, occludes: bool) -> Result<()> {
        let Ok(field) = ValueGrid::of(&map.values) else { return Ok(()) };
        let ground = Ground::of_classes(map, &field);
        let mut about = placed(&ground, &field, occludes);
        about["title"] = title.into();
        about["label"] = "class".into();
        let hue = |i| if i < colour::CATEGORIES { hex(colour::category(i)) } else { hex([190; 3]) };
        let entries = map.names.iter().enumerate().map(|(i, (number, name))| json!([number, name, hue(i)]));
        about["classes"] = entries.collect();
        self.put(about, map.photo.as_ref(), None, &[field])
    }

    /// Adds a grid's tiles as the frames of one map, where all have one number per position and equal sizes.
    fn grid(&mut self, grid: &'a Grid, title: String) -> Result<()> {
        let fields: Result<Vec<ValueGrid>> = grid.tiles.iter().map(|tile| ValueGrid::of(&tile.values)).collect();
        let Ok(fields) = fields else { return Ok(()) };
        let Some(first) = fields.first() else { return Ok(()) };
        if fields.iter().any(|f| (f.rows, f.columns) != (first.rows, first.columns)) {
            return Ok(());
        }
        let values: Vec<f32> = fields.iter().flat_map(|f| f.values.iter().copied()).collect();
        let [w, h] = [first.columns as f64, first.rows as f64];
        let captions: Vec<&str> = grid.tiles.iter().map(|tile| tile.caption.as_str()).collect();
        let ramp = Ramp::fit(grid.scale, &values, None);
        let label = if ramp.linear.is_some() { format!("{} (log scale)", grid.label) } else { grid.label.clone() };
        let mut about = json!({
            "title": title, "label": label, "frames": captions,
            "rows": first.rows, "columns": first.columns,
            "width": w, "height": h, "over": [0.0, 0.0, w, h], "clip": [0.0, 0.0, w, h],
        });
        if grid.scale == Scale::Each {
            let kind = if ramp.diverging {
                Scale::Diverging { bound: None }
            } else {
                Scale::Sequential { low: Some(0.0), high: None }
            };
            let own = fields.iter().map(|field| Ramp::fit(kind, &field.values, None));
            about["ends"] = own.map(|own| json!({ "low": own.low, "high": own.high })).collect();
        }
        self.put(about, None, Some(ramp), &fields)
    }

    /// Adds a volume as the frames of one map, one for each slice, over pictures of the slices: axial ones where the orientation is
    /// known. The map is enlarged to the volume's voxels.
    fn volume(&mut self, map: &VolumeMap, title: String) -> Result<()> {
        let (Ok(voxels), Ok(Some((cells, values)))) = (map.voxels(), map.map()) else { return Ok(()) };
        let through = map.orientation.and_then(|o| (0..3).find(|a| o.body(*a) == 2)).unwrap_or(0);
        let (plane, size) = (Plane::through(map, through), map.size());
        let (rows, columns) = (size[plane.down.axis], size[plane.across.axis]);
        let (low, high) = grey_window(&voxels);
        let (mut fields, mut slices) = (Vec::new(), Vec::new());
        for slice in 0..size[through] {
            let place = |y: usize, x: usize| {
                let (down, across) = ((y as f64 + 0.5) / rows as f64, (x as f64 + 0.5) / columns as f64);
                plane.place(size, slice as f64 + 0.5, down, across)
            };
            let over = |y, x| map.cell(place(y, x), cells).map_or(f32::NAN, |p| smooth(&values, cells, p));
            let all = (0..rows).flat_map(|y| (0..columns).map(move |x| (y, x)));
            fields.push(ValueGrid { rows, columns, values: all.map(|(y, x)| over(y, x)).collect() });
            slices.push(paint(columns, rows, |x, y| {
                let at = place(y, x).map(|v| v as usize);
                let voxel = f64::from(voxels[index([0, 1, 2].map(|a| at[a].min(size[a] - 1)), size)]);
                colour::grey((voxel - low) / (high - low))
            })?);
        }
        let spacing = map.spacing.unwrap_or([1.0; 3]);
        let zoom = spacing[plane.down.axis] / spacing[plane.across.axis];
        let [w, h] = [columns as f64, rows as f64 * zoom];
        let name = plane.name(map);
        let captions: Vec<String> = (0..fields.len()).map(|i| format!("{name}, {i} of {}", fields.len())).collect();
        let about = json!({
            "title": title, "label": map.label, "frames": captions, "first": map.focus()?[through],
            "rows": rows, "columns": columns,
            "width": w, "height": h, "over": [0.0, 0.0, w, h], "clip": [0.0, 0.0, w, h],
        });
        let sharp = values.len() >= MIN_QUANTILE_VALUES && !matches!(map.scale, Scale::Falling { .. });
        let ramp = Ramp::fit(map.scale, &values, sharp.then_some(QUANTILE));
        let before = self.maps.len();
        self.put(about, None, Some(ramp), &fields)?;
        if self.maps.len() > before {
            let photos: Option<Vec<usize>> = slices.iter().map(|s| self.slice(s)).collect::<Result<_>>()?;
            self.maps[before]["photos"] = photos.into();
        }
        Ok(())
    }

    /// The index of a slice's picture; none where it does not fit.
    fn slice(&mut self, slice: &Image) -> Result<Option<usize>> {
        let encoded = slice.encode_png()?;
        if encoded.len() > self.room {
            return Ok(None);
        }
        self.room -= encoded.len();
        let about = json!({ "at": self.bytes.len(), "bytes": encoded.len(), "type": "image/png" });
        self.bytes.extend_from_slice(&encoded);
        self.photos.push((None, about));
        Ok(Some(self.photos.len() - 1))
    }

    /// Adds a map with its values, photo and colours, where they fit.
    fn put(&mut self, mut map: Value, photo: Option<&'a Image>, ramp: Option<Ramp>, grids: &[ValueGrid]) -> Result<()> {
        let needed: usize = grids.iter().map(|field| field.values.len() * size_of::<f32>()).sum();
        if needed > self.room {
            self.left_out.push(map["title"].as_str().unwrap_or_default().to_string());
            return Ok(());
        }
        self.room -= needed;
        map["photo"] = photo.map(|photo| self.photo(photo)).transpose()?.flatten().into();
        if let Some(ramp) = ramp {
            let palette = self.palette(ramp.diverging);
            map["scale"] = json!({
                "low": ramp.low, "high": ramp.high, "diverging": ramp.diverging, "palette": palette, "linear": ramp.linear,
            });
        }
        map["at"] = self.bytes.len().into();
        for value in grids.iter().flat_map(|field| &field.values) {
            self.bytes.extend_from_slice(&value.to_le_bytes());
        }
        self.maps.push(map);
        Ok(())
    }

    /// The index of a photo; none where it does not fit.
    fn photo(&mut self, photo: &'a Image) -> Result<Option<usize>> {
        let alike = |known: &Image| known.width() == photo.width() && known.pixels() == photo.pixels();
        let same = |(known, _): &(Option<&Image>, Value)| known.is_some_and(alike);
        if let Some(known) = self.photos.iter().position(same) {
            return Ok(Some(known));
        }
        let encoded = jpeg(photo)?;
        if encoded.len() > self.room {
            return Ok(None);
        }
        self.room -= encoded.len();
        let at = self.bytes.len();
        self.bytes.extend_from_slice(&encoded);
        self.photos.push((Some(photo), json!({ "at": at, "bytes": encoded.len() })));
        Ok(Some(self.photos.len() - 1))
    }

    /// The offset of the palette.
    fn palette(&mut self, diverging: bool) -> usize {
        if let Some((_, at)) = self.palettes.iter().find(|(kind, _)| *kind == diverging) {
            return *at;
        }
        let at = self.bytes.len();
        let colour = if diverging { colour::diverging } else { colour::sequential };
        self.bytes.extend((0..256).flat_map(|i| colour(f64::from(i) / 255.0)));
        self.palettes.push((diverging, at));
        at
    }
}

/// A photo as the JPEG that the viewer draws below a map, its longest side at most `MAX_PHOTO_SIDE` px.
///
/// # Errors
/// Where it cannot be encoded.
pub fn jpeg(photo: &Image) -> Result<Vec<u8>> {
    let (width, height) = (photo.width(), photo.height());
    let long = width.max(height);
    if long <= MAX_PHOTO_SIDE {
        return photo.encode_jpeg(JPEG_QUALITY);
    }
    let at = |side: usize| (side * MAX_PHOTO_SIDE / long).max(1);
    photo.resize(at(width), at(height), Interpolation::Bilinear)?.encode_jpeg(JPEG_QUALITY)
}

/// Whether an artifact's maps have a value for each position of a patch.
fn is_occlusion(artifact: &Artifact) -> bool {
    artifact.manifest.pointer("/probe/name").and_then(Value::as_str) == Some("occlusion")
}

/// The position of a map in pixels of the photo (of the net's input where there is none): the rectangle of all its cells, the part
/// of it that is visible, and, where a cell stands for a patch around its centre, the first cell's patch with its size.
fn placed(ground: &Ground<'_>, field: &ValueGrid, occludes: bool) -> Value {
    let (width, height) = ground.size();
    let clip = scaled(ground.crop(), width, height);
    let [left, top, right, bottom] = {
        let [l, t, r, b] = ground.reach();
        [l * width, t * height, r * width, b * height]
    };
    let over = [left, top, right - left, bottom - top];
    let mut about = json!({
        "rows": field.rows, "columns": field.columns, "frames": [""],
        "width": width, "height": height, "over": over, "clip": clip,
    });
    if occludes {
        // Each value is drawn around its patch's centre: a cell is one stride wide, and half of the patch's excess over the stride
        // lies before the first cell.
        let stride = [over[2] / field.columns as f64, over[3] / field.rows as f64];
        let before = [over[0] - clip[0], over[1] - clip[1]];
        let side = [2.0 * before[0] + stride[0], 2.0 * before[1] + stride[1]];
        about["patch"] = json!([clip[0], clip[1], side[0], side[1]]);
    }
    about
}

fn scaled([x, y, w, h]: [f64; 4], width: f64, height: f64) -> [f64; 4] {
    [x * width, y * height, w * width, h * height]
}

fn hex([r, g, b]: Rgb) -> String {
    format!("#{r:02x}{g:02x}{b:02x}")
}

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used)]
    use super::*;
    use crate::data::preprocess::Placement;
    use crate::tensor::tensor;

    fn map(rows: usize, columns: usize) -> Map {
        let values: Vec<f32> = (0..rows * columns).map(|i| libm::sinf(i as f32)).collect();
        Map {
            title: "m".into(),
            values: tensor(values, &[rows, columns]).unwrap(),
            label: "x".into(),
            scale: Scale::Diverging { bound: None },
            photo: Some(Image::filled(40, 20, [1, 2, 3]).unwrap()),
            placement: None,
            extent: None,
            input: [20, 40],
            style: Style::Overlay,
        }
    }

    #[test]
    fn values_stand_where_the_maps_say_and_are_what_they_were() {
        let artifact = Artifact::new("a").part(Part::Map(map(3, 5))).part(Part::Map(map(4, 2)));
        let maps = maps(&artifact, false, MAX_PAGE_BYTES).unwrap().unwrap();
        for (about, part) in maps.about["maps"].as_array().unwrap().iter().zip([map(3, 5), map(4, 2)]) {
            let at = about["at"].as_u64().unwrap() as usize;
            let wanted = crate::tensor::to_f32(&part.values).unwrap();
            let found = maps.bytes[at..at + 4 * wanted.len()].chunks_exact(4);
            let found: Vec<f32> = found.map(|b| f32::from_le_bytes([b[0], b[1], b[2], b[3]])).collect();
            assert_eq!(found, wanted);
            assert_eq!(about["over"], json!([0.0, 0.0, 40.0, 20.0]));
        }
        assert_eq!(maps.about["photos"].as_array().unwrap().len(), 1, "the photo is there once");
        assert!(maps.about["left_out"].is_null());
    }

    #[test]
    fn tiles_have_the_ends_of_their_figure() {
        let tile = |values: &[f32]| crate::show::Tile {
            values: tensor(values.to_vec(), &[1, 2]).unwrap(),
            caption: "t".into(),
        };
        let about = |scale| {
            let tiles = vec![tile(&[0.0, 4.0]), tile(&[1.0, 100.0])];
            let grid = Grid { title: "g".into(), label: "x".into(), scale, tiles, columns: None };
            maps(&Artifact::new("a").part(Part::Grid(grid)), false, MAX_PAGE_BYTES).unwrap().unwrap().about["maps"][0]
                .clone()
        };
        let log = about(Scale::SymmetricLog);
        assert_eq!((&log["scale"]["linear"], &log["label"]), (&json!(1.0), &json!("x (log scale)")));
        assert!(log["ends"].is_null());
        let each = about(Scale::Each);
        assert_eq!(each["ends"], json!([{ "low": 0.0, "high": 4.0 }, { "low": 0.0, "high": 100.0 }]));
        assert!(each["scale"]["linear"].is_null());
    }

    #[test]
    fn what_does_not_fit_is_said() {
        let artifact = Artifact::new("a").part(Part::Map(map(3, 5))).part(Part::Map(map(40, 20)));
        let maps = maps(&artifact, false, 2000).unwrap().unwrap();
        assert_eq!(maps.about["maps"].as_array().unwrap().len(), 1);
        assert_eq!(maps.about["left_out"], "left out for their size: m");
        assert!(super::maps(&Artifact::new("a"), true, MAX_PAGE_BYTES).unwrap().is_none());
    }

    #[test]
    fn the_patch_of_an_occluder_is_read_from_where_its_map_lies() {
        // A patch of 6 px with stride 2 on an input of 20 x 40 px, which is on the photo at twice the size at (10, 4).
        let input = crate::data::preprocess::Size { height: 20, width: 40 };
        let placement = Some(Placement { left: 10.0, top: 4.0, width: 80.0, height: 40.0, input });
        let extent = Some([2.0, 2.0, 2.0 + 8.0 * 2.0, 2.0 + 18.0 * 2.0]);
        let photo = Some(Image::filled(100, 50, [9; 3]).unwrap());
        let mut artifact = Artifact::new("o").part(Part::Map(Map { placement, extent, photo, ..map(8, 18) }));
        artifact.manifest = json!({ "probe": { "name": "occlusion" } });
        let maps = maps(&artifact, false, MAX_PAGE_BYTES).unwrap().unwrap();
        let near = |name: &str, wanted: [f64; 4]| {
            let found: [f64; 4] = serde_json::from_value(maps.about["maps"][0][name].clone()).unwrap();
            assert!(found.iter().zip(wanted).all(|(a, b)| (a - b).abs() < 1e-9), "{name}: {found:?}");
        };
        near("patch", [10.0, 4.0, 12.0, 12.0]);
        near("over", [14.0, 8.0, 72.0, 32.0]);
    }
}
