//! The generated data set `shapes`: textured shapes on a cluttered background, with complete ground truth.
//!
//! Each image shows one shape of one of ten classes. Its class, mask, bounding box, position, scale, rotation, texture,
//! contrast, clutter, colours and named parts are known, so that maps, attributes and correspondences can be compared with
//! the truth. Only the outline determines the class: every class has every texture, colour, position and size.
//!
//! An image is a function of the options, the seed and its index. Each of its properties is drawn from a random number of
//! its own, so that two data sets of one seed that differ in one option hold the same images but for that property: the
//! same scenes rotated, enlarged, moved or retextured, with known correspondences. All arithmetic gives the same results on
//! every machine, and so do the pixels.

mod draw;
pub mod net;
mod options;
mod outline;
mod scene;
mod texture;

use std::collections::BTreeMap;
use std::sync::Arc;

pub use self::options::{SIDE, Shapes, Span};
pub use self::outline::ShapeClass;
pub use self::texture::Texture;
use crate::data::dataset::{Dataset, Generator};
use crate::data::image::{Attribute, Image};
use crate::error::Result;
use scene::Scene;

/// The data set of these options. It holds no images in memory: each is drawn when it is read.
///
/// # Errors
/// Where an option is out of range.
pub fn shapes(options: &Shapes) -> Result<Dataset> {
    options.check()?;
    Ok(Dataset::generated("shapes", Arc::new(Drawn(options.clone()))))
}

#[derive(Debug)]
struct Drawn(Shapes);

impl Generator for Drawn {
    fn len(&self) -> usize {
        self.0.n
    }

    fn label(&self, index: usize) -> Option<String> {
        Some(scene::class_of(&self.0, index).name().to_string())
    }

    fn attributes(&self, index: usize) -> BTreeMap<String, Attribute> {
        Scene::new(&self.0, index).attributes()
    }

    fn image(&self, index: usize) -> Result<Image> {
        let scene = Scene::new(&self.0, index);
        let (pixels, mask) = draw::draw(&scene)?;
        let bounds = mask.bounds();
        let image = Image::new(SIDE, SIDE, pixels)?
            .with_label(Some(scene.class.name().to_string()))
            .with_attributes(scene.attributes())
            .with_keypoints(scene.keypoints())
            .with_mask(Arc::new(mask))?;
        Ok(match bounds {
            Some(bounds) => image.with_bounding_box(bounds),
            None => image,
        })
    }

    fn identity(&self) -> serde_json::Value {
        crate::params::Params::settings(&self.0)
    }

    fn labels(&self) -> Vec<String> {
        let mut names: Vec<String> = self.0.classes.iter().map(|c| c.name().to_string()).collect();
        names.sort();
        names.dedup();
        names
    }
}

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used)]
    use super::*;

    fn number(image: &Image, name: &str) -> f64 {
        match &image.attributes()[name] {
            Attribute::Number(v) => *v,
            Attribute::Text(t) => panic!("{name} is {t}"),
        }
    }

    fn digest(options: &Shapes) -> String {
        let mut hasher = blake3::Hasher::new();
        for image in shapes(options).unwrap().iter() {
            let image = image.unwrap();
            hasher.update(image.pixels()).update(&image.mask().unwrap().values);
            hasher.update(format!("{:?} {:?} {:?}", image.label(), image.attributes(), image.keypoints()).as_bytes());
        }
        hasher.finalize().to_hex()[..16].to_string()
    }

    #[test]
    fn the_same_images_come_on_every_machine() {
        assert_eq!(digest(&Shapes { n: 60, ..Shapes::new() }), "c1b6a6293ae32429");
        assert_eq!(digest(&Shapes { n: 20, seed: 9, scale: Span::new(0.1, 0.9), ..Shapes::new() }), "aeb84716da7b749b");
    }

    #[test]
    fn an_image_follows_from_its_index_alone() {
        let few = shapes(&Shapes { n: 12, ..Shapes::new() }).unwrap();
        let many = shapes(&Shapes { n: 1_000_000_000, ..Shapes::new() }).unwrap();
        for i in [11, 3, 7] {
            assert_eq!(few.get(i).unwrap(), many.get(i).unwrap());
        }
        let (item, image) = (many.item(999_999_999).unwrap(), many.get(999_999_999).unwrap());
        assert_eq!((item.label.as_deref(), &item.attributes), (image.label(), image.attributes()));
        assert_ne!(few.get(0).unwrap(), few.get(1).unwrap());
    }

    #[test]
    fn label_mask_box_parts_and_attributes_agree() {
        let options = Shapes { n: 1000, ..Shapes::new() };
        let data = shapes(&options).unwrap();
        let mut counts = BTreeMap::<String, usize>::new();
        for image in data.iter() {
            let image = image.unwrap();
            *counts.entry(image.label().unwrap().to_string()).or_default() += 1;
            let (b, mask) = (image.bounding_box().unwrap(), image.mask().unwrap());
            assert_eq!(mask.bounds(), Some(b));
            let (x, y, scale) = (number(&image, "x"), number(&image, "y"), number(&image, "scale"));
            assert!((b.left as f64..(b.left + b.width) as f64).contains(&x), "{x} in {b}");
            assert!((b.top as f64..(b.top + b.height) as f64).contains(&y), "{y} in {b}");
            assert!(b.left >= 1 && b.top >= 1 && b.left + b.width < SIDE && b.top + b.height < SIDE, "{b}");
            let diameter = scale * SIDE as f64;
            let longest = b.width.max(b.height) as f64;
            assert!(longest <= diameter + 1.0 && longest >= 0.7 * diameter - 1.0, "{b} of {diameter}");
            let ranges = [("scale", options.scale), ("rotation", options.rotation), ("contrast", options.contrast)];
            for (name, range) in ranges.into_iter().chain([("clutter", options.clutter)]) {
                assert!((range.low..=range.high).contains(&number(&image, name)), "{name}");
            }
            for (name, (px, py)) in image.keypoints() {
                let reach = ((px - x) * (px - x) + (py - y) * (py - y)).sqrt();
                assert!(reach <= diameter / 2.0 + 1e-9, "{name} of {image:?}");
            }
            assert_eq!(image.keypoints()["centre"], (x, y));
        }
        assert_eq!(counts.len(), 10);
        assert!(counts.values().all(|n| *n == 100));
        assert_eq!(data.labels(), counts.into_keys().collect::<Vec<_>>());
        assert_eq!(data.attribute_names().len(), 10);
    }

    #[test]
    fn the_shape_s_colour_differs_from_the_ground_s_by_the_contrast() {
        let options = Shapes { n: 30, ..Shapes::new() };
        for image in shapes(&options).unwrap().iter() {
            let image = image.unwrap();
            let luma = |name: &str| {
                let Attribute::Text(colour) = &image.attributes()[name] else { panic!("{name}") };
                let part = |at: usize| f64::from(u8::from_str_radix(&colour[at..at + 2], 16).unwrap()) / 255.0;
                0.299 * part(1) + 0.587 * part(3) + 0.114 * part(5)
            };
            let contrast = (luma("shape_colour") - luma("ground_colour")).abs();
            assert!((contrast - number(&image, "contrast")).abs() < 0.01, "{contrast}");
        }
    }

    #[test]
    fn an_option_changes_its_property_and_nothing_else() {
        let plain = Shapes { n: 20, rotation: 0.0.into(), clutter: 0.0.into(), ..Shapes::new() };
        let upright = shapes(&plain).unwrap();
        let turned = shapes(&Shapes { rotation: 30.0.into(), ..plain.clone() }).unwrap();
        let striped = shapes(&Shapes { texture: vec![Texture::Stripes], ..plain }).unwrap();
        for i in 0..20 {
            let [a, b, c] = [&upright, &turned, &striped].map(|d| d.get(i).unwrap());
            assert_eq!((a.label(), a.mask()), (c.label(), c.mask()));
            for (name, value) in a.attributes() {
                assert!(name == "rotation" || b.attributes()[name] == *value, "{name}");
                assert!(name == "texture" || c.attributes()[name] == *value, "{name}");
            }
            // Outside the circle around the shape nothing moves.
            let (x, y, r) = (number(&a, "x"), number(&a, "y"), 32.0 * number(&a, "scale") + 1.0);
            for (k, (p, q)) in a.pixels().chunks(3).zip(b.pixels().chunks(3)).enumerate() {
                let (dx, dy) = ((k % SIDE) as f64 + 0.5 - x, (k / SIDE) as f64 + 0.5 - y);
                assert!(p == q || dx * dx + dy * dy < r * r);
            }
        }
    }

    #[test]
    fn parts_turn_with_the_shape_counter_clockwise() {
        let arrows = |rotation: f64| {
            let fixed = Shapes { n: 1, classes: vec![ShapeClass::Arrow], scale: 0.5.into(), ..Shapes::new() };
            let at = Shapes { x: 32.0.into(), y: 32.0.into(), rotation: rotation.into(), ..fixed };
            shapes(&at).unwrap().get(0).unwrap()
        };
        let (tip, turned) = (arrows(0.0).keypoints()["tip"], arrows(90.0).keypoints()["tip"]);
        assert_eq!(tip, (32.0, 16.0));
        assert!((turned.0 - 16.0).abs() < 1e-9 && (turned.1 - 32.0).abs() < 1e-9, "{turned:?}");
        let (a, b) = (arrows(0.0).rotate(90.0).unwrap(), arrows(90.0));
        let same = a.mask().unwrap().values.iter().zip(&b.mask().unwrap().values).filter(|(a, b)| a == b).count();
        assert!(same > 4096 - 20, "{same}");
    }

    #[test]
    fn options_out_of_range_are_errors() {
        let error = |options: Shapes| shapes(&options).unwrap_err().message;
        let message = error(Shapes { scale: Span::new(0.5, 2.0), ..Shapes::new() });
        assert_eq!(message, "option `scale` of `shapes` must be a number or [low, high] in 0.05..=0.95, got [0.5,2.0]");
        assert!(error(Shapes { contrast: f64::NAN.into(), ..Shapes::new() }).contains("contrast"));
        assert!(error(Shapes { clutter: Span::new(0.5, 0.2), ..Shapes::new() }).contains("clutter"));
        assert!(error(Shapes { classes: Vec::new(), ..Shapes::new() }).contains("names nothing"));
    }

    #[test]
    fn scripts_set_options_by_name() {
        use crate::params::{Params, Value};
        let mut options = Shapes::new();
        options.set("scale", &Value::Float(0.5)).unwrap();
        options.set("contrast", &Value::List(vec![Value::Float(0.1), Value::Int(0)])).unwrap();
        options.set("classes", &Value::List(vec![Value::Text("ring".into())])).unwrap();
        assert_eq!((options.scale, options.contrast), (Span::new(0.5, 0.5), Span::new(0.1, 0.0)));
        assert_eq!(options.classes, [ShapeClass::Ring]);
        let error = options.set("texture", &Value::List(vec![Value::Text("stripe".into())])).unwrap_err();
        assert_eq!(error.hint.unwrap(), "did you mean `stripes`?");
        assert!(options.set("x", &Value::Text("left".into())).is_err());
    }
}
