//! The CPU engine's two precisions and its threads, on rows stored in f32.

mod common;

use common::Rows;
use gpulogit::data::{Dataset, PackOptions, Precision};
use gpulogit::engine::cpu::CpuEngine;
use gpulogit::engine::{Engine, Params};

const FEATURES: usize = 30;

fn data() -> Dataset {
    Rows::random(60_000, FEATURES, 51).pack(PackOptions { precision: Some(Precision::F32), ..PackOptions::default() })
}

/// Parameters that f32 does not hold.
fn parameters() -> Vec<f64> {
    (0..=FEATURES).map(|j| (1.0 / 3.0 - 0.02 * j as f64) * (1.0 + 1e-8)).collect()
}

/// Loss, then gradient.
fn evaluated(data: &Dataset, w: &[f64], products: Precision) -> Vec<f64> {
    let mut engine = CpuEngine::new(&data.blocks, FEATURES, 1, products);
    let at = engine.loss_gradient(&Params::single(w.to_vec())).unwrap();
    [at.loss.as_slice(), at.gradient.model(0)].concat()
}

fn largest_difference(a: &[f64], b: &[f64]) -> f64 {
    assert_eq!((a.len(), b.len()), (FEATURES + 2, FEATURES + 2));
    a.iter().zip(b).map(|(a, b)| (a - b).abs()).fold(0.0, f64::max)
}

#[test]
fn products_in_f32_evaluate_the_parameters_given_and_not_their_rounding() {
    let (data, w) = (data(), parameters());
    let [rough, exact] = [Precision::F32, Precision::F64].map(|products| evaluated(&data, &w, products));
    // A logit's rounding is some 10⁻⁷, each row's its own, so sums over n rows differ by about 10⁻⁷·√n.
    let difference = largest_difference(&rough, &exact);
    assert!(difference < 1e-6 * (data.rows as f64).sqrt(), "{difference}");
    assert!(difference > 0.0, "f64 was measured twice");
    // Negative control: parameters rounded to f32 move all rows alike, and the gradient by some 10⁻⁸·n.
    let rounded: Vec<f64> = w.iter().map(|w| f64::from(*w as f32)).collect();
    let control = largest_difference(&evaluated(&data, &rounded, Precision::F64), &exact);
    assert!(control > 5.0 * difference, "{control} against {difference}");
}

#[test]
fn the_number_of_threads_changes_no_bit_in_either_precision() {
    let (data, w) = (data(), parameters());
    let mut seen = 0;
    for products in [Precision::F32, Precision::F64] {
        let with_threads = |threads: usize| {
            let pool = rayon::ThreadPoolBuilder::new().num_threads(threads).build().unwrap();
            pool.install(|| evaluated(&data, &w, products))
        };
        let one = with_threads(1);
        for threads in [2, 3, 7] {
            assert_eq!(with_threads(threads), one, "{threads} threads, {products:?}");
            seen += 1;
        }
    }
    assert_eq!(seen, 6);
}
