//! The f32 kernels against the f64 ones, which lay out columns and multiply: shapes that reach the 2 x 2 tiles, the direct
//! path to few channels, inputs sorted by a stride and the dot products, with borders, groups, batches. And the same bits
//! whatever the threads and the batch.

#![allow(clippy::unwrap_used)]

use convscope_engine::graph::op::{Padding, Pool, Window};
use convscope_engine::kernels::conv::Clamp;
use convscope_engine::kernels::conv::WinogradTile;
use convscope_engine::kernels::conv::{self, Geometry};
use convscope_engine::kernels::conv::{ConvMaxPool, fusion_pays};
use convscope_engine::kernels::conv::{Epilogue, PrepackedConv};
use convscope_engine::kernels::{linear, max_pool_backward, pool, reduce};
use convscope_engine::random::Stream;

fn random(n: usize, rng: &mut Stream) -> Vec<f64> {
    (0..n).map(|_| f64::from(rng.next_normal() as f32)).collect()
}

fn single(values: &[f64]) -> Vec<f32> {
    values.iter().map(|v| *v as f32).collect()
}

/// Whether two results agree to a few units in the last place of the largest, which is about the length of a sum's terms.
fn close(what: &dyn std::fmt::Debug, ours: &[f32], wanted: &[f64]) {
    assert_eq!(ours.len(), wanted.len(), "{what:?}");
    let scale = wanted.iter().fold(1.0f64, |m, v| m.max(v.abs()));
    for (i, (a, b)) in ours.iter().zip(wanted).enumerate() {
        assert!((f64::from(*a) - b).abs() <= 2e-6 * scale, "{what:?}: value {i} is {a}, not {b}");
    }
}

fn geometry(batch: usize, channels: usize, out: usize, input: [usize; 2], kernel: usize, stride: usize) -> Geometry {
    let window = Window { kernel: [kernel; 2], stride: [stride; 2], dilation: [1; 2], padding: Padding::default() };
    Geometry { batch, channels, input, out, output: [0, 0], groups: 1, window }
}

/// The geometry with this padding, its output's size filled in.
fn padded(mut g: Geometry, [top, left, bottom, right]: [usize; 4]) -> Geometry {
    g.window.padding = Padding { top, left, bottom, right };
    let size = |a: usize, pad: usize| (g.input[a] + pad - g.window.kernel[a]) / g.window.stride[a] + 1;
    g.output = [size(0, top + bottom), size(1, left + right)];
    g
}

/// Geometries whose layers are worth tiles, make few channels backward, or neither.
fn geometries() -> Vec<Geometry> {
    let mut all = Vec::new();
    for (i, input) in [[9, 9], [12, 13], [16, 7], [31, 30], [14, 14]].into_iter().enumerate() {
        for (channels, out) in [(8, 8), (16, 64), (33, 20), (130, 24)] {
            let pad = [[1, 1, 1, 1], [0, 0, 0, 0], [2, 0, 1, 2]][i % 3];
            all.push(padded(geometry(1 + i % 3, channels, out, input, 3, 1), pad));
        }
        all.push(padded(geometry(2, 3, 24, input, 3, 2), [1, 1, 1, 1]));
        all.push(padded(geometry(1, 3, 16, input, 7, 2), [3, 3, 3, 3]));
        all.push(padded(geometry(2, 4, 10, input, 5, 1), [2, 2, 2, 2]));
        all.push(Geometry { groups: 2, ..padded(geometry(2, 32, 48, input, 3, 1), [1, 1, 1, 1]) });
        // Rows of outputs as long as those that they read, sorted by the stride.
        all.push(padded(geometry(3, 24, 40, input, 3, 2), [1, 1, 1, 1]));
        all.push(padded(geometry(2, 20, 72, input, 5, 3), [2, 2, 2, 2]));
        for stride in [[1, 2], [2, 1], [3, 2]] {
            let mut g = geometry(2, 24, 20, input, 3, 1);
            g.window.stride = stride;
            all.push(padded(g, [1, 1, 1, 1]));
        }
    }
    // Several samples in a vector.
    for input in [[1, 1], [2, 3], [3, 3], [5, 4]] {
        all.push(padded(geometry(7, 20, 24, input, 3, 1), [1, 1, 1, 1]));
        all.push(padded(geometry(7, 20, 24, input, 3, 2), [1, 1, 1, 1]));
    }
    all
}

#[test]
fn convolutions_and_their_gradients() {
    let mut rng = Stream::new(1, "kernels");
    for g in geometries() {
        let x = random(g.batch * g.channels * g.input[0] * g.input[1], &mut rng);
        let w = random(g.out * g.channels / g.groups * g.window.kernel[0] * g.window.kernel[1], &mut rng);
        let (bias, dy) = (random(g.out, &mut rng), random(g.batch * g.out * g.output[0] * g.output[1], &mut rng));
        let y = conv::forward(&g, &single(&x), &single(&w), Some(&single(&bias)));
        let wanted = conv::forward(&g, &x, &w, Some(&bias));
        close(&g, &y, &wanted);
        let plain = PrepackedConv::forward(&g, &single(&w), Some(&single(&bias)), WinogradTile::None);
        close(&g, &plain.run(g.batch, &single(&x), &Epilogue::NONE), &wanted);
        let dx = conv::input_gradient(&g, &single(&dy), &single(&w));
        close(&g, &dx, &conv::input_gradient(&g, &dy, &w));
    }
}

#[test]
fn a_sample_gets_the_same_bits_in_any_batch_and_on_any_number_of_threads() {
    let mut rng = Stream::new(2, "kernels");
    let on = |threads: usize, f: &(dyn Fn() -> Vec<f32> + Sync)| {
        rayon::ThreadPoolBuilder::new().num_threads(threads).build().unwrap().install(f)
    };
    for g in geometries() {
        let (one, many) = (Geometry { batch: 1, ..g }, Geometry { batch: 5, ..g });
        let each = g.channels * g.input[0] * g.input[1];
        let x = single(&random(5 * each, &mut rng));
        let w = single(&random(g.out * g.channels / g.groups * g.window.kernel[0] * g.window.kernel[1], &mut rng));
        let all = on(1, &|| conv::forward(&many, &x, &w, None));
        for threads in [2, 3, 7] {
            assert!(on(threads, &|| conv::forward(&many, &x, &w, None)) == all, "{g:?}");
        }
        let last = conv::forward(&one, &x[4 * each..], &w, None);
        assert!(last == all[all.len() - last.len()..], "{g:?}");
        let dy = &all[..];
        let back = on(1, &|| conv::input_gradient(&many, dy, &w));
        assert!(on(3, &|| conv::input_gradient(&many, dy, &w)) == back, "{g:?}");
        let last = conv::input_gradient(&one, &dy[dy.len() / 5 * 4..], &w);
        assert!(last == back[back.len() - last.len()..], "{g:?}");
    }
}

#[test]
fn gradients_in_large_tiles() {
    let mut rng = Stream::new(4, "kernels");
    let on = |threads: usize, f: &(dyn Fn() -> Vec<f32> + Sync)| {
        rayon::ThreadPoolBuilder::new().num_threads(threads).build().unwrap().install(f)
    };
    for (input, channels, out, pad) in [
        ([47, 46], 64, 64, [1, 1, 1, 1]),
        ([56, 57], 72, 33, [1, 1, 1, 1]),
        ([44, 40], 48, 96, [0, 0, 0, 0]),
        ([29, 170], 60, 40, [2, 0, 1, 2]),
    ] {
        let g = padded(geometry(3, channels, out, input, 3, 1), pad);
        let w = random(out * channels * 9, &mut rng);
        let dy = random(g.batch * out * g.output[0] * g.output[1], &mut rng);
        let packed = PrepackedConv::input_gradient(&g, &single(&w), None, WinogradTile::F4);
        assert_eq!(packed.largest_tile(), WinogradTile::F4, "{g:?}");
        let signal = single(&dy);
        let dx = on(1, &|| packed.run(3, &signal, &Epilogue::NONE));
        // A few times the errors of plain sums.
        let wanted = conv::input_gradient(&g, &dy, &w);
        let scale = wanted.iter().fold(1.0f64, |m, v| m.max(v.abs()));
        let wrong = dx.iter().zip(&wanted).map(|(a, b)| (f64::from(*a) - b).abs()).fold(0.0, f64::max);
        assert!(wrong <= 8e-6 * scale, "{g:?}: {wrong} of {scale}");
        assert!(on(3, &|| packed.run(3, &signal, &Epilogue::NONE)) == dx, "{g:?}");
        let last = packed.run(1, &signal[signal.len() / 3 * 2..], &Epilogue::NONE);
        assert!(last == dx[dx.len() - last.len()..], "{g:?}");
    }
}

/// A max pool by bands is the pool of the whole, bit for bit, whatever lies in the border.
#[test]
fn convolutions_pooled_by_bands() {
    let mut rng = Stream::new(6, "kernels");
    for (kernel, stride, pad) in [(3, 2, 0), (7, 2, 3), (5, 1, 2)] {
        let g = padded(geometry(2, 3, 64, [131, 117], kernel, stride), [pad, pad, pad, pad]);
        assert!(fusion_pays(&g), "{g:?}");
        let x = single(&random(g.batch * g.channels * g.input[0] * g.input[1], &mut rng));
        let w = single(&random(g.out * g.channels * kernel * kernel, &mut rng));
        let b = single(&random(g.out, &mut rng));
        let packed = PrepackedConv::forward(&g, &w, Some(&b), WinogradTile::None);
        for clamp in [Clamp::Relu, Clamp::None] {
            let whole = packed.run(g.batch, &x, &Epilogue { clamp, ..Epilogue::NONE });
            for (size, step, border, ceil) in [(3, 2, 0, true), (3, 2, 1, false), (2, 2, 0, false), (3, 1, 1, false)] {
                let window = Window::square(size, step, border);
                let output = window.output(g.output, ceil).unwrap();
                let pool = Pool { window, ceil, count_padding: false };
                let over = pool::PoolGeometry { input: g.output, output, pool };
                let wanted = pool::max(&over, &whole);
                let ours = ConvMaxPool { prepacked: &packed, conv: g, pool: over }.run(g.batch, &x, clamp);
                assert_eq!(ours, wanted, "{g:?} {pool:?} {clamp:?}");
            }
        }
    }
}

#[test]
fn linear_maps_and_their_gradients() {
    let mut rng = Stream::new(3, "kernels");
    for (batch, positions, inputs, out) in [
        (1, 1, 1, 1),
        (1, 1, 31, 5),
        (2, 1, 64, 33),
        (3, 1, 100, 70),
        (5, 1, 1000, 10),
        (9, 1, 2500, 3),
        (1, 49, 300, 130),
        (3, 7, 96, 50),
        (2, 200, 33, 17),
    ] {
        let sizes = linear::Sizes { batch, positions, inputs, out };
        let rows = sizes.rows();
        let (x, w) = (random(rows * inputs, &mut rng), random(out * inputs, &mut rng));
        let (bias, dy) = (random(out, &mut rng), random(rows * out, &mut rng));
        let y = linear::forward(sizes, &single(&x), &single(&w), Some(&single(&bias)));
        close(&sizes, &y, &linear::forward(sizes, &x, &w, Some(&bias)));
        let dx = linear::input_gradient(sizes, &single(&dy), &single(&w));
        close(&sizes, &dx, &linear::input_gradient(sizes, &dy, &w));
        let (last, one) = ((batch - 1) * positions, linear::Sizes { batch: 1, ..sizes });
        let alone = linear::forward(one, &single(&x[last * inputs..]), &single(&w), None);
        let all = linear::forward(sizes, &single(&x), &single(&w), None);
        assert!(alone == all[last * out..], "{sizes:?}");
    }
}

#[test]
fn the_first_of_equal_maxima_wins_and_a_nan_wins_over_all() {
    let window = Window { kernel: [3, 3], stride: [2, 2], dilation: [1, 1], padding: Padding::default() };
    let pool = Pool { window, ceil: false, count_padding: false };
    let g = pool::PoolGeometry { input: [3, 19], output: [1, 9], pool };
    let flow = [0.0, 1.0, 0.0, 0.0, 0.0, 0.0, 0.0, 0.0, 0.0];
    // Window 1 covers columns 2 to 4 of the three rows of 19.
    for (places, winner) in [(vec![4, 21, 40], 4), (vec![21, 22, 40], 21), (vec![40, 39], 40), (vec![], 2)] {
        let mut x = vec![0.5f32; 3 * 19];
        places.iter().for_each(|p| x[*p] = 2.0);
        let dx = max_pool_backward::max_gradient(&g, &x, &pool::max(&g, &x), &flow);
        assert_eq!(dx.iter().position(|d| *d == 1.0), Some(winner), "{places:?}");
    }
    let mut x = vec![0.5f32; 3 * 19];
    (x[3], x[23]) = (9.0, f32::NAN);
    let y = pool::max(&g, &x);
    assert!(y[1].is_nan() && y[2].is_nan() && y[0] == 0.5, "{y:?}");
    let dx = max_pool_backward::max_gradient(&g, &x, &pool::max(&g, &x), &flow);
    assert_eq!(dx.iter().position(|d| *d == 1.0), Some(23));
}

#[test]
fn sums_of_any_length() {
    let mut rng = Stream::new(7, "kernels");
    for n in [0, 1, 7, 8, 9, 31, 169, 1000] {
        let values = random(n, &mut rng);
        let wanted: f64 = values.iter().sum();
        assert!((reduce::sum(&values) - wanted).abs() < 1e-12, "{n}");
        assert!((reduce::sum(&single(&values)) - wanted).abs() < 1e-12, "{n}");
    }
}
