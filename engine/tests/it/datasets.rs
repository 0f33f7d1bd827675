//! Data sets as others write them: COCO, VOC, CIFAR-10, IDX, plain JSON, tables with boxes.
#![allow(clippy::unwrap_used)]

use convscope_engine::data::{Attribute, Image, PixelBox, load_images};
use std::path::Path;

fn picture(path: &Path, shade: u8) {
    std::fs::create_dir_all(path.parent().unwrap()).unwrap();
    Image::filled(20, 10, [shade; 3]).unwrap().save_png(path).unwrap();
}

#[test]
fn coco_s_largest_object_is_the_image_s() {
    let root = tempfile::tempdir().unwrap();
    picture(&root.path().join("val2017/1.png"), 7);
    picture(&root.path().join("val2017/2.png"), 8);
    let text = r#"{
      "images": [{"id": 5, "file_name": "1.png", "width": 20, "height": 10}, {"id": 6, "file_name": "2.png"}],
      "categories": [{"id": 1, "name": "person", "keypoints": ["nose", "hip"]}, {"id": 2, "name": "cup"}],
      "annotations": [
        {"image_id": 5, "category_id": 2, "bbox": [0, 0, 2, 2]},
        {"image_id": 5, "category_id": 1, "bbox": [4, 2, 10, 5], "keypoints": [6, 3, 2, 0, 0, 0],
         "segmentation": [[4, 2, 14, 2, 14, 7, 4, 7]]}
      ]}"#;
    let path = root.path().join("annotations/instances.json");
    std::fs::create_dir_all(path.parent().unwrap()).unwrap();
    std::fs::write(&path, text).unwrap();
    let data = load_images(&path).unwrap();
    let image = data.get(0).unwrap();
    assert_eq!((image.label(), image.bounding_box()), (Some("person"), Some(PixelBox::new(4, 2, 10, 5))));
    assert_eq!(image.keypoints().iter().collect::<Vec<_>>(), [(&"nose".to_string(), &(6.5, 3.5))]);
    assert_eq!(image.mask().unwrap().values.iter().filter(|v| **v > 0).count(), 50);
    assert_eq!(image.attributes()["objects"], Attribute::Number(2.0));
    assert_eq!(image.attributes()["area"], Attribute::Number(0.25));
    assert_eq!(data.get(1).unwrap().label(), None);
    std::fs::write(&path, "{\"a\": 1}").unwrap();
    assert!(load_images(&path).unwrap_err().message.contains("neither a list of images nor COCO"));
}

#[test]
fn coco_s_run_lengths_are_the_masks_that_its_tools_packed() {
    let root = tempfile::tempdir().unwrap();
    picture(&root.path().join("1.png"), 7);
    let path = root.path().join("crowd.json");
    // pycocotools 2.0.11, encode: an ellipse of axes 5 and 3 about (12, 4) and the two corners.
    let write = |counts: &str, width: usize| {
        let text = format!(
            r#"{{"images": [{{"id": 1, "file_name": "1.png"}}], "categories": [{{"id": 1, "name": "person"}}], "annotations":
            [{{"image_id": 1, "category_id": 1, "iscrowd": 1, "segmentation": {{"size": [10, {width}], "counts": {counts}}}}}]}}"#
        );
        std::fs::write(&path, text).unwrap();
    };
    let ellipse = |x: usize, y: usize| {
        let (dx, dy) = (x as f64 - 12.0, y as f64 - 4.0);
        dx * dx / 25.0 + dy * dy / 9.0 <= 1.0 || (x, y) == (0, 0) || (x, y) == (19, 9)
    };
    write("\"01Y20oM2N2O000O20N10001N2N`00\"", 20);
    let packed = load_images(&path).unwrap().get(0).unwrap();
    for (i, v) in packed.mask().unwrap().values.iter().enumerate() {
        assert_eq!(*v == 255, ellipse(i % 20, i / 20), "{} {}", i % 20, i / 20);
    }
    assert_eq!(packed.bounding_box(), Some(PixelBox::new(0, 0, 20, 10)));
    write("[0, 1, 198, 1]", 20);
    let listed = load_images(&path).unwrap().get(0).unwrap();
    assert_eq!(listed.mask().unwrap().values.iter().filter(|v| **v > 0).count(), 2);
    write("[7]", 20);
    let message = load_images(&path).unwrap_err().message;
    assert!(message.contains("1.png") && message.contains("hold 7 pixels"), "{message}");
    write("[90]", 9);
    let message = load_images(&path).unwrap().get(0).unwrap_err().message;
    assert!(message.contains("9 x 10 for an image of 20 x 10"), "{message}");
}

#[test]
fn a_plain_list_tells_label_box_mask_points_and_attributes() {
    let root = tempfile::tempdir().unwrap();
    picture(&root.path().join("a.png"), 7);
    let mut mask = vec![0u8; 3 * 200];
    mask[3 * 45..3 * 48].fill(255);
    Image::new(20, 10, mask).unwrap().save_png(root.path().join("m.png")).unwrap();
    let path = root.path().join("set.json");
    let text = r#"[{"path": "a.png", "label": "cat", "mask": "m.png", "keypoints": {"ear": [3, 4.5]},
        "attributes": {"age": 3}, "colour": "red"}]"#;
    std::fs::write(&path, text).unwrap();
    let image = load_images(&path).unwrap().get(0).unwrap();
    assert_eq!((image.label(), image.keypoints()["ear"]), (Some("cat"), (3.0, 4.5)));
    assert_eq!(image.bounding_box(), Some(PixelBox::new(5, 2, 3, 1)));
    assert_eq!(image.attributes()["age"], Attribute::Number(3.0));
    assert_eq!(image.attributes()["colour"], Attribute::Text("red".into()));
    std::fs::write(&path, r#"[{"label": "cat"}]"#).unwrap();
    let message = load_images(&path).unwrap_err().message;
    assert!(message.contains("set.json") && message.contains("entry 0") && message.contains("no `path`"), "{message}");
}

#[test]
fn a_table_s_boxes_and_points_follow_the_image() {
    let root = tempfile::tempdir().unwrap();
    picture(&root.path().join("a.png"), 7);
    let path = root.path().join("set.csv");
    std::fs::write(&path, "path,box,keypoints,size\na.png,2 3 4 5,tip 3 4; left 5 6,1\n").unwrap();
    let image = load_images(&path).unwrap().get(0).unwrap();
    assert_eq!(image.bounding_box(), Some(PixelBox::new(2, 3, 4, 5)));
    assert_eq!(image.keypoints().len(), 2);
    assert_eq!(image.attributes().len(), 1);
    std::fs::write(&path, "path,box\na.png,2 3 4\n").unwrap();
    let message = load_images(&path).unwrap_err().message;
    assert!(message.contains("row 1") && message.contains("no box"), "{message}");
}

#[test]
fn voc_s_annotations_are_read_from_their_folder() {
    let root = tempfile::tempdir().unwrap();
    picture(&root.path().join("JPEGImages/x.png"), 7);
    let path = root.path().join("Annotations/x.xml");
    std::fs::create_dir_all(path.parent().unwrap()).unwrap();
    let object = |name: &str, right: usize| {
        format!(
            "<object><name>{name}</name><truncated>1</truncated><bndbox><xmin>3</xmin><ymin>2</ymin><xmax>{right}</xmax><ymax>6</ymax></bndbox></object>"
        )
    };
    let text = format!("<annotation><filename>x.png</filename>{}{}</annotation>", object("dog", 5), object("cat", 12));
    std::fs::write(&path, text).unwrap();
    for from in [path.clone(), path.parent().unwrap().to_path_buf()] {
        let image = load_images(&from).unwrap().get(0).unwrap();
        assert_eq!((image.label(), image.bounding_box()), (Some("cat"), Some(PixelBox::new(2, 1, 10, 5))));
        assert_eq!(image.attributes()["truncated"], Attribute::Number(1.0));
        assert_eq!(image.attributes()["objects"], Attribute::Number(2.0));
    }
    std::fs::write(&path, "<annotation>").unwrap();
    assert!(load_images(&path).unwrap_err().message.contains("damaged XML"));
}

#[test]
fn cifar_s_batches_are_read_where_an_image_is_asked_for() {
    let root = tempfile::tempdir().unwrap();
    for (batch, class) in [(1u8, 3u8), (2, 9)] {
        let mut bytes = vec![class];
        bytes.extend((0..3072).map(|i| if i < 1024 { 10 } else { batch }));
        bytes.extend([0].into_iter().chain(std::iter::repeat_n(200, 3072)));
        std::fs::write(root.path().join(format!("data_batch_{batch}.bin")), bytes).unwrap();
    }
    let data = load_images(root.path()).unwrap();
    assert_eq!((data.len(), data.labels()), (4, vec!["airplane".to_string(), "cat".into(), "truck".into()]));
    let image = data.get(2).unwrap();
    assert_eq!((image.label(), image.pixel(31, 31), image.width()), (Some("truck"), Some([10, 2, 2]), 32));
    let one = load_images(root.path().join("data_batch_1.bin")).unwrap();
    assert_eq!((one.len(), one.get(1).unwrap().pixel(0, 0)), (2, Some([200; 3])));
    std::fs::write(root.path().join("data_batch_1.bin"), [0; 100]).unwrap();
    assert!(load_images(root.path()).unwrap_err().message.contains("neither IDX nor CIFAR-10"));
}

#[test]
fn idx_images_find_their_labels_gzipped_or_not() {
    use std::io::Write as _;
    let root = tempfile::tempdir().unwrap();
    let mut images = vec![0, 0, 8, 3, 0, 0, 0, 2, 0, 0, 0, 3, 0, 0, 0, 4];
    images.extend(0..24u8);
    let labels = [0, 0, 8, 1, 0, 0, 0, 2, 7, 5];
    let (plain, packed) = (root.path().join("t10k-images-idx3-ubyte"), root.path().join("train-images-idx3-ubyte.gz"));
    std::fs::write(&plain, &images).unwrap();
    std::fs::write(root.path().join("t10k-labels-idx1-ubyte"), labels).unwrap();
    let gz = |path: &Path, bytes: &[u8]| {
        let mut out = flate2::write::GzEncoder::new(std::fs::File::create(path).unwrap(), flate2::Compression::fast());
        out.write_all(bytes).unwrap();
        out.finish().unwrap();
    };
    gz(&packed, &images);
    gz(&root.path().join("train-labels-idx1-ubyte.gz"), &labels);
    for path in [&plain, &packed] {
        let data = load_images(path).unwrap();
        let image = data.get(1).unwrap();
        assert_eq!((data.len(), image.width(), image.height(), image.label()), (2, 4, 3, Some("5")));
        assert_eq!(image.pixel(1, 2), Some([21; 3]));
    }
    std::fs::write(&plain, &images[..20]).unwrap();
    assert!(load_images(&plain).unwrap_err().message.contains("ends too early"));
}

/// Photos as telephones take them: none is left out in silence.
#[test]
fn photos_of_formats_that_are_not_read_are_counted_and_named() {
    let folder = tempfile::tempdir().unwrap();
    let seen = Image::filled(8, 8, [9, 9, 9]).unwrap();
    seen.save_png(folder.path().join("a.png")).unwrap();
    std::fs::write(folder.path().join("b.heic"), [&b"\0\0\0\x18ftypheic"[..], &[0; 40]].concat()).unwrap();
    let data = load_images(folder.path()).unwrap();
    assert_eq!(data.len(), 2);
    let refused = data.get(1).unwrap_err();
    assert!(refused.message.contains("b.heic`: a HEIC photo, which is not read"), "{refused}");
    assert!(refused.hint.as_deref().is_some_and(|h| h.contains("PNG or JPEG")), "{refused:?}");
}
