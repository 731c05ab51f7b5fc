//! How to fit, and what options fit each other.

use crate::data::{Dataset, Fingerprint, hash};
use crate::engine::DeviceRequest;
use crate::error::{Error, Result};
use crate::solver::Solver;

/// Σ s at the least: below it slopes are lost to underflow.
const LEAST_WEIGHT: f64 = 1e-290;

/// How to fit. One struct for the command line and the library.
#[derive(Debug, Clone)]
pub struct FitOptions {
    /// What computes.
    pub device: DeviceRequest,
    /// The method; chosen by the size of the data when `None`.
    pub solver: Option<Solver>,
    /// l1 of the objective: l1·Σ fⱼ|βⱼ|.
    pub l1: f64,
    /// l2 of the objective: ½·l2·Σ fⱼβⱼ².
    pub l2: f64,
    /// fⱼ, one for each feature; none where all are 1. A feature whose factor is 0 is not penalised.
    pub penalty_factors: Vec<f64>,
    /// Whether ½·log det H is taken from J: Firth's penalised likelihood, in the place of l1 and l2.
    pub firth: bool,
    /// Whether the column of ones takes part.
    pub intercept: bool,
    /// Iterations at the most; the solver's own default when `None`.
    pub max_iterations: Option<usize>,
    /// Largest |∂J/∂βⱼ|/(S·sdⱼ) at the returned point.
    pub tolerance: f64,
    /// η of gradient descent.
    pub learning_rate: Option<f64>,
    /// Whether to re-check (and polish) the answer in f64 on the host.
    pub verify: bool,
    /// Where to start.
    pub init: Init,
    /// Bytes of a GPU's memory that may be used; rows beyond them are sent anew in each pass.
    pub device_memory: Option<u64>,
}

impl Default for FitOptions {
    fn default() -> Self {
        FitOptions {
            device: DeviceRequest::Auto,
            solver: None,
            l1: 0.0,
            l2: 0.0,
            penalty_factors: Vec::new(),
            firth: false,
            intercept: true,
            max_iterations: None,
            tolerance: 1e-8,
            learning_rate: None,
            verify: true,
            init: Init::Zeros,
            device_memory: None,
        }
    }
}

impl FitOptions {
    /// What tells these options from others that may come to another result. What computes is not part of it.
    pub fn fingerprint(&self) -> Fingerprint {
        let FitOptions {
            device: _,
            device_memory: _,
            solver,
            l1,
            l2,
            penalty_factors,
            firth,
            intercept,
            max_iterations,
            tolerance,
            learning_rate,
            verify,
            init,
        } = self;
        let numbers = |numbers: &[f64]| hash::of_words(numbers.len() as u64, numbers.iter().map(|x| x.to_bits()));
        let count = |count: &Option<usize>| count.map_or(u64::MAX, |count| count as u64);
        let flags = [firth, intercept, verify].into_iter().fold(0, |bits, flag| 2 * bits + u64::from(*flag));
        let start = match init {
            Init::Zeros => [0, 0],
            Init::Random { seed } => [1, *seed],
            Init::Coefficients(beta, intercept) => [2, hash::mix(numbers(beta), intercept.to_bits())],
        };
        let method = hash::of_bytes(solver.map_or("auto", Solver::name).bytes());
        let rate = learning_rate.unwrap_or(f64::NAN);
        let words =
            [flags, method, count(max_iterations), numbers(&[*l1, *l2, *tolerance, rate]), numbers(penalty_factors)];
        Fingerprint(hash::of_words(0, words.into_iter().chain(start)))
    }
}

/// The starting point.
#[derive(Debug, Clone)]
pub enum Init {
    /// All zeros.
    Zeros,
    /// Uniform in [−1, 1) on the standardised columns.
    Random {
        /// Seed: the same one gives the same start.
        seed: u64,
    },
    /// Coefficients of the original columns, in the order of the data's features, and the intercept.
    Coefficients(Vec<f64>, f64),
}

/// Holds data and options to be those of a fit of two classes.
pub(super) fn check(data: &Dataset, options: &FitOptions) -> Result<()> {
    if data.classes > 2 {
        return Err(Error::Usage(format!("this needs a target of two classes, and there are {}", data.classes)));
    }
    check_options(data, options)
}

/// Holds data and options to be those of a fit.
pub(super) fn check_options(data: &Dataset, options: &FitOptions) -> Result<()> {
    let usage = |message: &str| Err(Error::Usage(message.into()));
    if data.rows == 0 || !(data.weight_sum > 0.0) {
        return usage("there are no rows of positive weight to fit");
    }
    if data.weight_sum < LEAST_WEIGHT {
        return usage(
            "the weights add up to less than 1e-290, too little to compute with: multiply all of them by a large number",
        );
    }
    if let Init::Coefficients(beta, _) = &options.init
        && beta.len() != data.features.len()
    {
        return usage("the starting coefficients are not as many as the features");
    }
    if !(options.l2 >= 0.0 && options.l2.is_finite()) {
        return usage("--l2 must be a finite number that is not negative");
    }
    if !(options.l1 >= 0.0 && options.l1.is_finite()) {
        return usage("--l1 must be a finite number that is not negative");
    }
    let factors = &options.penalty_factors;
    if !(factors.is_empty() || factors.len() == data.features.len()) {
        return usage("the penalty factors are not as many as the features");
    }
    if !factors.iter().all(|factor| *factor >= 0.0 && factor.is_finite()) {
        return usage("--penalty-factor must be a finite number that is not negative");
    }
    if !factors.is_empty() && factors.iter().all(|factor| *factor == 0.0) {
        return usage("--penalty-factor is 0 for every feature, so nothing is penalised: leave it and the penalty out");
    }
    if options.firth && (options.l1 > 0.0 || options.l2 > 0.0 || data.classes > 2) {
        return usage("--firth is a penalty of its own, for two classes: leave --l1 and --l2 out");
    }
    if options.firth && options.solver.is_some_and(|solver| solver != Solver::Newton) {
        return usage("--firth is fitted by Newton steps: leave --solver to auto");
    }
    if options.l1 > 0.0 && options.solver.is_some_and(|solver| solver != Solver::ProximalNewton) {
        return usage("--l1 is fitted by proximal Newton steps: leave --solver to auto");
    }
    if !(options.tolerance > 0.0 && options.tolerance.is_finite()) {
        return usage("--tol must be a positive finite number");
    }
    if options.learning_rate.is_some_and(|eta| !(eta > 0.0 && eta.is_finite())) {
        return usage("--learning-rate must be a positive finite number");
    }
    if options.learning_rate.is_some() && options.solver != Some(Solver::Gd) {
        return usage("--learning-rate is gradient descent's: add --solver gd, or leave it out");
    }
    check_spreads(data, options)
}

/// Holds the columns to vary by so much that f64 has numbers for their coefficients and penalties.
fn check_spreads(data: &Dataset, options: &FitOptions) -> Result<()> {
    for (j, (column, moments)) in data.columns.iter().zip(&data.moments).enumerate() {
        let sd = column.scale * moments.sd;
        let penalty = options.l2 * options.penalty_factors.get(j).copied().unwrap_or(1.0);
        let too_little = if moments.is_constant() {
            continue;
        } else if !(sd.is_normal() && sd.recip().is_finite()) {
            "for its coefficient to be a number of f64"
        } else if !(penalty / sd / sd).is_finite() {
            "beside the penalty l2"
        } else {
            continue;
        };
        return Err(Error::Usage(format!(
            "feature '{}' varies by {sd:.0e} only, too little {too_little}; multiply it by a power of ten, or leave it out (--drop)",
            data.features[j]
        )));
    }
    Ok(())
}
