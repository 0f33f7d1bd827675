//! What stands in a terminal: tables, maps, plots.

#![allow(clippy::unwrap_used)]
use super::super::artifact::{Mark, Plot, Scale, Series, Style, Tile};
use super::*;
use candle_core::Device;

fn tensor(values: &[f32], dims: &[usize]) -> Tensor {
    Tensor::from_slice(values, dims, &Device::Cpu).unwrap()
}

fn map(values: Tensor) -> Part {
    Part::Map(Map {
        title: "m".into(),
        input: [values.dims()[0], values.dims()[1]],
        values,
        label: "value".into(),
        scale: Scale::Sequential { low: Some(0.0), high: None },
        photo: None,
        placement: None,
        extent: None,
        style: Style::Alone,
    })
}

#[test]
fn a_table_is_aligned_and_cut() {
    let mut table = Table::new(["class", "p", "note"]);
    table.push(["漢字".into(), 0.5.into(), "a\u{1b}[2J".into()]);
    table.push(["lynx".into(), 12usize.into(), "long ".repeat(30).as_str().into()]);
    table.push(["cat".into()]);
    let golden = "class    p  note\n─────  ───  ──────────────────────────\n漢字   0.5  a [2J\nlynx    12  long long long long long …\n… 1 more rows\n";
    assert_eq!(text_table(&table, 38, 2), golden);
    assert_eq!(text_table(&Table::new(["a"]), 80, 5), "a\n─\nno rows\n");
    assert_eq!(text_table(&Table::default(), 80, 5), "no columns\n");
}

#[test]
fn a_map_says_where_it_is_largest() {
    let artifact = Artifact::new("m").part(map(tensor(&[0.0, 0.5, f32::NAN, 1.0], &[2, 2]))).note("n");
    let out = text(&artifact, &TextStyle::default());
    assert!(out.starts_with("m\nmap 2 × 2, 0 to 1, mean 0.5; largest at row 1, column 1 (value)\n"), "{out}");
    assert!(out.contains("1 of 4 values are not a number") && out.ends_with("note: n\n"), "{out}");
    let coloured = text(&artifact, &TextStyle { colour: true, width: 80 });
    assert!(coloured.contains('▀') && coloured.contains("\x1b[0m"));
}

#[test]
fn nothing_is_longer_than_the_terminal_is_high() {
    let noise: Vec<f32> = (0..100 * 100).map(|i| (i * 37 % 101) as f32).collect();
    let tiles = (0..1000).map(|i| Tile { caption: i.to_string(), values: tensor(&noise[..64], &[8, 8]) }).collect();
    let scale = Scale::Diverging { bound: None };
    let grid = Grid { title: "g".into(), tiles, columns: None, label: "w".into(), scale };
    let series = |n: usize| Series {
        name: format!("series {n}"),
        x: (0..500).map(f64::from).collect(),
        y: (0..500).map(|i| if i == 3 { f64::NAN } else { f64::from(i * i) }).collect(),
        bars: vec![],
        mark: Mark::Line,
    };
    let plot = Plot {
        title: "p".into(),
        x_label: "x".into(),
        y_label: "y".into(),
        categories: vec![],
        series: (0..40).map(series).collect(),
    };
    for part in [map(tensor(&noise, &[100, 100])), Part::Grid(grid), Part::Plot(plot)] {
        for colour in [false, true] {
            let out = text(&Artifact::new("a").part(part.clone()), &TextStyle { colour, width: 80 });
            assert!(out.lines().count() <= 40, "{}", out.lines().count());
            if !colour {
                assert!(out.lines().all(|l| unicode_width::UnicodeWidthStr::width(l) <= 80), "{out}");
            }
        }
    }
}

#[test]
fn tensors_are_written_in_full_where_they_are_small() {
    assert_eq!(text_tensor(&tensor(&[1.0, -0.5], &[2])), "tensor 2: -0.5 to 1, mean 0.25\n[1, -0.5]\n");
    assert_eq!(text_tensor(&tensor(&[1.0, 20.0], &[2, 1])), "tensor 2 × 1: 1 to 20, mean 10.5\n 1\n20\n");
    assert_eq!(text_tensor(&tensor(&[7.0], &[])), "7\n");
    assert_eq!(text_tensor(&tensor(&[0.0; 300], &[3, 10, 10])), "tensor 3 × 10 × 10: 0 to 0, mean 0\n");
    assert_eq!(
        text_tensor(&Tensor::zeros((0, 2), candle_core::DType::F32, &Device::Cpu).unwrap()),
        "tensor 0 × 2: empty\n"
    );
}
