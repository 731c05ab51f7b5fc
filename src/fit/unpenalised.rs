//! Whether columns that an l1 leaves alone separate the classes.

use std::time::Instant;

use super::{Fit, FitOptions};
use crate::certificate::Status;
use crate::data::Dataset;
use crate::engine::cpu::Host;
use crate::error::Result;
use crate::objective::Coordinates;
use crate::separation::{Separation, prove_far_out};

/// `fit`, with an l1, where it is an optimum; else with the proof that there is none: then the coefficients of columns that are not
/// penalised went on until no slope showed any more.
///
/// # Errors
/// What reading rows that are not in memory fails with.
pub(super) fn or_separated(fit: Fit, data: &Dataset, options: &FitOptions) -> Result<Fit> {
    let start = Instant::now();
    let coordinates = Coordinates::new(data, options.intercept, &options.penalty_factors);
    let unpenalised = coordinates.unpenalised(options.l1);
    if unpenalised.is_empty() || !options.verify || fit.status == Status::Interrupted {
        return Ok(fit);
    }
    let host = Host::new(data);
    let theta = coordinates.from_original(&fit.coefficients, fit.intercept);
    let proof = prove_far_out(&host, &coordinates, &unpenalised, &theta)?;
    let mut fit = Fit { passes: fit.passes + host.passes(), ..fit };
    if let Some(proof) = proof {
        let columns = proof.features(&coordinates);
        fit.separation = Some(Separation { complete: proof.complete, columns, rows: proof.rows });
        (fit.status, fit.stopped_by) = (Status::Separated, "separation");
    }
    let seconds = start.elapsed().as_secs_f64();
    (fit.seconds.verify, fit.seconds.total) = (fit.seconds.verify + seconds, fit.seconds.total + seconds);
    Ok(fit)
}
