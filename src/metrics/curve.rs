//! What one sweep over the rows in the order of their predictors tells: areas and their uncertainty, KS, lift, labels at any
//! threshold.

use serde::Serialize;

use super::confusion::{Confusion, Cost};
use super::curves::Curves;
use super::ranked::Ranked;
use crate::error::Result;
use crate::inference::normal_quantile;
use crate::logistic::sigmoid;

/// Thresholds that labels are shown at, the highest first.
const THRESHOLDS: [f64; 15] = [0.99, 0.98, 0.95, 0.9, 0.8, 0.7, 0.6, 0.5, 0.4, 0.3, 0.2, 0.1, 0.05, 0.02, 0.01];
/// Shares of the weight, ranked highest, that lift is shown at.
const SHARES: [f64; 11] = [0.01, 0.05, 0.1, 0.2, 0.3, 0.4, 0.5, 0.6, 0.7, 0.8, 0.9];
/// Confidence of the interval of an area.
const LEVEL: f64 = 0.95;

/// An interval that covers the area of the population in `level` of all samples: area ± 1.96·`se`, cut to [0, 1].
#[derive(Debug, Clone, Copy, PartialEq, Serialize)]
pub struct AreaInterval {
    /// 0.95.
    pub level: f64,
    /// Standard error of DeLong, DeLong & Clarke-Pearson (1988).
    pub se: f64,
    /// Lower end.
    pub low: f64,
    /// Upper end.
    pub high: f64,
}

/// How much of class 1 is in the `share` of the weight that is ranked highest. Rows that tie are taken in equal parts.
#[derive(Debug, Clone, Copy, PartialEq, Serialize)]
pub struct Lift {
    /// Part of the weight, in (0, 1).
    pub share: f64,
    /// Share of class 1 among these rows over that among all.
    pub lift: f64,
    /// Part of the weight of class 1 that is in these rows.
    pub captured: f64,
}

/// Weights and rows of both classes.
#[derive(Debug, Clone, Copy, Default)]
pub(super) struct Totals {
    /// Σ s.
    pub(super) weight: [f64; 2],
    /// Rows of weight above 0.
    pub(super) rows: [usize; 2],
}

/// What the sweep tells; `None` where one class is absent.
pub(super) struct Curve {
    pub(super) areas: Option<(f64, f64)>,
    pub(super) interval: Option<AreaInterval>,
    pub(super) ks: Option<f64>,
    pub(super) lift: Option<Vec<Lift>>,
    /// Labels at some thresholds, the lowest first.
    pub(super) thresholds: Vec<Confusion>,
    /// Labels at the threshold that costs least.
    pub(super) best: Option<Confusion>,
    pub(super) curves: Curves,
}

/// Areas under way, as groups of rows of equal predictors come, highest first.
#[derive(Default)]
pub(super) struct Areas {
    /// Weight of each class so far.
    ranked: [f64; 2],
    /// Σ of the weights of pairs where class 1 is above class 0 and where it is below, ties counting half.
    above: f64,
    below: f64,
    /// Σ over the groups of their weight of class 1 times the precision down to them.
    precision: f64,
}

impl Areas {
    /// Adds a group of rows of these weights in each class.
    pub(super) fn add(&mut self, [zeros, ones]: [f64; 2]) {
        let [negative, positive] = &mut self.ranked;
        self.above += zeros * (*positive + 0.5 * ones);
        self.below += ones * (*negative + 0.5 * zeros);
        *negative += zeros;
        *positive += ones;
        self.precision += ones * (*positive / (*positive + *negative));
    }

    /// Areas under the ROC and the precision–recall curve; `None` when a class is absent.
    pub(super) fn finish(&self) -> Option<(f64, f64)> {
        let [negative, positive] = self.ranked;
        let there = negative > 0.0 && positive > 0.0;
        there.then(|| (self.above / (negative * positive), self.precision / positive))
    }
}

/// Sweeps over `rows`, of these totals; with a `cost`, for the threshold of the least.
///
/// # Errors
/// As [`Ranked::each`].
pub(super) fn sweep(rows: Ranked, totals: &Totals, cost: Option<&Cost>) -> Result<Curve> {
    let [zeros, ones] = totals.weight;
    let mut areas = Areas::default();
    let mut placements = [Spread::default(); 2];
    let (mut ks, mut lift) = (0.0_f64, Vec::new());
    let mut curves = Curves::default();
    let mut labels = Labels { thresholds: Vec::new(), cheapest: cost.map(|cost| Cheapest::new(cost, totals)) };
    rows.each(|tie| {
        let before = areas.ranked;
        let y = sigmoid(tie.a);
        labels.reach(y, before);
        areas.add(tie.weight);
        curves.add(y, tie.weight, areas.ranked, totals);
        // The part of the other class that a row is on the right side of: of class 0 below it, of class 1 above it.
        let below = (zeros - before[0] - 0.5 * tie.weight[0]) / zeros;
        let above = (before[1] + 0.5 * tie.weight[1]) / ones;
        placements[1].add(below, tie.square[1]);
        placements[0].add(above, tie.square[0]);
        ks = ks.max((areas.ranked[1] / ones - areas.ranked[0] / zeros).abs());
        let here = tie.weight[0] + tie.weight[1];
        while let Some(share) = SHARES.get(lift.len()) {
            let wanted = share * (zeros + ones) - (before[0] + before[1]);
            if wanted > here {
                break;
            }
            let captured = (before[1] + tie.weight[1] * (wanted / here)) / ones;
            lift.push(Lift { share: *share, lift: captured / share, captured });
        }
    })?;
    let found = areas.finish();
    let both = |value| found.is_some().then_some(value);
    let (thresholds, best) = labels.finish(areas.ranked);
    Ok(Curve {
        areas: found,
        interval: found.and_then(|(roc, _)| interval(roc, &areas, &placements, totals)),
        ks: both(ks),
        lift: found.is_some().then_some(lift),
        thresholds,
        best,
        curves: curves.finish(),
    })
}

/// The interval of an area, from the parts of the other class that rows are on the right side of: the mean of these parts over
/// either class is the area, and Σ s²·(part − area)²/(Σ s)² · m/(m − 1) over m rows the variance of that mean. `None` where a class
/// has one row, or the classes are separated, for the variance would be 0.
fn interval(area: f64, areas: &Areas, placements: &[Spread; 2], totals: &Totals) -> Option<AreaInterval> {
    if totals.rows.contains(&1) || areas.above == 0.0 || areas.below == 0.0 {
        return None;
    }
    let variance = |k: usize| {
        let m = totals.rows[k] as f64;
        placements[k].about(area) / totals.weight[k].powi(2) * (m / (m - 1.0))
    };
    let se = (variance(0) + variance(1)).sqrt();
    let z = normal_quantile(LEVEL);
    let end = |sign: f64| (area + sign * z * se).clamp(0.0, 1.0);
    Some(AreaInterval { level: LEVEL, se, low: end(-1.0), high: end(1.0) })
}

/// Sums of squares about any centre, of values that weigh q each (West 1979).
#[derive(Debug, Clone, Copy, Default)]
struct Spread {
    weight: f64,
    mean: f64,
    squares: f64,
}

impl Spread {
    fn add(&mut self, value: f64, q: f64) {
        if q > 0.0 {
            let off = value - self.mean;
            self.weight += q;
            self.mean += off * (q / self.weight);
            self.squares += q * off * (value - self.mean);
        }
    }

    /// Σ q·(value − centre)².
    fn about(&self, centre: f64) -> f64 {
        self.squares + self.weight * (self.mean - centre).powi(2)
    }
}

/// Labels at thresholds under way: weights of each class that are labelled 1.
struct Labels {
    /// Those of the highest thresholds.
    thresholds: Vec<[f64; 2]>,
    cheapest: Option<Cheapest>,
}

impl Labels {
    /// Rows of probability `y` come, after others of the weights `before`.
    fn reach(&mut self, y: f64, before: [f64; 2]) {
        while THRESHOLDS.get(self.thresholds.len()).is_some_and(|threshold| y < *threshold) {
            self.thresholds.push(before);
        }
        if let Some(cheapest) = &mut self.cheapest {
            cheapest.reach(y, before);
        }
    }

    /// The labels at all thresholds, the lowest first, and those that cost least; `all` rows came.
    fn finish(mut self, all: [f64; 2]) -> (Vec<Confusion>, Option<Confusion>) {
        self.thresholds.resize(THRESHOLDS.len(), all);
        let at = |(threshold, labelled): (&f64, &[f64; 2])| Confusion::new(*threshold, all, *labelled);
        let thresholds = THRESHOLDS.iter().zip(&self.thresholds).rev().map(at).collect();
        (thresholds, self.cheapest.map(|cheapest| cheapest.finish(all)))
    }
}

/// The cheapest cut so far. Rows of one probability are on one side of it, although their predictors may differ, so that
/// `predict --threshold` cuts there too.
struct Cheapest {
    cost: Cost,
    totals: [f64; 2],
    /// The lowest probability that came, or the highest that there is.
    above: f64,
    least: f64,
    /// Probabilities that the cut lies between, and the weights above it.
    between: [f64; 2],
    labelled: [f64; 2],
}

impl Cheapest {
    fn new(cost: &Cost, totals: &Totals) -> Self {
        let (between, labelled) = ([0.0; 2], [0.0; 2]);
        Cheapest { cost: *cost, totals: totals.weight, above: 1.0, least: f64::INFINITY, between, labelled }
    }

    fn reach(&mut self, y: f64, before: [f64; 2]) {
        if y < self.above {
            self.judge(y, before);
        }
        self.above = y;
    }

    /// Judges a cut between the rows that came and those of probability `below`.
    fn judge(&mut self, below: f64, labelled: [f64; 2]) {
        let cost = self.cost.of(&Confusion::new(self.above, self.totals, labelled));
        if cost < self.least {
            (self.least, self.between, self.labelled) = (cost, [below, self.above], labelled);
        }
    }

    fn finish(mut self, all: [f64; 2]) -> Confusion {
        self.judge(0.0, all);
        let [low, high] = self.between;
        Confusion::new(shortest_between(low, high), all, self.labelled)
    }
}

/// A number in (low, high] of few digits, near the middle (`high` where there is nothing between): a threshold that people can read,
/// and that does not depend on the last bits of the rows' probabilities.
fn shortest_between(low: f64, high: f64) -> f64 {
    let middle = low + 0.5 * (high - low);
    let of_digits = |digits: usize| format!("{middle:.digits$e}").parse().ok();
    (0..17).filter_map(of_digits).find(|x: &f64| low < *x && *x <= high).unwrap_or(high)
}

#[cfg(test)]
mod tests {
    use super::shortest_between;

    #[test]
    fn thresholds_are_short_and_lie_between() {
        assert_eq!(shortest_between(0.16, 0.18), 0.17);
        assert_eq!(shortest_between(0.1, 0.9), 0.5);
        assert_eq!(shortest_between(2.1e-9, 2.7e-9), 2.4e-9);
        assert_eq!(shortest_between(0.5, 0.5f64.next_up()), 0.5f64.next_up());
        assert_eq!(shortest_between(0.0, 5e-324), 5e-324);
        assert_eq!(shortest_between(1.0 - f64::EPSILON, 1.0), 1.0);
    }
}
