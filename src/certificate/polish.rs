//! The last steps to the optimum, in f64 on the host.

use super::bounds::{Basin, basin, basin_on_diagonal};
use super::{Problem, affordable, exact_is_cheap, witnesses};
use crate::engine::DeviceKind;
use crate::engine::cpu::gram_cost;
use crate::error::{Error, Result};
use crate::linalg::{Cholesky, exceeds_part_of_diagonal};
use crate::monitor::{Monitor, Unheard};
use crate::objective::{Evaluation, Objective, Precision};
use crate::separation::{self, Proof};
use crate::solver::lbfgs::SomeRows;
use crate::solver::{Metric, RELATIVE_DECREASE, Solution, StopReason, StopRule, advance, lbfgs, newton, quasi_newton};

/// Newton steps of a polish at the most, and steps along a metric.
const NEWTON_STEPS: usize = 50;
const METRIC_STEPS: usize = 1000;
/// Predicted decrease, as a part of max(J, S/1000), below which a further Newton step only stirs rounding.
const EXACT: f64 = 1e-20;
/// Predicted decrease, likewise, below which separation is looked for.
const SUSPICIOUS: f64 = 1e3 * RELATIVE_DECREASE;
/// Multiply-adds that a sharper bound is worth where the penalty gives one already.
const CHEAP_PROOF: f64 = 1e9;

/// Columns from which on a proof does without the inverse of the curvature where it can: where that exceeds one of these parts of its
/// diagonal.
const MANY: usize = 256;
const OWN: [f64; 2] = [1.0 / 8.0, 1.0 / 32.0];

/// Where a polish ended.
pub(super) struct Polished {
    pub(super) at: Evaluation,
    pub(super) steps: usize,
    /// J in f64 at the first point that the host evaluated.
    pub(super) first_value: f64,
    /// Decrease that a further step promises, where that is known.
    pub(super) predicted: Option<f64>,
    /// The proof that there is a minimum near the point.
    pub(super) basin: Option<Basin>,
    pub(super) proof: Option<Proof>,
    pub(super) interrupted: bool,
}

impl Polished {
    fn untouched(at: Evaluation) -> Self {
        let first_value = at.value;
        Polished { at, steps: 0, first_value, predicted: None, basin: None, proof: None, interrupted: false }
    }
}

impl Problem<'_> {
    /// Takes the point where a solver ended on to the optimum, by exact Newton steps where they are cheap and otherwise
    /// along the solver's own metric.
    pub(super) fn polish(
        &self,
        objective: &mut Objective<'_>,
        end: Solution,
        engine: DeviceKind,
        steps_allowed: bool,
        tolerance: f64,
        monitor: &dyn Monitor,
    ) -> Result<Polished> {
        if exact_is_cheap(self.host.data(), self.coordinates.len()) {
            let at = objective.evaluate(end.at.theta)?;
            return self.newton_polish(objective, Polished::untouched(at), steps_allowed, tolerance, monitor);
        }
        let mut polished = match end.metric {
            Some(metric) if steps_allowed => {
                let theta = end.at.theta;
                metric_polish(objective, (theta, end.at.gradient), metric, engine, tolerance, monitor)?
            }
            _ => {
                let at = objective.evaluate(end.at.theta)?;
                if steps_allowed && !(objective.gradient_norms(&at).0 <= tolerance) {
                    let first_value = at.value;
                    let rule = polish_rule(tolerance);
                    let solution = lbfgs::minimise(objective, at, rule, &Unheard(monitor))?;
                    Polished { first_value, ..Polished::ended(solution, 0) }
                } else {
                    Polished::untouched(at)
                }
            }
        };
        let columns = self.coordinates.len();
        let worth_it = !self.penalises_all() || gram_cost(witnesses(columns), columns) <= CHEAP_PROOF;
        if worth_it && affordable(witnesses(columns), columns) {
            polished.basin = self.basin(objective, &polished.at)?;
        }
        let unsettled = !self.penalises_all() && polished.basin.is_none() && !polished.interrupted;
        if unsettled && affordable(self.host.data().rows, columns) {
            // The point may not be the latest any more.
            polished.at = objective.evaluate(polished.at.theta)?;
            polished = self.newton_polish(objective, polished, steps_allowed, tolerance, monitor)?;
        }
        Ok(polished)
    }

    /// What the curvature of some rows proves about the optimum.
    fn basin(&self, objective: &Objective<'_>, at: &Evaluation) -> Result<Option<Basin>> {
        for products in [Precision::F32, Precision::F64] {
            let below = objective.hessian_below(&at.theta, witnesses(self.coordinates.len()), products)?;
            let Some(mut below) = below else { continue };
            let many = below.nrows() >= MANY;
            if let Some(part) = OWN.into_iter().find(|part| many && exceeds_part_of_diagonal(&mut below, *part)) {
                let diagonal: Vec<f64> = (0..below.nrows()).map(|j| part * below[(j, j)]).collect();
                if let Some(basin) = basin_on_diagonal(&below, &diagonal, &at.gradient, self.reach()) {
                    return Ok(Some(basin));
                }
            }
            if let Some(basin) = Cholesky::of(below).and_then(|factor| basin(&factor, &at.gradient, self.reach())) {
                return Ok(Some(basin));
            }
        }
        Ok(None)
    }

    /// No row is longer than this in the coordinates.
    fn reach(&self) -> f64 {
        self.coordinates.reach(&self.host.data().moments).iter().map(|r| r * r).sum::<f64>().sqrt()
    }

    /// Newton steps from the latest evaluation until they only stir rounding.
    ///
    /// Where J has next to nothing left to lose, a column is not penalised and there is no proof of an optimum, a proof of
    /// separation is sought: first where a step still moves linear predictors, and at the end where they are far out already.
    fn newton_polish(
        &self,
        objective: &mut Objective<'_>,
        from: Polished,
        steps_allowed: bool,
        tolerance: f64,
        monitor: &dyn Monitor,
    ) -> Result<Polished> {
        let mut polished = from;
        let unpenalised = self.coordinates.unpenalised(self.l2);
        objective.keep(&polished.at)?;
        while let Some(newton) = newton::newton_step(objective, &polished.at)? {
            let at = &polished.at;
            polished.predicted = Some(newton.predicted);
            polished.basin = basin(&newton.factor, &at.gradient, self.reach());
            let scale = at.value.max(objective.weight_sum() / 1000.0);
            let suspicious =
                !self.penalises_all() && polished.basin.is_none() && newton.predicted <= SUSPICIOUS * scale;
            if suspicious {
                let (theta, step) = (&at.theta, &newton.step);
                polished.proof = separation::prove_moving(self.host, &self.coordinates, &unpenalised, theta, step)?;
                if polished.proof.is_some() {
                    break;
                }
            }
            polished.interrupted = monitor.interrupted();
            let within = objective.gradient_norms(at).0 <= tolerance && newton.predicted <= EXACT * scale;
            let stop = within || !steps_allowed || polished.interrupted || polished.steps >= NEWTON_STEPS;
            match if stop { None } else { advance(objective, at, &newton.step)? } {
                Some(next) => polished.at = next,
                None => {
                    if suspicious {
                        polished.proof =
                            separation::prove_far_out(self.host, &self.coordinates, &unpenalised, &at.theta)?;
                    }
                    break;
                }
            }
            polished.steps += 1;
        }
        Ok(polished)
    }
}

impl Polished {
    fn ended(solution: Solution, steps_before: usize) -> Self {
        Polished {
            steps: steps_before + solution.iterations,
            predicted: solution.predicted,
            interrupted: solution.reason == StopReason::Interrupted,
            ..Polished::untouched(solution.at)
        }
    }
}

fn polish_rule(tolerance: f64) -> StopRule {
    StopRule { tolerance, max_iterations: METRIC_STEPS, relative_decrease: 0.0, leave_last_step: false }
}

/// Steps along `metric` from the point θ with the gradient that the engine found there.
///
/// The step that the solver would have taken next is taken at once, and judged by the host's own evaluation of its end:
/// where the solver was good that is the only pass.
fn metric_polish(
    objective: &mut Objective<'_>,
    (theta, gradient): (Vec<f64>, Vec<f64>),
    mut metric: Metric,
    engine: DeviceKind,
    tolerance: f64,
    monitor: &dyn Monitor,
) -> Result<Polished> {
    let step = metric.direction(&gradient);
    let ahead = theta.iter().zip(&step).map(|(t, d)| t + d).collect();
    let claimed = objective.norms_of(&gradient).0;
    let taken = match objective.evaluate(ahead) {
        Ok(at) if objective.gradient_norms(&at).0 <= claimed => Some(at),
        Ok(_) | Err(Error::Numerics(_)) => None,
        Err(failure) => return Err(failure),
    };
    let (at, steps) = match taken {
        Some(at) => {
            // A gradient in f32 says too little about a change this small.
            if engine == DeviceKind::Cpu {
                let change = at.gradient.iter().zip(&gradient).map(|(after, before)| after - before).collect();
                metric.correct(step, change);
            }
            (at, 1)
        }
        None => (objective.evaluate(theta)?, 0),
    };
    let first_value = at.value;
    let rule = polish_rule(tolerance);
    let solution = quasi_newton::minimise(objective, at, metric, SomeRows::default(), rule, &Unheard(monitor))?;
    Ok(Polished { first_value, ..Polished::ended(solution, steps) })
}
