//! Filters as they are in the net, with smoothness after Geary 1954 by its definition and on patterns that have closed forms.

#![allow(clippy::unwrap_used)]

use crate::builders::{Net, array, card, column, param, table};
use convscope_engine::data::Order;
use convscope_engine::graph::Op;
use convscope_engine::graph::op::{Conv, Window};
use convscope_engine::model::Model;
use convscope_engine::probe::Probe;
use convscope_engine::probes::look::filters::Filters;
use convscope_engine::show::{Part, Tile};
use convscope_engine::tensor::{tensor, to_f64};
use convscope_engine::{Artifact, Input, Job, Subject};

const SIDE: usize = 6;

fn ask(probe: &Filters, on: &Subject) -> Artifact {
    probe.run(on, &Input::None, &Job::new()).unwrap()
}

/// Planes of SIDE x SIDE as the filters of a first layer over one channel.
fn net_of(planes: &[Vec<f64>]) -> Subject {
    let mut n = Net::new(&[1, 12, 12], 0.0);
    let dims = [planes.len(), 1, SIDE, SIDE];
    let weight = n.b.param("weight", tensor(planes.concat(), &dims).unwrap()).unwrap();
    n.then("conv", Op::Conv2d(Conv { weight, bias: None, window: Window::square(SIDE, 1, 0), groups: 1 }));
    n.head(2);
    Subject::Model(n.model())
}

/// 1 - C = 1 - (N - 1) sum_ij w_ij (v_i - v_j)^2 / (2 W sum_i (v_i - mean)^2) with w_ij = 1 for the four neighbours.
fn smoothness(v: &[f64], columns: usize) -> f64 {
    let n = v.len();
    let near = |i: usize, j: usize| (i / columns).abs_diff(j / columns) + (i % columns).abs_diff(j % columns) == 1;
    let (mut total, mut sum) = (0.0, 0.0);
    for (i, j) in (0..n).flat_map(|i| (0..n).map(move |j| (i, j))).filter(|(i, j)| near(*i, *j)) {
        total += 1.0;
        sum += (v[i] - v[j]).powi(2);
    }
    let mean = v.iter().sum::<f64>() / n as f64;
    1.0 - (n - 1) as f64 * sum / (2.0 * total * v.iter().map(|x| (x - mean).powi(2)).sum::<f64>())
}

#[test]
fn smoothness_is_one_minus_geary_s_c() {
    let plane =
        |f: &dyn Fn(usize, usize) -> f64| -> Vec<f64> { (0..SIDE * SIDE).map(|i| f(i / SIDE, i % SIDE)).collect() };
    let planes = [
        plane(&|_, x| x as f64),
        plane(&|y, x| if (x + y) % 2 == 0 { 1.0 } else { -1.0 }),
        plane(&|_, _| 0.7),
        plane(&|y, x| ((x * 37 + y * 61 + x * y * 13) % 17) as f64),
    ];
    let found = ask(&Filters::new(), &net_of(&planes));
    let got = array(&found, "smoothness");
    let n = (SIDE * SIDE) as f64;
    // A ramp: half of all neighbours differ, by 1; the variance of 0..5 is 35 / 12. A chessboard: all differ by 2 around 0.
    let ramp = 1.0 - 0.5 / (2.0 * 35.0 / 12.0 * n / (n - 1.0));
    let chessboard = 1.0 - 4.0 / (2.0 * n / (n - 1.0));
    for (i, want) in [ramp, chessboard, f64::NAN, smoothness(&planes[3], SIDE)].into_iter().enumerate() {
        assert!((got[i] - want).abs() < 1e-6 || (got[i].is_nan() && want.is_nan()), "{i}: {} for {want}", got[i]);
    }
    for i in [0, 1] {
        assert!((smoothness(&planes[i], SIDE) - [ramp, chessboard][i]).abs() < 1e-12);
    }
    let told = table(&found, "smoothness");
    let states: Vec<(f64, String)> = told.rows().iter().map(|r| (r[0].number().unwrap(), r[3].text())).collect();
    let state = |i: usize| states.iter().find(|s| s.0 == i as f64).unwrap().1.clone();
    assert_eq!([0, 1, 2].map(state), ["smooth", "noisy", "constant"].map(String::from));
    for (row, filter) in column(told, "filter").into_iter().enumerate() {
        let norm = planes[filter as usize].iter().map(|v| v * v).sum::<f64>().sqrt();
        assert!((column(told, "norm")[row] - norm).abs() < 1e-5 * norm);
    }
}

/// A net with filters over colours, filters over channels, and templates over maps.
fn deep() -> Model {
    let mut n = Net::new(&[3, 9, 9], 0.1);
    n.conv("first", 4, Window::square(5, 1, 2), 1);
    n.relu("relu");
    n.conv("second", 6, Window::square(3, 2, 1), 1);
    n.then("flat", Op::Reshape(vec![6 * 5 * 5]));
    n.linear("fc", 3);
    n.linear("last", 2);
    n.model().with_card(card(2, 3, [9, 9]))
}

/// Several planes of one filter share their mean difference and their variance.
fn pooled(planes: &[f64], side: usize) -> f64 {
    let (mut differences, mut pairs, mut spread, mut free) = (0.0, 0.0, 0.0, 0.0);
    for plane in planes.chunks(side * side) {
        for i in 0..plane.len() {
            for next in [(i % side + 1 < side).then_some(i + 1), Some(i + side).filter(|j| *j < plane.len())] {
                let Some(j) = next else { continue };
                differences += (plane[i] - plane[j]).powi(2);
                pairs += 1.0;
            }
        }
        let mean = plane.iter().sum::<f64>() / plane.len() as f64;
        spread += plane.iter().map(|v| (v - mean).powi(2)).sum::<f64>();
        free += plane.len() as f64 - 1.0;
    }
    1.0 - differences / pairs / (2.0 * spread / free)
}

#[test]
fn filters_are_the_weights_of_the_layer() {
    let model = deep();
    let cases = [
        ("first", vec![4, 3, 5, 5]),
        ("second", vec![6, 4, 3, 3]),
        ("fc", vec![3, 6, 5, 5]),
        ("last", vec![2, 3, 1, 1]),
    ];
    for (name, dims) in cases {
        let found = ask(&Filters::new(), &Subject::layer(&model, name).unwrap());
        let weights = param(&model, &format!("{name}.weight"));
        assert_eq!(found.value().unwrap().dims(), dims, "{name}");
        assert_eq!(array(&found, "filters"), weights, "{name}");
        if dims[2] > 1 {
            let got = array(&found, "smoothness");
            for (f, filter) in weights.chunks(weights.len() / dims[0]).enumerate() {
                assert!((got[f] - pooled(filter, dims[2])).abs() < 1e-6, "{name} {f}");
            }
        }
    }
    let first = ask(&Filters::new(), &Subject::Model(model.clone()));
    assert_eq!(array(&first, "filters"), param(&model, "first.weight"), "a net means its first convolution");
    let one = ask(&Filters::new(), &Subject::layer(&model, "second").unwrap().channel(4).unwrap());
    assert_eq!(array(&one, "filters"), param(&model, "second.weight")[4 * 36..5 * 36]);
    assert_eq!(column(table(&one, "smoothness"), "filter"), [4.0]);
}

fn tiles(a: &Artifact) -> &[Tile] {
    a.parts.iter().find_map(|p| if let Part::Grid(g) = p { Some(&g.tiles[..]) } else { None }).unwrap()
}

/// Red, green and blue in this order, whatever the net's; deeper layers channel by channel.
#[test]
fn tiles_show_colours_and_channels() {
    for order in [Order::Rgb, Order::Bgr] {
        let mut card = card(2, 3, [9, 9]);
        card.preprocess.as_mut().unwrap().order = order;
        let model = deep().with_card(card);
        let found = ask(&Filters::new(), &Subject::Model(model.clone()));
        let weights = param(&model, "first.weight");
        for (f, tile) in tiles(&found).iter().enumerate() {
            let shown = to_f64(&tile.values).unwrap();
            for c in 0..3 {
                let from = if order == Order::Bgr { 2 - c } else { c };
                assert_eq!(shown[25 * c..25 * (c + 1)], weights[75 * f + 25 * from..][..25], "{order:?} {f} {c}");
            }
        }
        let deeper = ask(&Filters::new().channels(2usize).filters(3usize), &Subject::layer(&model, "second").unwrap());
        let (found, weights) = (tiles(&deeper), param(&model, "second.weight"));
        assert_eq!(found.len(), 3 * 2);
        for (i, tile) in found.iter().enumerate() {
            assert_eq!(to_f64(&tile.values).unwrap(), weights[36 * (i / 2) + 9 * (i % 2)..][..9], "{i}");
        }
    }
}
