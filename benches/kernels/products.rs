//! Matrix products: linear layers over one row and over positions, attention, products of two values.

use crate::{Case, Work, noise};
use convscope::graph::op::{Activation, Binary};
use convscope::kernels::attention::{Attention, ScoreStep};
use convscope::kernels::batched_matmul;
use convscope::kernels::linear::{self, PackedLinear, Sizes};
use convscope::kernels::matmul::{Matrix, matmul};
use convscope::kernels::row_gemm::RowEpilogue;

/// Linear layers: values of a row in and out, positions.
const LINEAR: &[(&str, [usize; 3])] = &[
    ("linear, resnet 2048-1000", [2048, 1000, 1]),
    ("linear, vgg 4096-4096", [4096, 4096, 1]),
    ("linear over positions, vit 768-3072 at 197", [768, 3072, 197]),
    ("linear over positions, vit 3072-768 at 197", [3072, 768, 197]),
    ("linear over positions, convnext 96-384 at 3136", [96, 384, 3136]),
    ("linear over positions, swin 384-1152 at 196", [384, 1152, 196]),
];

/// Attention: heads (or windows and heads), positions, values of a head.
const ATTENTION: &[(&str, [usize; 3])] =
    &[("vit 12 heads of 197 x 64", [12, 197, 64]), ("swin 64 windows, 3 heads of 49 x 32", [192, 49, 32])];

pub fn cases() -> Vec<Case> {
    let layers = LINEAR.iter().flat_map(|(name, sizes)| layer(name, *sizes));
    let attention = ATTENTION.iter().flat_map(|(name, sizes)| attention(name, *sizes));
    layers.chain(attention).chain([plain()]).collect()
}

fn layer(name: &str, [inputs, out, positions]: [usize; 3]) -> Vec<Case> {
    let sizes = move |batch| Sizes { batch, positions, inputs, out };
    let count = move |rows: usize| (2 * rows * inputs * out, rows * (inputs + out) + inputs * out);
    // What passes call: weights over positions are packed before.
    let forward = move |rows: usize, batch: usize, activation: Option<Activation>| {
        let ((operations, values), w, x) = (count(rows), noise(inputs * out), noise(rows * inputs));
        if positions == 1 {
            return Work::new(operations, values, move || linear::forward(sizes(batch), &x, &w, None));
        }
        let packed = PackedLinear::forward(inputs, out, &w);
        let epilogue = RowEpilogue { activation, ..RowEpilogue::default() };
        Work::new(operations, values, move || packed.run(rows, &x, &epilogue))
    };
    let mut cases = vec![Case::new(format!("{name}, forward"), move |batch| forward(batch * positions, batch, None))];
    if positions > 1 && out > inputs {
        let gelu = Some(Activation::Gelu { tanh: false });
        let work = move |batch| forward(batch * positions, batch, gelu);
        cases.push(Case::new(format!("{name} and GELU, forward"), work));
    }
    cases.push(Case::new(format!("{name}, gradient"), move |batch| {
        let rows = batch * positions;
        let ((operations, values), w, dy) = (count(rows), noise(inputs * out), noise(rows * out));
        if positions == 1 {
            return Work::new(operations, values, move || linear::input_gradient(sizes(batch), &dy, &w));
        }
        let packed = PackedLinear::input_gradient(inputs, out, &w);
        Work::new(operations, values, move || packed.run(rows, &dy, &RowEpilogue::default()))
    }));
    cases
}

/// Attention in one kernel, and its two kinds of products alone, as a gradient takes them.
fn attention(name: &str, [heads, positions, depth]: [usize; 3]) -> Vec<Case> {
    let shapes = move |batch: usize| {
        [[positions, depth], [depth, positions], [positions, positions]].map(|[m, n]| [batch * heads, m, n])
    };
    let len = |dims: [usize; 3]| dims.iter().product::<usize>();
    let fused = move |batch: usize| {
        let [rows, columns, scores] = shapes(batch);
        let (q, k, v) = (noise(len(rows)), noise(len(columns)), noise(len(rows)));
        // Two products; a scale, and softmax with its maximum, exponential, sum and quotient.
        Work::new(4 * len(scores) * depth + 5 * len(scores), 4 * len(rows), move || {
            let scale = ScoreStep::new(Binary::Mul, (&[0.125], &[1, 1, 1]), &scores, false);
            let (q, k, v) = ((&q[..], &rows[..]), (&k[..], &columns[..]), (&v[..], &rows[..]));
            Attention { q, k, v, scores: &scores, weights: &scores, to: &rows, steps: vec![scale] }.run()
        })
    };
    let product = move |batch: usize| {
        let [rows, columns, scores] = shapes(batch);
        let (a, b) = (noise(len(rows)), noise(len(columns)));
        Work::new(2 * len(scores) * depth, 2 * len(rows) + len(scores), move || {
            batched_matmul::forward((&a, &rows), (&b, &columns), &scores)
        })
    };
    let gradient = move |batch: usize| {
        let [rows, columns, scores] = shapes(batch);
        let (a, b, dy) = (noise(len(rows)), noise(len(columns)), noise(len(scores)));
        Work::new(4 * len(scores) * depth, 4 * len(rows) + len(scores), move || {
            batched_matmul::gradient((&a, &rows), (&b, &columns), &scores, &dy)
        })
    };
    vec![
        Case::new(format!("attention, {name}, forward"), fused),
        Case::new(format!("batched product, {name}, forward"), product),
        Case::new(format!("batched product, {name}, gradient"), gradient),
    ]
}

/// A product of two matrices, as probes take it.
fn plain() -> Case {
    const N: usize = 512;
    Case::new("product of 512 x 512", |batch| {
        let (a, b) = (noise(batch * N * N), noise(N * N));
        Work::new(2 * batch * N * N * N, (2 * batch + 1) * N * N, move || {
            let mut out = vec![0.0; batch * N * N];
            matmul(batch * N, N, N, &mut out, N, false, Matrix::rows(&a, N), Matrix::rows(&b, N));
            out
        })
    })
}
