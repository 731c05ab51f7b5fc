use super::*;

#[test]
fn finite_and_consistent_for_huge_logits() {
    for a in [0.0, 1e-3, 1.0, 36.0, 700.0, 750.0, 1e4] {
        for a in [a, -a] {
            let y = sigmoid(a);
            let (r1, at_one) = residual_and_loss(a, 1.0);
            let (r0, at_zero) = residual_and_loss(a, 0.0);
            assert!((0.0..=1.0).contains(&y) && at_one >= 0.0 && at_zero >= 0.0);
            assert!((at_zero - at_one - a).abs() <= 1e-12 * a.abs().max(1.0));
            assert!((r0 - y).abs() < 1e-15 && (r1 - (y - 1.0)).abs() < 1e-15);
            assert!((variance(a) - y * (1.0 - y)).abs() < 1e-15);
        }
    }
}

#[test]
fn a_row_far_on_its_own_side_keeps_its_residual() {
    let (r, _) = residual_and_loss(50.0, 1.0);
    assert!((r / -(-50f64).exp() - 1.0).abs() < 1e-12, "{r:e}");
    let (r, _) = residual_and_loss(-50.0, 0.0);
    assert!((r / (-50f64).exp() - 1.0).abs() < 1e-12, "{r:e}");
}

/// Residual, loss and variance of eight rows.
#[derive(Clone)]
struct Rows {
    a: [f64; 8],
    t: [f64; 8],
}

impl crate::octet::Work for Rows {
    type Output = [[f64; 8]; 3];
    #[inline(always)]
    fn run<O: Octet>(self, o: O) -> [[f64; 8]; 3] {
        let (a, t) = (o.load(&self.a), o.load(&self.t));
        let (residual, loss) = residual_and_loss_octet(o, a, t);
        [o.store(residual), o.store(loss), o.store(variance_octet(o, a))]
    }
}

/// Residual and loss of sixteen rows in f32, and both again with the loss in parts, put together.
#[derive(Clone)]
struct Sixteen {
    a: [[f32; 8]; 2],
    t: [[f32; 8]; 2],
}

impl crate::octet::Work for Sixteen {
    type Output = [[[f32; 8]; 2]; 4];
    #[inline(always)]
    fn run<O: Octet>(self, o: O) -> [[[f32; 8]; 2]; 4] {
        let (a, t) = (o.load_16(&self.a), o.load_16(&self.t));
        let (residual, loss) = residual_and_loss_16(o, a, t);
        let [difference, linear, e] = residual_linear_decay_16(o, a, t);
        let together = o.add_16(linear, log1p_16(o, e));
        [o.store_16(residual), o.store_16(loss), o.store_16(difference), o.store_16(together)]
    }
}

#[test]
fn sixteen_at_a_time_are_within_their_bounds_on_every_instruction_set() {
    let (mut seen, mut worst) = (0, [0f64; 4]);
    for i in 0..20_000 {
        let size = [1.0, 30.0, 1000.0, 1e-4][i % 4];
        let number = |k: usize| size * ((i * 16 + k) as f32 * 0.618_034).fract() * (1.0 - 2.0 * (k % 2) as f32);
        let a: [[f32; 8]; 2] = std::array::from_fn(|h| std::array::from_fn(|k| number(8 * h + k)));
        let t = std::array::from_fn(|h| std::array::from_fn(|k| [0.0, 1.0, 0.25, 1.0][(i + h + k) % 4]));
        let outputs = crate::octet::on_each(&Sixteen { a, t });
        assert!(outputs.iter().all(|output| *output == outputs[0]), "{a:?}");
        for (h, k) in (0..16).map(|k| (k / 8, k % 8)) {
            let (a, t): (f32, f32) = (a[h][k], t[h][k]);
            let (residual, loss) = residual_and_loss(a.into(), t.into());
            let errors: [f64; 4] = std::array::from_fn(|i| {
                let (right, bound) = [(residual, 3e-7), (loss, 5e-7 * (1.0 + f64::from(a.abs())))][i % 2];
                (f64::from(outputs[0][i][h][k]) - right).abs() / bound
            });
            for (worst, error) in worst.iter_mut().zip(errors) {
                assert!(error <= 1.0, "a = {a}, t = {t}: {errors:?}");
                *worst = worst.max(error);
            }
            seen += 1;
        }
    }
    assert_eq!(seen, 320_000);
    assert!(worst.iter().all(|worst| *worst > 0.05), "the bounds say nothing: {worst:?}");
    for bad in [f32::NAN, f32::INFINITY] {
        let lost = crate::octet::on_each(&Sixteen { a: [[bad; 8]; 2], t: [[0.0; 8]; 2] })[0];
        assert!(
            [lost[1], lost[3]].as_flattened().as_flattened().iter().all(|loss| !loss.is_finite()),
            "{bad} must show: {lost:?}"
        );
    }
}

/// log(1+q) of eight q, and of sixteen others in f32.
#[derive(Clone)]
struct Log1p([f64; 8], [[f32; 8]; 2]);

impl crate::octet::Work for Log1p {
    type Output = ([f64; 8], [[f32; 8]; 2]);
    #[inline(always)]
    fn run<O: Octet>(self, o: O) -> Self::Output {
        (o.store(log1p_octet(o, o.load(&self.0))), o.store_16(log1p_16(o, o.load_16(&self.1))))
    }
}

#[test]
fn the_logarithm_of_a_product_keeps_the_digits_of_small_numbers() {
    let (mut seen, mut worst, mut worst_16) = (0, 0f64, 0f64);
    let error = |log: f64, q: f64, unit: f64| (log - q.ln_1p()).abs() / (4.0 * unit * q.ln_1p().max(f64::MIN_POSITIVE));
    for i in 0..10_000 {
        let size = [15.0, 1.0, 1e-3, 1e-15, 1e-17, 1e-300][i % 6];
        let q: [f64; 8] = std::array::from_fn(|k| size * ((i * 8 + k) as f64 * 0.618_033_988_75).fract());
        // No more than 3, and nothing that f32 does not hold.
        let narrow = [q, q.map(|q| q / 8.0)].map(|q| q.map(|q| (q / 5.0).max(1e-30) as f32));
        let outputs = crate::octet::on_each(&Log1p(q, narrow));
        assert!(outputs.iter().all(|output| *output == outputs[0]), "{q:?}");
        for (q, log) in q.iter().zip(outputs[0].0) {
            worst = worst.max(error(log, *q, f64::EPSILON));
            seen += 1;
        }
        for (q, log) in narrow.as_flattened().iter().zip(outputs[0].1.as_flattened()) {
            worst_16 = worst_16.max(error((*log).into(), (*q).into(), f32::EPSILON.into()));
        }
        assert!(worst <= 1.0 && worst_16 <= 1.0, "log1p of {q:?} or {narrow:?}: {:?}", outputs[0]);
    }
    assert!(seen == 80_000 && worst > 0.05 && worst_16 > 0.05, "the bounds say nothing: {worst}, {worst_16}");
    let largest = crate::octet::on_each(&Log1p([15.0; 8], [[3.0; 8]; 2]))[0];
    assert_eq!(largest, ([16f64.ln(); 8], [[4f32.ln(); 8]; 2]));
}

#[test]
fn eight_at_a_time_agree_with_one_by_one_on_every_instruction_set() {
    let u = f64::EPSILON / 2.0;
    let mut seen = 0;
    let mut worst = [0f64; 3];
    for i in 0..40_000 {
        let size = [1.0, 30.0, 700.0, 1e-4][i % 4];
        let a = std::array::from_fn(|k| {
            size * ((i * 8 + k) as f64 * 0.618_033_988_75).fract() * (1.0 - 2.0 * (k % 2) as f64)
        });
        let t = std::array::from_fn(|k| [0.0, 1.0, 0.25, 1.0][(i + k) % 4]);
        let outputs = crate::octet::on_each(&Rows { a, t });
        assert!(outputs.iter().all(|output| *output == outputs[0]), "{a:?}");
        for k in 0..8 {
            let (residual, loss) = residual_and_loss(a[k], t[k]);
            let small = (-a[k].abs()).exp();
            let errors = [
                (outputs[0][0][k] - residual).abs() / (4.0 * u * (small + residual.abs())),
                (outputs[0][1][k] - loss).abs() / (4.0 * u * (small + a[k].abs())),
                (outputs[0][2][k] - variance(a[k])).abs() / (8.0 * u * small),
            ];
            for (worst, error) in worst.iter_mut().zip(errors) {
                assert!(error <= 1.0, "a = {}, t = {}: {errors:?}", a[k], t[k]);
                *worst = worst.max(error);
            }
            seen += 1;
        }
    }
    assert_eq!(seen, 320_000);
    assert!(worst.iter().all(|worst| *worst > 0.05), "the bounds say nothing: {worst:?}");
    let far = crate::octet::on_each(&Rows { a: [800.0; 8], t: [1.0; 8] })[0];
    assert!([far[0][0], far[1][0], far[2][0]] == [0.0; 3], "{far:?}");
    let lost = crate::octet::on_each(&Rows { a: [f64::NAN; 8], t: [0.0; 8] })[0];
    assert!(lost[1].iter().all(|loss| loss.is_nan()), "not a number must show: {lost:?}");
}
