//! The GPU engine against plain f64 loops. A machine without any adapter fails these tests; it does not skip them.

use std::time::Duration;

use gpulogit::data::{Block, Dataset, LANES, PackOptions, Precision, Purpose, RowBlock, RowVector, Values};
use gpulogit::engine::gpu::tuning::DeviceClass;
use gpulogit::engine::gpu::{
    GpuEngine, GpuOptions, GpuRequest, LOSS_ERROR, SIGMOID_ERROR, ShaderSources, adapters, common, kernels,
};
use gpulogit::engine::{Device, DeviceRequest, Engine, LossSlope, Params};
use gpulogit::error::Error;

/// Half an ulp of 1 in f32.
const U: f64 = 1.0 / (1 << 24) as f64;

/// Rows as the tests know them: row-major, f64.
struct Problem {
    features: usize,
    x: Vec<f64>,
    t: Vec<f64>,
    s: Vec<f64>,
    offset: Option<Vec<f64>>,
}

/// A fixed sequence of numbers in [-1, 1) that f32 holds exactly.
struct Noise(u32);

impl Noise {
    fn next(&mut self) -> f64 {
        self.0 = self.0.wrapping_mul(1_664_525).wrapping_add(1_013_904_223);
        f64::from(self.0 >> 9) / f64::from(1 << 22) - 1.0
    }
}

impl Problem {
    fn new(rows: usize, features: usize, with_offset: bool) -> Self {
        let mut noise = Noise((rows * 1000 + features) as u32);
        Problem {
            features,
            x: (0..rows * features).map(|_| noise.next()).collect(),
            t: (0..rows).map(|i| [0.0, 1.0, 0.25][i % 3]).collect(),
            s: (0..rows).map(|i| [1.0, 0.5, 3.0, 0.0][i % 4]).collect(),
            offset: with_offset.then(|| (0..rows).map(|_| noise.next()).collect()),
        }
    }

    fn rows(&self) -> usize {
        self.t.len()
    }

    /// Rows `start..end` as a block, of f32 values or f64 ones.
    fn block(&self, start: usize, end: usize, f32_values: bool) -> Block {
        let rows = end - start;
        let mut x = vec![0.0; rows.div_ceil(LANES) * LANES * self.features];
        for i in 0..rows {
            for j in 0..self.features {
                x[RowBlock::index(i, j, self.features)] = self.x[(start + i) * self.features + j];
            }
        }
        let x = if f32_values { Values::from(x.iter().map(|x| *x as f32).collect::<Vec<f32>>()) } else { x.into() };
        let offset = self.offset.as_ref().map(|offset| RowVector::from(offset[start..end].to_vec()));
        let (t, s) = (self.t[start..end].to_vec().into(), self.s[start..end].to_vec().into());
        RowBlock::new(self.features, x, t, s, offset).unwrap().into()
    }

    fn open(&self, models: usize, options: &GpuOptions) -> GpuEngine {
        let blocks = [self.block(0, self.rows(), true)];
        GpuEngine::open(&GpuRequest::Any, &blocks, self.features, models, options).expect("these tests need an adapter")
    }
}

/// A number and how far from it the engine may be.
#[derive(Debug, Clone, Copy)]
struct Near {
    value: f64,
    tolerance: f64,
}

const ZERO: Near = Near { value: 0.0, tolerance: 0.0 };

/// What a model should come to, in f64, with bounds that follow from f32 storage, sums of at most 256 rows in f32 and
/// the polynomials' errors.
struct Expected {
    logits: Vec<Near>,
    residuals: Vec<Near>,
    loss: Near,
    gradient: Vec<Near>,
}

fn expected(problem: &Problem, w: &[f64]) -> Expected {
    let p = problem.features;
    let mut out = Expected { logits: vec![], residuals: vec![], loss: ZERO, gradient: vec![ZERO; p + 1] };
    for i in 0..problem.rows() {
        let x = &problem.x[i * p..(i + 1) * p];
        let offset = problem.offset.as_ref().map_or(0.0, |offset| offset[i]);
        let (mut a, mut size) = (w[p] + offset, w[p].abs() + offset.abs());
        for j in 0..p {
            a += x[j] * w[j];
            size += (x[j] * w[j]).abs();
        }
        let a_error = (p as f64 / 4.0 + 16.0) * U * size;
        let y = 1.0 / (1.0 + (-a).exp());
        let (s, t) = (problem.s[i], problem.t[i]);
        let (r, r_error) = (s * (y - t), s * (f64::from(SIGMOID_ERROR) + a_error / 4.0 + 2.0 * U));
        let loss = a.max(0.0) - t * a + (-a.abs()).exp().ln_1p();
        out.logits.push(Near { value: a, tolerance: a_error });
        out.residuals.push(Near { value: r, tolerance: r_error });
        out.loss.value += s * loss;
        out.loss.tolerance += s * (f64::from(LOSS_ERROR) * (1.0 + a.abs()) + a_error + 32.0 * U * loss);
        for (j, g) in out.gradient.iter_mut().enumerate() {
            let x = if j < p { x[j] } else { 1.0 };
            g.value += x * r;
            g.tolerance += x.abs() * (r_error + 64.0 * U * r.abs());
        }
    }
    out
}

/// Whether `got` is near; NaN is not.
fn is_near(got: f64, near: Near) -> bool {
    (got - near.value).abs() <= near.tolerance
}

fn all_near(got: &[f64], near: &[Near]) -> bool {
    got.len() == near.len() && got.iter().zip(near).all(|(got, near)| is_near(*got, *near))
}

#[track_caller]
fn assert_all_near(got: &[f64], near: &[Near], what: &str) {
    assert_eq!(got.len(), near.len(), "{what}");
    for (i, (got, near)) in got.iter().zip(near).enumerate() {
        assert!(is_near(*got, *near), "{what}[{i}]: {got} for {} ± {}", near.value, near.tolerance);
    }
}

fn parameters(features: usize, models: usize, size: f64) -> Params {
    let mut noise = Noise(features as u32 * 31 + models as u32);
    let mut w = Params::zeros(features, models);
    for k in 0..models {
        for value in w.model_mut(k) {
            *value = noise.next() * size;
        }
    }
    w
}

/// Everything an engine computes at `w`, and along the line from there to w/2, against f64 loops.
#[track_caller]
fn check(engine: &mut GpuEngine, problem: &Problem, w: &Params, what: &str) {
    let n = problem.rows();
    let result = engine.loss_gradient(w).unwrap();
    let logits = engine.logits(w).unwrap();
    for k in 0..w.models() {
        let want = expected(problem, w.model(k));
        let what = format!("{what}, model {k}");
        assert_all_near(&[result.loss[k]], &[want.loss], &format!("{what}: loss"));
        assert_all_near(result.gradient.model(k), &want.gradient, &format!("{what}: gradient"));
        assert_all_near(&logits[k * n..(k + 1) * n], &want.logits, &format!("{what}: logits"));
    }
    engine.keep(result.point).unwrap();
    let mut half = w.clone();
    for k in 0..w.models() {
        half.model_mut(k).iter_mut().for_each(|value| *value *= 0.5);
    }
    let end = engine.loss_gradient(&half).unwrap();
    let line = engine.start_line(result.point, end.point).unwrap();
    // More steps than one dispatch takes.
    let steps = [0.0, 1.0, 0.25, 1.5, 2.0, 0.5, 0.75, 0.125, 1.25];
    let probed = engine.probe(line, &steps).unwrap();
    assert_eq!(probed.len(), steps.len());
    for (step, probed) in steps.iter().zip(&probed) {
        assert_eq!(probed.len(), w.models());
        for (k, probed) in probed.iter().enumerate() {
            let want = expected_probe(problem, w.model(k), half.model(k), *step);
            assert_all_near(&[probed.loss, probed.slope], &want, &format!("{what}, model {k}: step {step}"));
        }
    }
}

/// Loss and slope at a step.
fn expected_probe(problem: &Problem, from: &[f64], to: &[f64], step: f64) -> [Near; 2] {
    let at: Vec<f64> = from.iter().zip(to).map(|(from, to)| from + step * (to - from)).collect();
    let (here, start, end) = (expected(problem, &at), expected(problem, from), expected(problem, to));
    let (mut loss, mut slope) = (here.loss, ZERO);
    for i in 0..problem.rows() {
        let d = end.logits[i].value - start.logits[i].value;
        let size = start.logits[i].value.abs() + end.logits[i].value.abs();
        let d_error = start.logits[i].tolerance + end.logits[i].tolerance + 4.0 * U * size;
        let a_error = (1.0 + step) * d_error + here.logits[i].tolerance;
        let (r, r_error) = (here.residuals[i].value, here.residuals[i].tolerance + problem.s[i] * a_error / 4.0);
        loss.tolerance += problem.s[i] * a_error;
        slope.value += r * d;
        slope.tolerance += r_error * (d.abs() + d_error) + r.abs() * (d_error + 64.0 * U * d.abs());
    }
    [loss, slope]
}

#[test]
fn awkward_shapes() {
    let mut seen = 0;
    for (i, rows) in [1, 2, 31, 32, 33, 255, 256, 257, 513, 1000].into_iter().enumerate() {
        for (j, features) in [0, 1, 2, 3, 4, 5, 31, 32, 33, 64, 65, 130, 257].into_iter().enumerate() {
            let models = [1, 2, 3, 5, 9][(i + j) % 5];
            let problem = Problem::new(rows, features, (i + j) % 2 == 0);
            let mut engine = problem.open(models, &GpuOptions::default());
            let w = parameters(features, models, 0.5);
            check(&mut engine, &problem, &w, &format!("{rows} × {features} × {models}"));
            seen += 1;
        }
    }
    assert_eq!(seen, 10 * 13);
}

#[test]
fn probabilities_and_losses_stay_within_their_stated_errors() {
    // One row of x = 1 and a model for each logit: the gradient is then y - t, the loss that of the one row.
    let mut logits: Vec<f64> = (0..4000).map(|i| f64::from((f64::from(i - 2000) * 0.05) as f32)).collect();
    logits.extend((0..4000).map(|i| f64::from((f64::from(i - 2000) * 0.000_37) as f32)));
    logits.extend([0.0, 87.0, -87.0, 88.5, -88.5, 104.0, -104.0, 1e4, -1e4, 1e8, -1e8].map(|a| f64::from(a as f32)));
    logits.extend([3e29f32, -3e29].map(f64::from));
    let mut worst = [0f64; 2];
    for t in [0.0, 1.0, 0.25] {
        let problem = Problem { features: 1, x: vec![1.0], t: vec![t], s: vec![1.0], offset: None };
        let mut engine = problem.open(logits.len(), &GpuOptions::default());
        let mut w = Params::zeros(1, logits.len());
        for (k, a) in logits.iter().enumerate() {
            w.model_mut(k)[0] = *a;
        }
        let result = engine.loss_gradient(&w).unwrap();
        for (k, a) in logits.iter().enumerate() {
            let y = 1.0 / (1.0 + (-a).exp());
            let loss = a.max(0.0) - t * a + (-a.abs()).exp().ln_1p();
            let got = result.gradient.model(k)[1];
            let y_error = (got - (y - t)).abs();
            let loss_error = (result.loss[k] - loss).abs() / (1.0 + a.abs());
            assert!(y_error <= f64::from(SIGMOID_ERROR), "y at {a}: error {y_error:e}");
            assert!(loss_error <= f64::from(LOSS_ERROR), "loss at {a}: error {loss_error:e}");
            assert!(t != 0.0 || (0.0..=1.0).contains(&got), "y at {a} is {got}");
            worst = [worst[0].max(y_error), worst[1].max(loss_error)];
        }
    }
    assert!(worst[0] > f64::from(SIGMOID_ERROR) / 20.0, "the stated error of a probability says nothing: {worst:?}");
    assert!(worst[1] > f64::from(LOSS_ERROR) / 20.0, "the stated error of a loss says nothing: {worst:?}");
}

#[test]
fn large_logits() {
    let mut problem = Problem::new(700, 3, false);
    problem.x.iter_mut().for_each(|x| *x *= 4096.0);
    let w = parameters(3, 2, 2.0);
    check(&mut problem.open(2, &GpuOptions::default()), &problem, &w, "large logits");
}

#[test]
fn cutting_blocks_changes_not_a_bit() {
    let problem = Problem::new(5000, 33, true);
    let w = parameters(33, 5, 0.3);
    let mut whole = problem.open(5, &GpuOptions::default());
    assert_eq!(whole.plan().chunks.len(), 1);
    let options = GpuOptions { max_binding_bytes: Some(100_000), ..Default::default() };
    let mut cut = problem.open(5, &options);
    assert!(cut.plan().chunks.len() > 5, "{} chunks", cut.plan().chunks.len());
    let (a, b) = (whole.loss_gradient(&w).unwrap(), cut.loss_gradient(&w).unwrap());
    assert_eq!(a.gradient, b.gradient);
    assert_eq!(a.loss, b.loss);
    assert_eq!(whole.logits(&w).unwrap(), cut.logits(&w).unwrap());
    check(&mut cut, &problem, &w, "cut");
}

#[test]
fn blocks_of_any_size_and_precision_are_one_problem() {
    let problem = Problem::new(1000, 7, true);
    let cuts = [0, 1, 45, 300, 812, 1000];
    let blocks: Vec<Block> = cuts.windows(2).enumerate().map(|(i, c)| problem.block(c[0], c[1], i % 2 == 0)).collect();
    let mut engine = GpuEngine::open(&GpuRequest::Any, &blocks, 7, 3, &GpuOptions::default()).unwrap();
    check(&mut engine, &problem, &parameters(7, 3, 0.5), "five blocks");
}

#[test]
fn rows_that_the_device_does_not_hold_are_the_same_problem() {
    let mut noise = Noise(5);
    let mut seen = 0;
    for (rows, features, precision) in
        [(5000, 33, Precision::F32), (700, 3, Precision::F64), (3000, 90, Precision::F32)]
    {
        let values: Vec<f64> = (0..rows * features).map(|_| noise.next()).collect();
        let target: Vec<f64> = (0..rows).map(|i| f64::from(u8::from(i % 3 == 0))).collect();
        let pack = PackOptions { block_rows: Some(1024), precision: Some(precision), purpose: Purpose::Score };
        let data = Dataset::from_rows(&values, features, &target, pack).unwrap();
        for models in [1, 3] {
            let open = |device_memory| {
                let options = GpuOptions { device_memory, ..Default::default() };
                gpulogit::engine::open(&DeviceRequest::Gpu, &data, models, &options).unwrap().0
            };
            let (mut whole, mut sent) = (open(None), open(Some(1)));
            let points = [parameters(features, models, 0.1), parameters(features, models, 0.3)];
            let mut probed = Vec::new();
            for engine in [&mut whole, &mut sent] {
                let start = engine.loss_gradient(&points[0]).unwrap();
                engine.keep(start.point).unwrap();
                let end = engine.loss_gradient(&points[1]).unwrap();
                assert!(engine.start_line(end.point, start.point).is_err());
                let line = engine.start_line(start.point, end.point).unwrap();
                probed.push((
                    start,
                    end,
                    engine.probe(line, &[0.0, 0.5, 1.0]).unwrap(),
                    engine.logits(&points[1]).unwrap(),
                ));
            }
            let [(start, end, probes, logits), other] = &probed[..] else { panic!() };
            assert_eq!((&start.loss, &start.gradient), (&other.0.loss, &other.0.gradient));
            assert_eq!((&end.loss, &end.gradient), (&other.1.loss, &other.1.gradient));
            assert_eq!(logits, &other.3);
            for (a, b) in probes.iter().flatten().zip(other.2.iter().flatten()) {
                assert!((a.loss - b.loss).abs() <= 1e-5 * a.loss && (a.slope - b.slope).abs() <= 1e-4 * a.loss);
                seen += 1;
            }
            assert_eq!(whole.cost().passes, sent.cost().passes);
            assert!(sent.cost().kernels.iter().any(|kernel| kernel.name == "line_probe on the host"));
            assert!(!whole.cost().kernels.iter().any(|kernel| kernel.name == "line_probe on the host"));
        }
    }
    assert_eq!(seen, 3 * (1 + 3) * 3);
}

#[test]
fn a_device_holds_one_set_of_rows_after_another_and_several_at_once() {
    let device = Device::open(&DeviceRequest::Gpu, &GpuOptions::default()).unwrap();
    let mut noise = Noise(9);
    let data = |rows: usize, noise: &mut Noise| {
        let values: Vec<f64> = (0..rows * 5).map(|_| noise.next()).collect();
        let target: Vec<f64> = (0..rows).map(|i| f64::from(u8::from(i % 3 == 0))).collect();
        Dataset::from_rows(&values, 5, &target, PackOptions::default()).unwrap()
    };
    let sets = [2000, 700, 5000].map(|rows| data(rows, &mut noise));
    let w = parameters(5, 1, 0.3);
    let alone = sets.each_ref().map(|set| {
        gpulogit::engine::open(&DeviceRequest::Gpu, set, 1, &GpuOptions::default()).unwrap().0.logits(&w).unwrap()
    });
    let after = sets.each_ref().map(|set| device.hold(set, 1).unwrap().0.logits(&w).unwrap());
    let mut together = sets.each_ref().map(|set| device.hold(set, 1).unwrap().0);
    assert_eq!(after, alone);
    assert_eq!(together.each_mut().map(|engine| engine.logits(&w).unwrap()), alone);
    // Each counts what it holds itself.
    let peaks = together.map(|engine| engine.cost().device_peak);
    assert!(peaks[1] < peaks[0] && peaks[0] < peaks[2], "{peaks:?}");
}

#[test]
fn webgpu_default_limits_suffice() {
    let problem = Problem::new(2000, 130, true);
    let options = GpuOptions { default_limits: true, ..Default::default() };
    check(&mut problem.open(9, &options), &problem, &parameters(130, 9, 0.2), "default limits");
}

#[test]
fn more_tiles_than_a_dispatch_dimension_holds() {
    // 131 tiles of 256 rows in one block, 40 workgroups a dimension; the rows of the last tile differ from all others.
    let rows = 131 * 256;
    let mut x = vec![1f32; rows];
    x[rows - 256..].fill(-2.0);
    let block = [RowBlock::new(1, x.into(), vec![0.0; rows].into(), vec![1.0; rows].into(), None).unwrap().into()];
    let mut seen = 0;
    for class in [DeviceClass::Hardware, DeviceClass::Software] {
        for models in [1, 5] {
            let options = GpuOptions { class: Some(class), max_workgroups: Some(40), ..Default::default() };
            let mut engine = GpuEngine::open(&GpuRequest::Any, &block, 1, models, &options).unwrap();
            let grid = engine.plan().chunks[0].grid;
            assert!(engine.plan().chunks.len() == 1 && grid[0] <= 40 && grid[1] > 1, "{grid:?}");
            let result = engine.loss_gradient(&Params::zeros(1, models)).unwrap();
            let n = rows as f64;
            // Sums of halves are exact in f32, so one tile more or less would show.
            let near = |value: f64, tolerance: f64| Near { value, tolerance };
            let expected = [near(0.5 * (n - 256.0) - 256.0, 1.0), near(0.5 * n, 1.0)];
            for k in 0..models {
                assert_all_near(result.gradient.model(k), &expected, "gradient");
                assert_all_near(&result.loss[k..=k], &[near(n * 2f64.ln(), 1e-6 * n)], "loss");
            }
            seen += 1;
        }
    }
    assert_eq!(seen, 4);
}

#[test]
fn the_same_bits_every_time() {
    let problem = Problem::new(3000, 65, true);
    let w = parameters(65, 2, 0.3);
    let mut first: Option<(Vec<f64>, Params, Vec<Vec<LossSlope>>)> = None;
    for _ in 0..2 {
        let mut engine = problem.open(2, &GpuOptions::default());
        for _ in 0..3 {
            let start = engine.loss_gradient(&Params::zeros(65, 2)).unwrap();
            engine.keep(start.point).unwrap();
            let end = engine.loss_gradient(&w).unwrap();
            let line = engine.start_line(start.point, end.point).unwrap();
            let got = (end.loss, end.gradient, engine.probe(line, &[0.3, 1.7]).unwrap());
            match &first {
                None => first = Some(got),
                Some(first) => assert_eq!(*first, got),
            }
        }
    }
}

#[test]
fn points_and_lines_no_longer_held_are_errors() {
    let problem = Problem::new(300, 4, false);
    let mut engine = problem.open(1, &GpuOptions::default());
    let (w0, w1, w2) = (parameters(4, 1, 0.0), parameters(4, 1, 0.5), parameters(4, 1, 2.0));
    let p0 = engine.loss_gradient(&w0).unwrap().point;
    let p1 = engine.loss_gradient(&w1).unwrap().point;
    assert!(engine.keep(p0).is_err(), "not the latest");
    assert!(engine.start_line(p0, p1).is_err(), "nothing is kept");
    engine.keep(p1).unwrap();
    let p2 = engine.loss_gradient(&w0).unwrap().point;
    let line = engine.start_line(p1, p2).unwrap();
    let before = engine.probe(line, &[0.5]).unwrap();
    // The line outlives further points, which have logits of their own, and `logits`, which makes no point.
    let p3 = engine.loss_gradient(&w2).unwrap();
    let p4 = engine.loss_gradient(&w2).unwrap();
    assert_eq!(p3.gradient, p4.gradient);
    engine.logits(&w2).unwrap();
    assert_eq!(engine.probe(line, &[0.5]).unwrap(), before);
    assert!(engine.start_line(p1, p3.point).is_err(), "no longer the latest");
    let other = engine.start_line(p1, p4.point).unwrap();
    assert!(engine.probe(line, &[0.5]).is_err(), "another line was started");
    assert_ne!(engine.probe(other, &[0.5]).unwrap(), before);
    engine.keep(p4.point).unwrap();
    assert!(engine.probe(other, &[0.5]).is_err(), "another point was kept");
}

#[test]
fn what_is_not_a_number_is_refused_and_the_engine_goes_on() {
    let mut problem = Problem::new(600, 2, false);
    problem.x[1] = 1e20;
    let mut engine = problem.open(1, &GpuOptions::default());
    let good = parameters(2, 1, 1e-20);
    let result = engine.loss_gradient(&good).unwrap();
    for bad in [f64::NAN, f64::INFINITY, 1e39, 1e25, -1e25] {
        let w = Params::single(vec![0.1, bad, 0.0]);
        assert!(matches!(engine.loss_gradient(&w), Err(Error::Numerics(_))), "{bad}");
    }
    for bad in [f64::NAN, 1e39, 1e25] {
        assert!(matches!(engine.logits(&Params::single(vec![0.1, bad, 0.0])), Err(Error::Numerics(_))), "{bad}");
    }
    assert!(engine.loss_gradient(&Params::zeros(3, 1)).is_err(), "wrong shape");
    let again = engine.loss_gradient(&good).unwrap();
    assert_eq!(result.gradient, again.gradient);
    engine.keep(again.point).unwrap();
    let end = engine.loss_gradient(&Params::zeros(2, 1)).unwrap();
    let line = engine.start_line(again.point, end.point).unwrap();
    assert!(engine.probe(line, &[1.0]).is_ok());
}

#[test]
fn a_step_out_of_range_leaves_the_others_valid() {
    let mut problem = Problem::new(600, 2, false);
    problem.x[1] = 1e20;
    let mut engine = problem.open(2, &GpuOptions::default());
    let start = engine.loss_gradient(&Params::zeros(2, 2)).unwrap();
    engine.keep(start.point).unwrap();
    // The first row's logit comes to 1e29 in model 1; the kernels take 1e30 at the most.
    let mut w = parameters(2, 2, 1e-20);
    w.model_mut(1)[1] = 1e9;
    let end = engine.loss_gradient(&w).unwrap();
    let line = engine.start_line(start.point, end.point).unwrap();
    let good = engine.probe(line, &[0.5, 2.0]).unwrap();
    assert!(good.iter().flatten().all(|probe| probe.loss.is_finite() && probe.slope.is_finite()));
    let steps = [0.5, 100.0, f64::NAN, 1e39, f64::NEG_INFINITY, -1e12, 1e25, 2.0, 0.5, 1e39, 2.0];
    let probed = engine.probe(line, &steps).unwrap();
    let out_of_range = |probe: LossSlope| probe.loss == f64::INFINITY && probe.slope.is_nan();
    assert_eq!([&probed[0], &probed[7], &probed[8], &probed[10]], [&good[0], &good[1], &good[0], &good[1]]);
    for step in [1, 2, 3, 4, 5, 6, 9] {
        assert!(out_of_range(probed[step][1]), "step {}: {:?}", steps[step], probed[step]);
    }
    // Model 0 is out of range only where the step is.
    for step in [2, 3, 4, 9] {
        assert!(out_of_range(probed[step][0]), "step {}: {:?}", steps[step], probed[step]);
    }
    assert!(probed[1][0].loss.is_finite() && probed[1][0].slope.is_finite());
}

/// The text of a kernel or of a file of shaders/common.
fn source_of(stem: &str) -> &'static str {
    kernels().iter().find(|kernel| kernel.name == stem).map_or(common(stem), |kernel| kernel.source)
}

#[test]
fn a_broken_shader_is_noticed() {
    let problem = Problem::new(500, 5, false);
    let w = parameters(5, 1, 0.5);
    let want = expected(&problem, w.model(0));
    let broken = [
        ("loss_gradient", "targets(quad), weights", "weights(quad), weights"),
        ("loss_gradient", "values[4u * i + 3u] * beta[i].w", "values[4u * i + 3u] * beta[i].z"),
        ("residual", "sigmoid(a[i], e) - t[i]", "sigmoid(a[i], e) + t[i]"),
    ];
    let mut seen = 0;
    for (name, right, wrong) in broken {
        let source = source_of(name);
        assert!(source.contains(right), "{name} has changed; break it in another way");
        let sources = ShaderSources::default().replace(name, source.replace(right, wrong));
        let mut engine = problem.open(1, &GpuOptions { sources, ..Default::default() });
        let result = engine.loss_gradient(&w).unwrap();
        assert!(!all_near(result.gradient.model(0), &want.gradient), "a broken {name} passes");
        seen += 1;
    }
    assert_eq!(seen, 3);
    let mut engine = problem.open(1, &GpuOptions::default());
    assert!(all_near(engine.loss_gradient(&w).unwrap().gradient.model(0), &want.gradient));
}

#[test]
fn a_shader_that_does_not_compile_is_an_error_that_names_it() {
    let blocks = [Problem::new(3, 1, false).block(0, 3, true)];
    let sources = ShaderSources::default().replace("loss_gradient", "this is no shader");
    let options = GpuOptions { sources, ..Default::default() };
    let opened = GpuEngine::open(&GpuRequest::Any, &blocks, 1, 1, &options);
    assert!(matches!(opened, Err(Error::Device(text)) if text.contains("loss_gradient")));
}

#[test]
fn the_comparison_of_these_tests_can_fail() {
    let near = Near { value: 1.0, tolerance: 1e-6 };
    assert!(is_near(1.0, near));
    for wrong in [1.1, -1.0, f64::NAN, f64::INFINITY] {
        assert!(!is_near(wrong, near), "{wrong}");
    }
    assert!(!all_near(&[], &[near]));
    assert!(!is_near(1.0, Near { value: 1.0, tolerance: f64::NAN }));
}

#[test]
fn adapters_are_listed_once_and_a_name_that_is_none_is_an_error() {
    let found = adapters();
    assert!(!found.is_empty(), "these tests need an adapter");
    let mut ids: Vec<&str> = found.iter().map(|report| report.info.id.as_str()).collect();
    ids.sort_unstable();
    ids.dedup();
    assert_eq!(ids.len(), found.len());
    assert_eq!(found, adapters(), "ids are stable");
    let blocks = [Problem::new(3, 1, false).block(0, 3, true)];
    let request = GpuRequest::Named("no-such".into());
    let opened = GpuEngine::open(&request, &blocks, 1, 1, &GpuOptions::default());
    assert!(matches!(opened, Err(Error::NoDevice(text)) if text.contains("no-such")));
    let opened = GpuEngine::open(&GpuRequest::Named(String::new()), &blocks, 1, 1, &GpuOptions::default());
    assert!(matches!(opened, Err(Error::Usage(_))));
}

#[test]
fn what_is_done_is_counted() {
    let problem = Problem::new(1000, 10, false);
    let mut engine = problem.open(1, &GpuOptions::default());
    let w = parameters(10, 1, 0.5);
    let held = engine.cost().device_peak;
    let x_bytes = 1024 * 10 * 4;
    assert!(held >= x_bytes);
    let point = engine.loss_gradient(&w).unwrap().point;
    assert_eq!((engine.cost().passes, engine.cost().bytes_read), (1, x_bytes));
    engine.keep(point).unwrap();
    let end = engine.loss_gradient(&w).unwrap().point;
    let line = engine.start_line(point, end).unwrap();
    engine.probe(line, &[0.5]).unwrap();
    assert_eq!(engine.cost().passes, 2, "a probe reads no X");
    engine.logits(&w).unwrap();
    let cost = engine.cost();
    assert_eq!((cost.passes, cost.bytes_read), (3, 3 * x_bytes));
    let calls: Vec<(&str, u64)> = cost.kernels.iter().map(|kernel| (kernel.name, kernel.calls)).collect();
    assert_eq!(calls, [("loss_gradient", 2), ("line_probe", 1), ("logits", 1)]);
    assert!(cost.kernels.iter().all(|kernel| kernel.seconds >= 0.0 && kernel.seconds < 60.0));
    assert!(cost.device_peak >= held);
}

#[test]
fn a_wait_that_takes_too_long_ends() {
    let problem = Problem::new(100_000, 64, false);
    let blocks = [problem.block(0, 100_000, true)];
    let options = GpuOptions { timeout: Duration::from_nanos(1), ..Default::default() };
    let outcome = GpuEngine::open(&GpuRequest::Any, &blocks, 64, 9, &options)
        .and_then(|mut engine| engine.loss_gradient(&parameters(64, 9, 0.1)).map(drop));
    assert!(matches!(outcome, Err(Error::Device(text)) if text.contains("no answer")));
}
