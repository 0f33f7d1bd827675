//! RISE on linear nets, whose expected map has a closed form, and on a class, whose probability is what masks are weighted by.

#![allow(clippy::unwrap_used)]

use crate::builders::{Net, array, explain};
use convscope_engine::graph::Op;
use convscope_engine::probes::attribution::rise::Rise;
use convscope_engine::tensor::tensor;
use convscope_engine::{Model, Subject};

const SIZE: [usize; 2] = [10, 14];
const CELLS: usize = 3;
const KEEP: f64 = 0.3;

/// A linear map of inputs of this shape with these weights (outputs x values) and biases.
fn linear(shape: &[usize], weights: Vec<f64>, bias: Vec<f64>) -> Model {
    let n = shape.iter().product();
    let mut net = Net::new(shape, 0.0);
    net.then("flat", Op::Reshape(vec![n]));
    let outputs = bias.len();
    let weight = net.b.param("weight", tensor(weights, &[outputs, n]).unwrap()).unwrap();
    let bias = net.b.param("bias", tensor(bias, &[outputs]).unwrap()).unwrap();
    net.then("fc", Op::Linear { weight, bias: Some(bias) });
    net.model()
}

/// How much each of the coarse cells along an axis counts at position `at` of the enlarged mask: bilinear, pixels' centres
/// on each other, edges repeated.
fn shares(at: usize, cell: usize) -> [f64; CELLS] {
    let large = ((CELLS + 1) * cell) as f64;
    let place = ((at as f64 + 0.5) * CELLS as f64 / large - 0.5).clamp(0.0, (CELLS - 1) as f64);
    std::array::from_fn(|k| (1.0 - (place - k as f64).abs()).max(0.0))
}

/// E[m_p m_q] / keep, over the cells that are kept and the shifts, which are all equally likely.
///
/// A mask is m_p = sum_k B_k(p + shift) g_k with g_k = 1 by chance `KEEP`, and the B_k sum to 1, so for one shift
/// E[m_p m_q] = keep^2 + keep (1 - keep) sum_k B_k(p + shift) B_k(q + shift).
fn expected(size: &[usize], p: usize, q: usize) -> f64 {
    let along = |axis: usize| -> f64 {
        let inner: usize = size[axis + 1..].iter().product();
        let cell = size[axis].div_ceil(CELLS);
        let both = |shift: usize| -> f64 {
            let (a, b) = (p / inner % size[axis] + shift, q / inner % size[axis] + shift);
            shares(a, cell).iter().zip(shares(b, cell)).map(|(a, b)| a * b).sum()
        };
        (0..cell).map(both).sum::<f64>() / cell as f64
    };
    KEEP + (1.0 - KEEP) * (0..size.len()).map(along).product::<f64>()
}

/// A net that sees one value: its map is what masks that keep this value keep besides. An image, a signal, a volume.
#[test]
fn the_map_of_a_linear_net_is_its_expectation() {
    let cases: [(&[usize], &[usize]); 3] = [(&SIZE, &[0, 62, 128]), (&[17], &[0, 9]), (&[4, 5, 7], &[0, 75, 139])];
    for (size, places) in cases {
        let n = size.iter().product();
        for place in places {
            let mut weights = vec![0.0; n];
            weights[*place] = 2.0;
            let model = linear(&[&[1], size].concat(), weights, vec![0.25]);
            let on = Subject::layer(&model, "fc").unwrap().unit(&[0]).unwrap();
            let x = tensor(vec![1.5f64; n], &[&[1, 1], size].concat()).unwrap();
            let probe = Rise::new().masks(20_000usize).cells(CELLS).keep(KEEP);
            let made = explain(&probe, &on, &x);
            assert_eq!(made.value().unwrap().dims(), size);
            for (i, value) in array(&made, "rise").iter().enumerate() {
                let want = 2.0 * 1.5 * expected(size, i, *place) + 0.25;
                assert!((value - want).abs() < 0.08, "{size:?}, {place} at {i}: {value}, not {want}");
            }
        }
    }
}

/// One cell a mask: it keeps all or nothing, so the map is the probability of the whole input times the share kept / keep.
#[test]
fn classes_are_weighed_by_their_probability() {
    let n = 3 * SIZE[0] * SIZE[1];
    let model = linear(&[3, SIZE[0], SIZE[1]], [vec![0.01; n], vec![-0.01; n]].concat(), vec![0.0, 0.0]);
    let x = tensor(vec![0.3f64; n], &[1, 3, SIZE[0], SIZE[1]]).unwrap();
    let on = Subject::class_at(&model, 0).unwrap();
    let map = array(&explain(&Rise::new().masks(2000usize).cells(1usize).keep(KEEP), &on, &x), "rise");
    let probability = 1.0 / (1.0 + (-2.0 * 0.01 * 0.3 * n as f64).exp());
    assert!(map.iter().all(|v| *v == map[0]));
    assert!((map[0] / probability - 1.0).abs() < 0.1, "{} of {probability}", map[0]);
}
