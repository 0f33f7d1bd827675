//! Artifacts as figures, pages and files: colours mean what the scale says, nothing breaks on odd input, and no text
//! becomes markup.
#![allow(clippy::unwrap_used)]

use candle_core::{DType, Device, Tensor};
use convscope_engine::data::{Image, Placement, Size};
use convscope_engine::show::colour::{NAN, diverging, sequential};
use convscope_engine::show::figure::page;
use convscope_engine::show::scene::{Scene, SceneItem};
use convscope_engine::show::{
    Artifact, ClassMap, Grid, Look, Map, Mark, Part, Pictures, Plot, Saved, Scale, Series, Style, Table, TextStyle,
    Tile, alt, draw, of_image, of_table, of_tensor, png, save, to_html, to_pdf, to_svg, to_text,
};

const OPEN: Scale = Scale::Sequential { low: Some(0.0), high: None };
const SIGNED: Scale = Scale::Diverging { bound: None };

fn tensor(values: &[f32], dims: &[usize]) -> Tensor {
    Tensor::from_slice(values, dims, &Device::Cpu).unwrap()
}

fn map(values: Tensor, scale: Scale) -> Map {
    Map {
        title: "a map".into(),
        input: [values.dim(0).unwrap_or(1), values.dim(1).unwrap_or(1)],
        values,
        label: "value".into(),
        scale,
        photo: None,
        placement: None,
        extent: None,
        style: Style::Alone,
    }
}

fn grid(tiles: Vec<Tile>, scale: Scale) -> Part {
    Part::Grid(Grid { title: "tiles".into(), tiles, columns: None, label: "value".into(), scale })
}

fn tile(caption: &str, values: Tensor) -> Tile {
    Tile { caption: caption.into(), values }
}

fn drawn(part: Part) -> Image {
    Image::decode(&png(&Artifact::new("title").part(part)).unwrap()).unwrap()
}

fn count(image: &Image, colour: [u8; 3]) -> usize {
    image.pixels().chunks_exact(3).filter(|p| *p == colour).count()
}

fn plot(series: Vec<Series>, categories: Vec<String>) -> Part {
    let (title, x_label, y_label) = ("a plot".to_string(), "x".to_string(), "y".to_string());
    Part::Plot(Plot { title, x_label, y_label, categories, series })
}

fn series(x: Vec<f64>, y: Vec<f64>, mark: Mark) -> Series {
    Series { name: "s".into(), x, y, bars: Vec::new(), mark }
}

#[test]
fn the_largest_value_has_the_top_colour_and_the_rest_of_the_page_is_white() {
    let image = drawn(Part::Map(map(tensor(&[0.0, 1.0, 2.0, 4.0], &[2, 2]), OPEN)));
    assert!(image.width() > 300 && image.height() > 300);
    assert_eq!(image.pixel(0, 0), Some([255; 3]));
    for place in [0.0, 0.25, 0.5, 1.0] {
        assert!(count(&image, sequential(place)) > 5_000, "{place}");
    }
    let signed = drawn(Part::Map(map(tensor(&[-1.0, 0.0, 0.0, 2.0], &[2, 2]), SIGNED)));
    assert!(count(&signed, diverging(1.0)) > 10_000 && count(&signed, diverging(0.25)) > 10_000);
}

#[test]
fn tiles_share_one_scale_so_that_a_dead_one_stays_dark() {
    let tiles = vec![tile("dead", tensor(&[0.0; 9], &[3, 3])), tile("live", tensor(&[8.0; 9], &[3, 3]))];
    let image = drawn(grid(tiles, OPEN));
    let (dead, live) = (count(&image, sequential(0.0)), count(&image, sequential(1.0)));
    assert!(dead > 10_000 && live > 10_000 && dead.abs_diff(live) < dead / 20, "{dead} {live}");
    let colour = drawn(grid(vec![tile("zero", tensor(&[0.0; 27], &[3, 3, 3]))], SIGNED));
    assert!(count(&colour, [128; 3]) > 10_000);
}

#[test]
fn what_is_not_a_number_is_hatched_and_said() {
    let artifact = Artifact::new("n").part(Part::Map(map(tensor(&[f32::NAN, 1.0], &[1, 2]), OPEN)));
    assert!(count(&Image::decode(&png(&artifact).unwrap()).unwrap(), NAN) > 1000);
    assert!(to_svg(&artifact).unwrap().contains("1 of 2 values are not a number"));
    let none = map(tensor(&[f32::NAN; 4], &[2, 2]), SIGNED);
    drawn(Part::Map(none));
}

#[test]
fn a_map_lies_on_the_photo_with_the_crop_undone() {
    let photo = Image::filled(300, 100, [0, 0, 255]).unwrap();
    let input = Size { height: 50, width: 50 };
    let placement = Placement { left: 100.0, top: 0.0, width: 100.0, height: 100.0, input };
    let (photo, placement) = (Some(photo), Some(placement));
    let values = tensor(&[1.0; 4], &[2, 2]);
    let artifact = Artifact::new("t").part(Part::Map(Map { photo, placement, input: [50, 50], ..map(values, OPEN) }));
    let image = Image::decode(&png(&artifact).unwrap()).unwrap();
    let row: Vec<[u8; 3]> = (0..image.width()).filter_map(|x| image.pixel(x, 250)).collect();
    let blue = row.iter().filter(|p| **p == [0, 0, 255]).count();
    let (first, last) =
        (row.iter().position(|p| *p == sequential(1.0)), row.iter().rposition(|p| *p == sequential(1.0)));
    let top = row[first.unwrap()..=last.unwrap()].iter().filter(|p| **p == sequential(1.0)).count();
    assert!((blue as f64 / top as f64 - 3.0).abs() < 0.25, "{blue} {top}");
    assert!(to_svg(&artifact).unwrap().contains("the net saw the part inside the frame"));
}

#[test]
fn extreme_values_are_clipped_for_the_eye_only() {
    let mut values: Vec<f32> = (0..2500).map(|i| i as f32 / 2500.0).collect();
    values[7] = 1000.0;
    let artifact = Artifact::new("t")
        .part(Part::Map(map(tensor(&values, &[50, 50]), OPEN)))
        .array("raw", tensor(&values, &[50, 50]));
    let text = to_svg(&artifact).unwrap();
    assert!(text.contains("colours end at the 99.5 % quantile") && text.contains("the largest value is 1000"));
    assert_eq!(artifact.value().unwrap().flatten_all().unwrap().max(0).unwrap().to_scalar::<f32>().unwrap(), 1000.0);
}

#[test]
fn odd_values_neither_break_a_renderer_nor_go_unsaid() {
    let long = "a caption that goes on ".repeat(40);
    let photo = Image::filled(1, 1, [9; 3]).unwrap();
    let far = Placement { left: -1e9, top: 5e8, width: 1.0, height: 0.5, input: Size { height: 1, width: 1 } };
    let classes = ClassMap {
        title: "漢字 \u{1F600} é".into(),
        values: tensor(&[0.0, 5.0, f32::NAN, 99.0], &[2, 2]),
        names: (0..30).map(|i| (i, format!("class {i} {long}"))).collect(),
        photo: Some(photo.clone()),
        placement: Some(far),
        extent: Some([f64::NAN, 0.0, 0.0, -1.0]),
        input: [0, 0],
    };
    let tiles = (0..1000).map(|i| tile(&format!("channel {i}"), tensor(&[i as f32; 4], &[2, 2]))).collect();
    let nan = f64::NAN;
    let wild = vec![nan, f64::INFINITY, -1e300, 1e300, 0.0];
    let parts = vec![
        Part::Map(map(tensor(&[3.0], &[1, 1]), Scale::Sequential { low: None, high: None })),
        Part::Map(map(tensor(&[-3.0; 6], &[2, 3]), OPEN)),
        Part::Map(map(tensor(&[f32::INFINITY, f32::NEG_INFINITY, 0.0], &[3, 1]), SIGNED)),
        Part::Map(map(Tensor::zeros((1, 4000), DType::F32, &Device::Cpu).unwrap(), SIGNED)),
        Part::Map(Map { photo: Some(photo.clone()), placement: Some(far), ..map(tensor(&[1.0], &[1, 1]), OPEN) }),
        Part::ClassMap(classes),
        grid(tiles, OPEN),
        grid(Vec::new(), OPEN),
        grid(vec![tile(&long, tensor(&[1.0], &[1, 1])), tile("", tensor(&[0.0; 5000], &[1, 5000]))], SIGNED),
        Part::Pictures(Pictures { title: long.clone(), images: Vec::new(), columns: Some(0) }),
        Part::Pictures(Pictures { title: "p".into(), images: vec![(photo, long.clone())], columns: Some(0) }),
        Part::Table("empty".into(), Table::default()),
        Part::Table("no rows".into(), Table::new([long.as_str(), "b"])),
        Part::Table("wide".into(), Table::new((0..200).map(|i| i.to_string()))),
        plot(Vec::new(), Vec::new()),
        plot(vec![series(vec![1.0], vec![nan], Mark::Line)], vec![long.clone()]),
        plot(vec![series(wild.clone(), wild.clone(), Mark::Line), series(wild.clone(), wild, Mark::Bar)], Vec::new()),
        plot(vec![series(vec![0.0, 7.0], vec![1.0], Mark::Bar)], vec!["only one".into()]),
        plot(vec![series(vec![2.0], vec![5.0], Mark::Point)], Vec::new()),
        Part::Text(String::new()),
        Part::Figure(Vec::new(), 0),
        Part::Figure(vec![Artifact::default(), Artifact::new(long.clone())], 99),
    ];
    for part in parts {
        let artifact = Artifact::new(long.clone()).part(part.clone()).note(long.clone());
        let image = Image::decode(&png(&artifact).unwrap_or_else(|e| panic!("{part:?}: {e}"))).unwrap();
        assert!(image.width() > 100 && image.width() < 5000, "{part:?}");
        let svg = to_svg(&artifact).unwrap();
        assert!(!svg.contains("NaN") && !svg.contains("=\"inf"), "{part:?}");
        to_html(&artifact).unwrap();
        for colour in [false, true] {
            assert!(!to_text(&artifact, &TextStyle { colour, width: 40 }).is_empty());
        }
    }
    let cube = Part::Map(map(tensor(&[0.0; 8], &[2, 2, 2]), OPEN));
    let error = png(&Artifact::new("t").part(cube)).unwrap_err();
    assert_eq!(error.message, "a tensor of [2, 2, 2] is no map of rows and columns");
    assert!(png(&Artifact::new("t").part(grid(vec![tile("x", tensor(&[0.0; 8], &[2, 2, 2]))], OPEN))).is_err());
}

#[test]
fn no_text_becomes_markup() {
    let bad = "<script>alert(1)</script>\"'&<img src=x>";
    let mut table = Table::new([bad]);
    table.push([bad.into()]);
    let photo = Image::filled(4, 4, [1; 3]).unwrap();
    let mut artifact = Artifact::new(bad)
        .part(Part::Map(Map { title: bad.into(), label: bad.into(), ..map(tensor(&[1.0], &[1, 1]), OPEN) }))
        .part(Part::Table(bad.into(), table.clone()))
        .part(Part::Text(bad.into()))
        .part(Part::Pictures(Pictures { title: bad.into(), images: vec![(photo, bad.into())], columns: None }))
        .part(grid(vec![tile(bad, tensor(&[1.0], &[1, 1]))], OPEN))
        .array(bad, tensor(&[1.0], &[1]))
        .note(bad);
    artifact = artifact.clone().part(Part::Figure(vec![artifact], 1));
    for page in [to_html(&artifact).unwrap(), to_svg(&artifact).unwrap(), to_html(&of_table(&table)).unwrap()] {
        assert!(!page.contains("<script") && !page.contains("<img src=x") && page.contains("&lt;script&gt;"));
    }
}

#[test]
fn the_same_artifact_is_the_same_bytes() {
    let artifact = of_tensor(&tensor(&[0.5, -1.0, 2.0, 0.0].repeat(60), &[15, 16])).unwrap();
    assert_eq!(png(&artifact).unwrap(), png(&artifact).unwrap());
}

#[test]
fn every_extension_holds_what_it_says() {
    let folder = tempfile::tempdir().unwrap();
    let path = |name: &str| folder.path().join("a/b").join(name);
    let mut table = Table::new(["x", "y"]);
    table.push(["é,\"".into(), 0.1.into()]);
    let values = tensor(&[0.1, f32::NAN, -2.0, 3.0], &[1, 1, 2, 2]);
    let artifact = Artifact::new("t")
        .part(Part::Table("numbers".into(), table.clone()))
        .array("z", values.clone())
        .array("a", tensor(&[1.0], &[1]));
    let whole = Saved::Artifact(&artifact);
    for extension in ["png", "svg", "pdf", "html", "npy", "csv", "json", "safetensors", "PNG"] {
        save(&whole, &path(&format!("x.{extension}"))).unwrap();
    }
    let read = |name: &str| std::fs::read_to_string(path(name)).unwrap();
    let back = convscope_engine::data::load_tensor(path("x.npy")).unwrap();
    assert_eq!(back.dims(), [1, 2, 2]);
    assert_eq!(back.flatten_all().unwrap().get(0).unwrap().to_scalar::<f32>().unwrap(), 0.1);
    assert_eq!(read("x.csv"), "x,y\n\"é,\"\"\",0.1\n");
    let json: serde_json::Value = serde_json::from_str(&read("x.json")).unwrap();
    assert_eq!(json["data"]["z"], serde_json::json!({"shape": [1, 1, 2, 2], "values": [[[[0.1, null], [-2.0, 3.0]]]]}));
    assert_eq!(json["tables"][0]["rows"][0][1], 0.1);
    let bytes = std::fs::read(path("x.safetensors")).unwrap();
    let arrays = safetensors::SafeTensors::deserialize(&bytes).unwrap();
    assert_eq!(arrays.tensor("z").unwrap().shape(), [1, 1, 2, 2]);
    assert_eq!(arrays.names().len(), 2);
    let page = read("x.html");
    assert!(page.contains("Content-Security-Policy") && !page.contains("src=\"http"));

    save(&Saved::Tensor(&tensor(&[1.0, 2.5], &[1, 2])), &path("t.csv")).unwrap();
    assert_eq!(read("t.csv"), "0,1\n1,2.5\n");
    let photo = Image::filled(3, 2, [1, 2, 3]).unwrap();
    save(&Saved::Image(&photo), &path("i.png")).unwrap();
    assert_eq!(Image::open(path("i.png")).unwrap(), photo);
    png(&of_image(&photo)).unwrap();
    save(&Saved::Table(&table), &path("t.json")).unwrap();
}

#[test]
fn what_cannot_be_saved_says_what_can() {
    let folder = tempfile::tempdir().unwrap();
    let path = |name: &str| folder.path().join("made").join(name);
    let photo = Image::filled(3, 2, [1, 2, 3]).unwrap();
    let (table, bare) = (Table::new(["x"]), Artifact::new("bare"));
    let cube = tensor(&[0.0; 8], &[2, 2, 2]);
    let cases = [
        (Saved::Table(&table), "t.npy", "a table is no array", ".csv"),
        (Saved::Table(&table), "t.safetensors", "a table is no array", ".csv"),
        (Saved::Image(&photo), "i.npy", "an image is no array", ".png"),
        (Saved::Image(&photo), "i.json", "no JSON form", ".png"),
        (Saved::Image(&photo), "i.csv", "an image is no table", ".png"),
        (Saved::Tensor(&cube), "c.csv", "[2, 2, 2]", ".npy"),
        (Saved::Artifact(&bare), "b.npy", "holds no array", ".png"),
        (Saved::Artifact(&bare), "b.safetensors", "holds no array", ".png"),
        (Saved::Artifact(&bare), "b.csv", "neither a table nor an array", ".json"),
        (Saved::Artifact(&bare), "b.gif", "`.gif`", ".png"),
        (Saved::Artifact(&bare), "b", "no extension", ".npy"),
    ];
    for (what, name, says, hint) in cases {
        let error = save(&what, &path(name)).unwrap_err();
        assert!(error.message.contains(says), "{name}: {error}");
        assert!(error.hint.as_deref().unwrap_or("").contains(hint), "{name}: {:?}", error.hint);
    }
    assert!(!folder.path().join("made").exists());
}

fn photo() -> Image {
    let pixels = (0..40 * 40).flat_map(|i| [(i % 40) as u8 * 6, (i / 40) as u8 * 6, 90]).collect();
    Image::new(40, 40, pixels).unwrap()
}

/// A map of one cell that counts, over a photo.
fn spot(title: &str) -> Part {
    let mut values = vec![0.0; 64];
    values[9] = 2.0;
    let base = map(tensor(&values, &[8, 8]), OPEN);
    Part::Map(Map { title: title.into(), photo: Some(photo()), input: [40, 40], style: Style::Overlay, ..base })
}

fn pictures(scene: &Scene) -> Vec<&Image> {
    scene.items.iter().filter_map(|i| if let SceneItem::Picture(_, image) = i { Some(image) } else { None }).collect()
}

#[test]
fn an_overlay_leaves_the_photo_as_it_is_where_the_map_is_zero() {
    let scene = page(&Artifact::new("t").part(spot("one"))).unwrap();
    let all = pictures(&scene);
    let [shown, _, overlay, _] = all[..] else { panic!("{} pictures", all.len()) };
    let (w, h) = (overlay.width(), overlay.height());
    let changed = |x: usize, y: usize| shown.pixel(x, y) != overlay.pixel(x, y);
    assert!(changed(w * 3 / 16, h * 3 / 16), "the spot is not seen");
    for (x, y) in [(w / 2, h / 2), (w - 1, 0), (0, h - 1), (w * 3 / 4, h / 4)] {
        assert!(!changed(x, y), "{x} {y} is tinted");
    }
}

#[test]
fn maps_of_one_photo_show_it_once() {
    let alone = pictures(&page(&Artifact::new("t").part(spot("one"))).unwrap()).len();
    let both = Artifact::new("t").part(spot("one")).part(spot("two"));
    assert_eq!(pictures(&page(&both).unwrap()).len(), 2 * alone - 1);
}

#[test]
fn contours_lie_at_half_of_the_strongest_value() {
    let lines = |look: Look| {
        let scene = page(&Artifact::new("t").part(spot("one")).with_look(look)).unwrap();
        scene.items.iter().filter(|i| matches!(i, SceneItem::Line(_, [255, 255, 255], ..))).count()
    };
    assert_eq!(lines(Look::default()), 0);
    assert!(lines(Look { contours: true, ..Look::default() }) > 8);
}

#[test]
fn a_look_changes_page_and_letters_and_nothing_that_is_drawn() {
    let artifact = Artifact::new("a title").part(Part::Map(map(tensor(&[0.0, 1.0, 2.0, 4.0], &[2, 2]), OPEN)));
    let of = |name: &str| artifact.clone().with_look(Look::named(name).unwrap());
    let (light, dark) = (draw(&of("light")).unwrap().page, draw(&of("dark")).unwrap().page);
    assert_eq!((light.width(), light.height()), (dark.width(), dark.height()));
    assert_eq!((light.pixel(0, 0), dark.pixel(0, 0)), (Some([255; 3]), Some([23, 24, 28])));
    for place in [0.25, 0.5, 1.0] {
        assert_eq!(count(&light, sequential(place)), count(&dark, sequential(place)));
    }
    let clear = image::load_from_memory(&png(&of("transparent")).unwrap()).unwrap().to_rgba8();
    assert_eq!(clear.get_pixel(0, 0).0[3], 0);
    assert!(
        clear.pixels().filter(|p| p.0 == [sequential(1.0)[0], sequential(1.0)[1], sequential(1.0)[2], 255]).count()
            > 1000
    );
    let error = Look::named("sepia").unwrap_err();
    assert!(error.message.contains("sepia") && error.hint.unwrap().contains("\"column\""));
    assert!(Look::default().wide(20.0).is_err());
}

#[test]
fn a_paper_has_its_columns_width_and_neither_title_nor_notes() {
    let bars = series(vec![0.0, 1.0, 2.0], vec![1.0, 2.0, 3.0], Mark::Bar);
    let artifact =
        Artifact::new("the title").part(plot(vec![bars], vec!["a".into(), "b".into(), "c".into()])).note("a note");
    for (name, inches) in [("column", 3.25), ("page", 6.75)] {
        let artifact = artifact.clone().with_look(Look::named(name).unwrap());
        assert_eq!(page(&artifact).unwrap().width, inches * 96.0);
        let svg = to_svg(&artifact).unwrap();
        assert!(svg.contains("serif") && !svg.contains(">the title</text>") && !svg.contains("a note<"), "{svg}");
        let pdf = to_pdf(&artifact).unwrap();
        let text = String::from_utf8_lossy(&pdf);
        let (width, end) = (inches * 72.0, text.rfind("startxref").unwrap());
        assert!(text.starts_with("%PDF-1.") && text.contains(&format!("/MediaBox [0 0 {width} ")), "{text}");
        // The table of objects lies where the file's end says.
        let at: usize = text[end + 9..].split_whitespace().next().unwrap().parse().unwrap();
        assert!(pdf[at..].starts_with(b"xref"));
    }
}

#[test]
fn pictures_on_a_page_follow_its_theme_fit_small_screens_and_say_what_they_show() {
    let artifact = Artifact::new("grad_cam of ring in shapes")
        .part(spot(""))
        .part(grid(vec![tile("a", tensor(&[1.0], &[1, 1]))], OPEN));
    let html = to_html(&artifact).unwrap();
    assert!(
        html.contains("<h3>Grad-CAM of ring in shapes</h3>") && html.contains("<source media=\"(max-width:"),
        "{html}"
    );
    assert!(html.contains("alt=\"Grad-CAM of ring in shapes: Heat map of value, 8 by 8 values from 0 to 2"), "{html}");
    let mut seen = 0;
    for data in html.split("data:image/svg+xml;base64,").skip(1) {
        let encoded = data.split('"').next().unwrap();
        let bytes = base64::Engine::decode(&base64::engine::general_purpose::STANDARD, encoded).unwrap();
        let svg = String::from_utf8(bytes).unwrap();
        roxmltree::Document::parse(&svg).unwrap();
        assert!(svg.contains("prefers-color-scheme:dark") && !svg.contains("<text"), "{svg}");
        seen += 1;
    }
    assert_eq!(seen, 3);
}

#[test]
fn what_is_saved_says_what_it_shows() {
    let artifact = Artifact::new("a result").part(spot("one"));
    let said = alt(&artifact);
    assert!(said.starts_with("A result. One. Heat map of value, 8 by 8 values from 0 to 2, also laid over the photo; the largest lies at the top left"), "{said}");
    let bytes = png(&artifact).unwrap();
    let text = String::from_utf8_lossy(&bytes);
    assert!(text.contains("iTXtDescription") && text.contains(&said));
    Image::decode(&bytes).unwrap();
    assert!(to_svg(&artifact).unwrap().contains(&format!("<desc>{said}</desc>")));
}

#[test]
fn tiles_of_very_different_size_are_told_apart_on_the_other_scales() {
    let tiles =
        || vec![tile("faint", tensor(&[0.0, 0.02, 0.02, 0.02], &[2, 2])), tile("strong", tensor(&[2.0; 4], &[2, 2]))];
    let top = |scale: Scale| count(&drawn(grid(tiles(), scale)), sequential(1.0));
    assert!(top(Scale::Each) > top(OPEN) * 5 / 4);
    let log = drawn(grid(tiles(), Scale::SymmetricLog));
    let place = libm::asinh(1.0) / libm::asinh(100.0);
    assert!(count(&log, sequential(place)) > 10_000);
}
