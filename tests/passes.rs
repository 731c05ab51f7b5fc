//! The regression guard: how often a fixed fit reads X. Counts, not times; a change that raises one must say why.

mod common;

use common::{Rows, fit_on};
use gpulogit::certificate::Status;
use gpulogit::data::{Dataset, PackOptions};
use gpulogit::engine::DeviceRequest;
use gpulogit::fit::Fit;

/// Reads of X of a fit, verification counted, with and without a penalty.
fn passes(device: &DeviceRequest, data: &Dataset) -> Vec<u64> {
    let fits = [0.0, 1.0].map(|l2| fit_on(device, data, l2));
    fits.iter()
        .map(|fit: &Fit| {
            assert_eq!(fit.status, Status::Converged);
            assert!(fit.gradient_inf_norm <= 1e-8);
            let certificate = fit.certificate.as_ref().unwrap();
            assert!(certificate.objective_gap.unwrap() <= 1e-9 * fit.objective);
            fit.passes
        })
        .collect()
}

#[test]
fn half_a_million_rows_of_32_features_are_read_five_times_on_the_cpu() {
    let data = Rows::random(500_000, 32, 41).pack(PackOptions::default());
    assert_eq!(passes(&DeviceRequest::Cpu, &data), [5, 5]);
}

// With 512 rows of a class for each feature in the sample instead of 256 it is six, at a higher price: the sample's rows, fit and
// curvature cost two passes more.
#[test]
fn half_a_million_rows_of_128_features_are_read_seven_times_on_the_cpu() {
    let data = Rows::random(500_000, 128, 42).pack(PackOptions::default());
    assert_eq!(passes(&DeviceRequest::Cpu, &data), [7, 7]);
}

// No sample is worth it, and the classes are nearly separated: L-BFGS on a metric that follows the curvature, without which it is
// eighteen. The flat model that it begins with is not read.
#[test]
fn sixty_thousand_rows_of_300_features_are_read_thirteen_times_on_the_cpu() {
    let data = Rows::random(60_000, 300, 43).pack(PackOptions::default());
    assert_eq!(passes(&DeviceRequest::Cpu, &data), [13, 13]);
}

#[test]
fn half_a_million_rows_of_32_features_are_read_six_times_at_the_most_on_a_gpu() {
    let data = Rows::random(500_000, 32, 41).pack(PackOptions::default());
    let passes = passes(&DeviceRequest::Gpu, &data);
    assert!(passes.iter().all(|passes| *passes <= 6), "{passes:?}");
}
