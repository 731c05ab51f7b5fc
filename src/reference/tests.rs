use super::*;

/// Whether every pair agrees to `bound`, relative to the larger of 1 and the expected size. NaN never agrees.
fn agree(found: &[f64], expected: &[f64], bound: f64) -> bool {
    found.len() == expected.len()
        && found
            .iter()
            .zip(expected)
            .all(|(found, expected)| (found - expected).abs() <= bound * expected.abs().max(1.0))
}

/// The derivative of `f` at `w` by central differences, one list of values for each parameter.
fn central_differences(f: impl Fn(&[f64]) -> Vec<f64>, w: &[f64]) -> Vec<Vec<f64>> {
    let h = 1e-5;
    (0..w.len())
        .map(|j| {
            let (mut up, mut down) = (w.to_vec(), w.to_vec());
            up[j] += h;
            down[j] -= h;
            f(&up).iter().zip(f(&down)).map(|(up, down)| (up - down) / (2.0 * h)).collect()
        })
        .collect()
}

const X: [f64; 10] = [0.5, -1.0, 2.0, 0.25, -1.5, 3.0, 1.0, 1.0, -0.75, -2.0];
const TARGET: [f64; 5] = [1.0, 0.0, 1.0, 0.3, 0.0];
const WEIGHT: [f64; 5] = [1.0, 2.5, 0.25, 3.0, 0.0];
const OFFSET: [f64; 5] = [0.1, -0.4, 0.0, 2.0, 1.0];
const W: [f64; 3] = [0.7, -0.3, 0.2];

/// Every mixture of penalty, offset and intercept, with weights whose sum is not n.
fn problems() -> Vec<Problem<'static>> {
    let mut problems = Vec::new();
    for l2 in [0.0, 0.8] {
        for offset in [None, Some(&OFFSET[..])] {
            for intercept in [true, false] {
                let (x, target, weight) = (&X, &TARGET, &WEIGHT);
                problems.push(Problem { x, features: 2, target, weight, offset, l2, intercept });
            }
        }
    }
    problems
}

/// Rows x = 1, 2 with t = 0, 1 and s = 2, 3 at w = (½, −½): a = 0, ½ and y = ½, σ(½).
#[test]
fn hand_computed_values() {
    let problem = Problem {
        x: &[1.0, 2.0],
        features: 1,
        target: &[0.0, 1.0],
        weight: &[2.0, 3.0],
        offset: None,
        l2: 0.0,
        intercept: true,
    };
    let w = [0.5, -0.5];
    assert!(agree(&problem.linear_predictor(&w), &[0.0, 0.5], 1e-15));
    assert!(agree(&problem.residuals(&w), &[0.5, -0.3775406687981454], 1e-15));
    assert!(agree(&[problem.objective(&w)], &[2.808525313660211], 1e-15));
    assert!(agree(&problem.gradient(&w), &[-1.2652440127888722, -0.1326220063944361], 1e-15));
    let hessian = [3.320044546419134, 1.910022273209567, 1.910022273209567, 1.2050111366047835];
    assert!(agree(&problem.hessian(&w), &hessian, 1e-15));
    // ½·4·½² more in J and 4·½ more in the slope's derivative; the intercept is not penalised.
    let penalised = Problem { l2: 4.0, ..problem };
    assert!(agree(&[penalised.objective(&w)], &[3.308525313660211], 1e-15));
    assert!(agree(&penalised.gradient(&w), &[0.7347559872111278, -0.1326220063944361], 1e-15));
    assert!(agree(&penalised.hessian(&w), &[hessian[0] + 4.0, hessian[1], hessian[2], hessian[3]], 1e-15));
}

#[test]
fn gradient_and_hessian_are_derivatives() {
    let mut seen = 0;
    for problem in problems() {
        let gradient = problem.gradient(&W);
        let numeric = central_differences(|w| vec![problem.objective(w)], &W).concat();
        assert!(agree(&gradient, &numeric, 1e-8), "{gradient:?} {numeric:?}");
        let hessian = problem.hessian(&W);
        let numeric = central_differences(|w| problem.gradient(w), &W).concat();
        assert!(agree(&hessian, &numeric, 1e-8), "{hessian:?} {numeric:?}");
        // Negative controls: the sign that some derivations drop, a penalised intercept, a NaN.
        let doctored = gradient.iter().map(|g| -g).collect::<Vec<_>>();
        assert!(!agree(&doctored, &gradient, 1e-8));
        assert!(!agree(&[gradient[0], gradient[1], gradient[2] + 0.8 * W[2]], &gradient, 1e-8));
        assert!(!agree(&[gradient[0], gradient[1], f64::NAN], &gradient, 1e-8));
        seen += 1;
    }
    assert_eq!(seen, 8);
}

#[test]
fn hessian_is_symmetric_and_without_an_intercept_its_last_row_is_zero() {
    for problem in problems() {
        let h = problem.hessian(&W);
        for j in 0..3 {
            for k in 0..3 {
                assert_eq!(h[3 * j + k], h[3 * k + j]);
            }
            assert_eq!(h[6 + j] != 0.0, problem.intercept, "{h:?}");
        }
        assert_eq!(problem.gradient(&W)[2] != 0.0, problem.intercept);
    }
    assert_eq!(problems().len(), 8);
}

#[test]
fn weights_count_rows() {
    let rows = |x: &[f64], target: &[f64], weight: &[f64]| {
        let problem = Problem { x, features: 1, target, weight, offset: None, l2: 0.5, intercept: true };
        [vec![problem.objective(&W[..2])], problem.gradient(&W[..2]), problem.hessian(&W[..2])].concat()
    };
    let repeated = rows(&[1.0, 1.0, 1.0, -2.0], &[1.0, 1.0, 1.0, 0.0], &[1.0; 4]);
    let weighted = rows(&[1.0, -2.0, 9.0], &[1.0, 0.0, 1.0], &[3.0, 1.0, 0.0]);
    assert!(agree(&weighted, &repeated, 1e-15));
    assert!(!agree(&rows(&[1.0, -2.0], &[1.0, 0.0], &[2.0, 1.0]), &repeated, 1e-15));
}

#[test]
fn huge_linear_predictors_stay_finite_and_exact() {
    for a in [1e4, 710.0, 40.0] {
        assert_eq!(loss(0.0, a), a + (-a).exp(), "the wrong side costs a");
        assert_eq!(loss(1.0, -a), a + (-a).exp());
        assert_eq!(loss(1.0, a), (-a).exp(), "the right side costs e^−a");
        assert_eq!(residual(1.0, a), -(-a).exp(), "and keeps its digits");
        assert_eq!(residual(0.0, a), 1.0 - (-a).exp());
    }
    let problem = Problem {
        x: &[1.0, -1.0],
        features: 1,
        target: &[0.0, 0.4],
        weight: &[1.0, 1.0],
        offset: None,
        l2: 0.0,
        intercept: false,
    };
    assert_eq!(problem.objective(&[1e4, 0.0]), 1e4 + 0.4 * 1e4);
    assert!(problem.gradient(&[1e4, 0.0]).iter().chain(&problem.hessian(&[1e4, 0.0])).all(|v| v.is_finite()));
    // Negative control: as it stands in the books, the formula overflows.
    assert!(!(1.0 + 1e4_f64.exp()).ln().is_finite());
}

#[test]
fn sums_keep_what_each_addition_drops() {
    let terms = || std::iter::once(1.0).chain(std::iter::repeat_n(1e-16, 1_000_000));
    assert!(agree(&[sum(terms())], &[1.0 + 1e-10], 1e-15));
    assert!(!agree(&[terms().sum::<f64>()], &[1.0 + 1e-10], 1e-15));
}
