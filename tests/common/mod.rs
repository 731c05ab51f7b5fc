//! What the integration tests share.
#![allow(dead_code)] // Each test binary uses its own part of this.

use gpulogit::data::{Dataset, PackOptions, RowMajor, RowVectors};
use gpulogit::engine::DeviceRequest;
use gpulogit::fit::{Fit, FitOptions, fit};
use gpulogit::monitor::Silent;

/// Both engines. A GPU test that finds no adapter fails; it does not skip.
pub(crate) const ENGINES: [DeviceRequest; 2] = [DeviceRequest::Cpu, DeviceRequest::Gpu];

/// Plain rows, kept as a test wrote them.
#[derive(Debug, Clone, Default)]
pub(crate) struct Rows {
    pub(crate) x: Vec<f64>,
    pub(crate) features: usize,
    pub(crate) target: Vec<f64>,
    pub(crate) weight: Vec<f64>,
    pub(crate) offset: Option<Vec<f64>>,
}

impl Rows {
    /// n rows of p standard-normal-ish, correlated features and a noisy logistic target; the same for one seed.
    pub(crate) fn random(rows: usize, features: usize, seed: u64) -> Self {
        let mut state = seed.wrapping_mul(0x9e37_79b9_7f4a_7c15).wrapping_add(1);
        let mut uniform = move || {
            state = state.wrapping_mul(6_364_136_223_846_793_005).wrapping_add(1_442_695_040_888_963_407);
            (state >> 11) as f64 / (1u64 << 53) as f64
        };
        let mut all = Rows { features, weight: vec![1.0; rows], ..Rows::default() };
        for _ in 0..rows {
            let common = uniform() - 0.5;
            let row: Vec<f64> = (0..features).map(|_| 2.0 * (uniform() + uniform() - 1.0) + common).collect();
            let a: f64 =
                row.iter().enumerate().map(|(j, x)| x * if j % 2 == 0 { 0.8 } else { -0.5 }).sum::<f64>() - 0.3;
            all.target.push(f64::from(u8::from(uniform() < 1.0 / (1.0 + (-a).exp()))));
            all.x.extend(row);
        }
        all
    }

    pub(crate) fn rows(&self) -> usize {
        self.target.len()
    }

    pub(crate) fn pack(&self, options: PackOptions) -> Dataset {
        let vectors = RowVectors {
            target: self.target.clone().into(),
            weight: self.weight.clone().into(),
            offset: self.offset.clone().map(Into::into),
        };
        let names = (0..self.features).map(|j| format!("x{j}")).collect();
        let source = RowMajor { values: &self.x, features: self.features, rows: self.rows() };
        Dataset::pack(names, &source, &vectors, options).unwrap()
    }

    /// J by code that shares nothing with the crate.
    pub(crate) fn objective(&self, beta: &[f64], intercept: f64, l2: f64) -> f64 {
        let mut j = 0.5 * l2 * beta.iter().map(|b| b * b).sum::<f64>();
        for i in 0..self.rows() {
            let row = &self.x[i * self.features..(i + 1) * self.features];
            let a = intercept
                + self.offset.as_ref().map_or(0.0, |offset| offset[i])
                + row.iter().zip(beta).map(|(x, b)| x * b).sum::<f64>();
            j += self.weight[i] * (a.max(0.0) - self.target[i] * a + (-a.abs()).exp().ln_1p());
        }
        j
    }
}

/// Fits with default options but for the device and the penalty.
pub(crate) fn fit_on(device: &DeviceRequest, data: &Dataset, l2: f64) -> Fit {
    fit(data, &FitOptions { device: device.clone(), l2, ..FitOptions::default() }, &Silent).unwrap()
}

/// The largest difference between two lists, relative to the larger of 1 and the size of the second's entries.
pub(crate) fn difference(a: &[f64], b: &[f64]) -> f64 {
    assert_eq!(a.len(), b.len());
    let mut worst = 0f64;
    for (a, b) in a.iter().zip(b) {
        let error = (a - b).abs() / b.abs().max(1.0);
        if !(error <= worst) {
            worst = error;
        }
    }
    worst
}

/// Coefficients and intercept in one list.
pub(crate) fn parameters(fit: &Fit) -> Vec<f64> {
    let mut all = fit.coefficients.clone();
    all.push(fit.intercept);
    all
}
