//! Cross-validation: every penalty of a grid is fitted without each of the folds, all of these models at once, and judged on the
//! fold it has not seen.

use super::grid::Null;
use super::{FitOptions, Grid, ManyFits, Penalties, Seconds, fit_many};
use crate::data::{Dataset, Folds, Training};
use crate::engine::cpu::Host;
use crate::engine::{Cost, DeviceInfo, Draw, DrawnRows, Params, SharedFolds};
use crate::error::{Error, Result};
use crate::metrics::{Headline, Tally};
use crate::monitor::{Event, Monitor};
use crate::objective::Member;

/// What the choice of a penalty goes by.
#[derive(Debug, Clone, Copy, PartialEq, Eq, serde::Serialize)]
#[serde(rename_all = "kebab-case")]
pub enum Score {
    /// Σ s·ℓ/Σ s; less is better.
    LogLoss,
    /// Area under the ROC curve; more is better.
    Auc,
    /// Share of the weight on rows labelled right at probability ½; more is better.
    Accuracy,
}

impl Score {
    /// Its name in words.
    pub fn words(self) -> &'static str {
        match self {
            Score::LogLoss => "log loss",
            Score::Auc => "ROC AUC",
            Score::Accuracy => "accuracy",
        }
    }
}

/// A cross-validated grid of penalties.
#[derive(Debug)]
pub struct CrossValidation {
    /// The penalties.
    pub grid: Grid,
    /// What the choice goes by.
    pub score: Score,
    /// Σ s·ℓ/Σ s of the rows of each fold, by penalty, under the model fitted without it; class weights do not count here.
    pub fold_log_loss: Vec<Vec<f64>>,
    /// The score of each fold by penalty.
    pub fold_score: Vec<Vec<f64>>,
    /// Means over the folds.
    pub mean_log_loss: Vec<f64>,
    /// Means of the score over the folds, and their standard errors.
    pub mean_score: Vec<f64>,
    /// See [`CrossValidation::mean_score`].
    pub standard_error: Vec<f64>,
    /// Number of the penalty whose mean is best; the largest of those that are equal.
    pub best: usize,
    /// Number of the largest penalty whose mean is within one standard error of the best one's.
    pub one_se: usize,
    /// The folds' names.
    pub folds: Vec<String>,
    /// Every model: fold by fold, and for each the penalties in order.
    pub models: ManyFits,
}

impl CrossValidation {
    /// Number of the penalty and fold of each model.
    pub fn members(&self) -> impl Iterator<Item = (usize, &str)> {
        self.folds.iter().flat_map(|fold| (0..self.grid.lambda.len()).map(move |k| (k, fold.as_str())))
    }

    /// What computed.
    pub fn device(&self) -> &DeviceInfo {
        &self.models.device
    }

    /// Seconds by part.
    pub fn seconds(&self) -> &Seconds {
        &self.models.seconds
    }

    /// What the engine did.
    pub fn cost(&self) -> &Cost {
        &self.models.cost
    }
}

/// Deals the rows of `data` to folds as [`Folds::deal`] does, on all ranks that share them: the folds are those of one process.
///
/// # Errors
/// As there.
pub fn deal_folds(data: &Dataset, folds: usize, seed: u64) -> Result<Folds> {
    if data.spread.is_none() {
        return Folds::deal(data, folds, seed);
    }
    let targets: Vec<f64> = Host::new(data).vectors()?.into_iter().map(|(target, _)| target).collect();
    Folds::deal_targets(&targets, folds, seed)
}

/// Cross-validates `penalties` on the training rows of `training` in `folds`. Of the options the penalty and the method are not used.
///
/// # Errors
/// As [`super::fit`]; [`Error::Usage`] when a class or all weight is missing where it is needed: in the rows outside a fold, or, for
/// the area under the curve, inside one.
pub fn cross_validate(
    training: &Training,
    folds: &Folds,
    penalties: &Penalties,
    score: Score,
    options: &FitOptions,
    monitor: &dyn Monitor,
) -> Result<CrossValidation> {
    let data = &training.train;
    super::check(data, options)?;
    let _shared = SharedFolds::new(data, &folds.of_row)?;
    let weights = FoldWeights::new(data, folds, &training.class_factors)?;
    weights.check(training, folds, score)?;
    let mut grid_passes = 0;
    let grid = Grid::new(penalties, || {
        let null = Null::new(data, options)?;
        grid_passes = null.passes;
        Ok(null)
    })?;
    let penalties = grid.lambda.len();
    let members: Vec<Member> = (0..folds.len())
        .flat_map(|fold| {
            let weight_sum = weights.outside[fold].iter().sum();
            let draw = Draw::Without(fold as u8);
            let grid = &grid;
            (0..penalties).map(move |k| Member { l1: grid.l1(k), l2: grid.l2(k), draw, weight_sum })
        })
        .collect();
    let mut models = fit_many(data, &members, &folds.of_row, options, monitor)?;
    models.passes += grid_passes;
    let by_fold = || models.fits.chunks(penalties);
    let (fold_log_loss, fold_score);
    if score == Score::LogLoss && training.class_factors.iter().all(|factor| *factor == 1.0) {
        let of_fold = |(fits, inside): (&[super::MemberFit], &[f64; 2])| -> Vec<f64> {
            fits.iter().map(|fit| fit.loss_left_out / inside.iter().sum::<f64>()).collect()
        };
        fold_log_loss = by_fold().zip(&weights.inside).map(of_fold).collect();
        fold_score = Vec::clone(&fold_log_loss);
    } else {
        let (judged, passes) = judge(training, folds, &models, penalties, monitor)?;
        let all = |of: &dyn Fn(&Headline) -> f64| -> Vec<Vec<f64>> {
            judged.iter().map(|fold| fold.iter().map(of).collect()).collect()
        };
        fold_log_loss = all(&|metrics| metrics.log_loss);
        fold_score = match score {
            Score::LogLoss => Vec::clone(&fold_log_loss),
            Score::Auc => all(&|metrics| metrics.roc_auc.unwrap_or(f64::NAN)),
            Score::Accuracy => all(&|metrics| metrics.accuracy),
        };
        models.passes += passes;
    }
    let mean_log_loss = means(&fold_log_loss);
    let (mean_score, standard_error) = (means(&fold_score), standard_errors(&fold_score));
    let (best, one_se) = choose(score, &mean_score, &standard_error);
    let folds = folds.names.clone();
    Ok(CrossValidation {
        grid,
        score,
        fold_log_loss,
        fold_score,
        mean_log_loss,
        mean_score,
        standard_error,
        best,
        one_se,
        folds,
        models,
    })
}

/// Σ s of the two classes outside each fold and inside.
struct FoldWeights {
    /// As the fits count them.
    outside: Vec<[f64; 2]>,
    /// Without class weights.
    inside: Vec<[f64; 2]>,
}

impl FoldWeights {
    fn new(data: &Dataset, folds: &Folds, factors: &[f64]) -> Result<Self> {
        let draws: Vec<Draw> = (0..folds.len()).map(|fold| Draw::Without(fold as u8)).collect();
        let sums = Host::new(data).weight_sums(&draws, DrawnRows::all(&folds.of_row))?;
        let plain = |left_out: [f64; 2]| std::array::from_fn(|k| left_out[k] / factors[k]);
        Ok(FoldWeights {
            outside: sums.iter().map(|sums| sums.classes).collect(),
            inside: sums.iter().map(|sums| plain(sums.left_out)).collect(),
        })
    }

    /// Both classes must be outside every fold, something inside, and both for an area.
    fn check(&self, training: &Training, folds: &Folds, score: Score) -> Result<()> {
        let classes = &training.design.target.classes;
        let usage = |message: String| Err(Error::Usage(message));
        for ((name, outside), inside) in folds.names.iter().zip(&self.outside).zip(&self.inside) {
            if let Some(class) = (0..2).find(|class| !(outside[*class] > 0.0)) {
                return usage(format!(
                    "without fold {name} no row of class '{}' is left to fit: the class has too few rows, or the folds \
                     that are given keep them together, which --folds does not",
                    classes[class]
                ));
            }
            if !(inside.iter().sum::<f64>() > 0.0) {
                return usage(format!(
                    "fold {name} holds no row of positive weight to judge a model by; use fewer folds"
                ));
            }
            if let Some(class) = (0..2).find(|class| score == Score::Auc && !(inside[*class] > 0.0)) {
                return usage(format!(
                    "fold {name} holds no row of class '{}', so there is no area under the curve; use fewer folds, or \
                     --metric log-loss",
                    classes[class]
                ));
            }
        }
        Ok(())
    }
}

/// Metrics of each fold and penalty, and the reads of X they took.
fn judge(
    training: &Training,
    folds: &Folds,
    models: &ManyFits,
    penalties: usize,
    monitor: &dyn Monitor,
) -> Result<(Vec<Vec<Headline>>, u64)> {
    let data = &training.train;
    let host = Host::new(data);
    let mut metrics = vec![Vec::with_capacity(penalties); folds.len()];
    for penalty in 0..penalties {
        monitor.event(Event::Step(format!("judging penalty {} of {penalties}", penalty + 1)));
        let mut w = Params::zeros(data.features.len(), folds.len());
        for fold in 0..folds.len() {
            let fit = &models.fits[fold * penalties + penalty];
            w.model_mut(fold).copy_from_slice(&data.in_stored_units(&fit.coefficients, fit.intercept));
        }
        let mut tallies = (0..folds.len()).map(|_| Tally::new(0.5)).collect::<Result<Vec<_>>>()?;
        host.each_row_of_folds(&w, &folds.of_row, |fold, a, t, s| {
            tallies[fold].add(a, t, s / training.class_factors[usize::from(t > 0.5)])
        })?;
        for (metrics, tally) in metrics.iter_mut().zip(tallies) {
            metrics.push(tally.headline()?);
        }
    }
    Ok((metrics, host.passes()))
}

/// Means over the folds.
fn means(folds: &[Vec<f64>]) -> Vec<f64> {
    let mean = |k| folds.iter().map(|fold| fold[k]).sum::<f64>() / folds.len() as f64;
    (0..folds[0].len()).map(mean).collect()
}

/// Standard errors of the means over the folds: the folds' standard deviation (n − 1) over √n.
fn standard_errors(folds: &[Vec<f64>]) -> Vec<f64> {
    let n = folds.len() as f64;
    let of = |(k, mean): (usize, f64)| {
        let squares: f64 = folds.iter().map(|fold| (fold[k] - mean).powi(2)).sum();
        (squares / (n - 1.0) / n).sqrt()
    };
    means(folds).into_iter().enumerate().map(of).collect()
}

/// The best penalty, and the largest one within a standard error of it; penalties come largest first.
fn choose(score: Score, means: &[f64], standard_errors: &[f64]) -> (usize, usize) {
    let badness = |k: usize| if score == Score::LogLoss { means[k] } else { -means[k] };
    // The first of equal ones is the largest penalty.
    let best = (0..means.len()).min_by(|a, b| badness(*a).total_cmp(&badness(*b))).unwrap_or(0);
    let within = |k: &usize| badness(*k) <= badness(best) + standard_errors[best];
    (best, (0..means.len()).find(within).unwrap_or(best))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_choice_is_the_best_mean_and_the_largest_penalty_within_one_standard_error() {
        let folds = vec![vec![0.9, 0.52, 0.49, 0.6], vec![0.9, 0.48, 0.51, 0.6], vec![0.9, 0.53, 0.50, 0.6]];
        let (mean, error) = (means(&folds), standard_errors(&folds));
        assert!((mean[2] - 0.5).abs() < 1e-15 && (error[2] - (1e-4f64 / 3.0).sqrt()).abs() < 1e-12, "{error:?}");
        // 0.51 is not within 0.0058 of 0.50.
        assert_eq!(choose(Score::LogLoss, &mean, &error), (2, 2));
        assert_eq!(choose(Score::LogLoss, &mean, &[0.0, 0.0, 0.02, 0.0]), (2, 1));
        assert_eq!(choose(Score::Accuracy, &mean, &error), (0, 0));
        assert_eq!(choose(Score::Auc, &[0.7, 0.7, 0.7], &[0.0; 3]), (0, 0));
    }
}
