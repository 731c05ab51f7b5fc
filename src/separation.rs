//! Proof that no maximum-likelihood estimate exists.
//!
//! Albert & Anderson (1984): the estimate does not exist exactly when a direction d separates the classes, that is
//! (2t−1)·(x·d + d₀) ≥ 0 on all rows and > 0 on some. The likelihood then rises for ever along d. A penalty outgrows what is gained
//! that way, so where some columns are penalised, d is one of those that move none of them.

use faer::Mat;

use crate::data::Precision;
use crate::engine::cpu::{Curvature, Host, RowSample};
use crate::error::Result;
use crate::linalg::{Cholesky, independent_columns};
use crate::objective::Coordinates;

/// A row whose linear predictor a Newton step still moves by this much has not settled.
const MOVING: f64 = 0.1;
/// Rows that a Newton step moves by more than this are taken to be separated: far out, each step adds about 1 to
/// their margins, and next to nothing to those of the others.
const SEPARATED: f64 = 0.3;
/// A row whose linear predictor is beyond this on its own side may be on its way to infinity.
const FAR_OUT: f64 = 12.0;
/// A coefficient of d at most this part of the largest one is zero.
pub(crate) const ABSENT: f64 = 1e-6;
/// Corrections of a direction from the rows themselves.
const REFINEMENTS: usize = 2;
/// Rounds of taking rows out of the separated set.
const ROUNDS: usize = 25;

/// How the classes separate, proved in f64.
#[derive(Debug, Clone, PartialEq)]
pub struct Separation {
    /// Whether every row lies strictly on its side.
    pub complete: bool,
    /// Features with an infinite estimate.
    pub columns: Vec<usize>,
    /// Rows strictly on their side.
    pub rows: usize,
}

/// A direction that was checked on every row.
#[derive(Debug, Clone)]
pub struct Proof {
    /// d on the standardised columns, as θ of the coordinates it was sought in.
    pub direction: Vec<f64>,
    /// Whether every row lies strictly on its side.
    pub complete: bool,
    /// Rows strictly on their side.
    pub rows: usize,
}

impl Proof {
    fn new(direction: Vec<f64>, margins: &[f64]) -> Self {
        let rows = margins.iter().filter(|&&m| m > 0.0).count();
        Proof { direction, complete: rows == margins.len(), rows }
    }

    /// Features that the direction moves, given the coordinates it was sought in.
    pub fn features(&self, coordinates: &Coordinates) -> Vec<usize> {
        moved_columns(coordinates, &self.direction).into_iter().map(|k| coordinates.map().features[k]).collect()
    }
}

/// Looks for a direction that moves the columns `columns` (positions, ascending) and the intercept alone and separates, at a point θ
/// where J has next to nothing left to lose although the Newton step there still moves linear predictors. Returns only what it has
/// checked on every row.
///
/// # Errors
/// What reading rows that are not in memory fails with, as for all that follows.
pub fn prove_moving(
    host: &Host<'_>,
    coordinates: &Coordinates,
    columns: &[usize],
    theta: &[f64],
    step: &[f64],
) -> Result<Option<Proof>> {
    let (rows, part) = (Rows::new(host)?, Part::new(coordinates, columns));
    let (coordinates, theta, step) = (&part.coordinates, part.pick(theta), part.pick(step));
    let moves = rows.margins(coordinates, &step)?;
    if !moves.iter().any(|m| m.abs() > MOVING) {
        return Ok(None);
    }
    let margins = rows.margins(coordinates, &theta)?;
    let proof = if rows.are_complete(&margins) {
        Some(Proof::new(theta, &margins))
    } else {
        prove_from(&rows, coordinates, &step, &moves, SEPARATED)?
    };
    Ok(proof.map(|proof| part.proof_of_all(proof)))
}

/// The same where no step moves anything any more, because the rows in question are saturated already.
///
/// # Errors
/// As [`prove_moving`].
pub fn prove_far_out(
    host: &Host<'_>,
    coordinates: &Coordinates,
    columns: &[usize],
    theta: &[f64],
) -> Result<Option<Proof>> {
    let part = Part::new(coordinates, columns);
    let (coordinates, theta) = (&part.coordinates, part.pick(theta));
    let reach = coordinates.reach(&host.data().moments);
    if theta.iter().zip(reach).map(|(t, reach)| t.abs() * reach).sum::<f64>() <= FAR_OUT {
        return Ok(None);
    }
    let rows = Rows::new(host)?;
    let margins = rows.margins(coordinates, &theta)?;
    let proof = if rows.are_complete(&margins) && margins.iter().all(|&m| m > FAR_OUT) {
        Some(Proof::new(theta, &margins))
    } else {
        prove_from(&rows, coordinates, &theta, &margins, FAR_OUT)?
    };
    Ok(proof.map(|proof| part.proof_of_all(proof)))
}

/// Some of the columns of coordinates, and the intercept.
struct Part {
    coordinates: Coordinates,
    /// Where they stand in a θ of all.
    places: Vec<usize>,
    /// Entries of that θ.
    all: usize,
}

impl Part {
    fn new(coordinates: &Coordinates, columns: &[usize]) -> Self {
        let mut places = columns.to_vec();
        places.extend(coordinates.map().features.len()..coordinates.len());
        Part { coordinates: coordinates.restricted(columns), places, all: coordinates.len() }
    }

    /// The part of θ.
    fn pick(&self, theta: &[f64]) -> Vec<f64> {
        self.places.iter().map(|&k| theta[k]).collect()
    }

    /// A θ of all whose part this is, 0 elsewhere.
    fn place(&self, part: &[f64]) -> Vec<f64> {
        let mut all = vec![0.0; self.all];
        self.places.iter().zip(part).for_each(|(&k, t)| all[k] = *t);
        all
    }

    fn proof_of_all(&self, proof: Proof) -> Proof {
        Proof { direction: self.place(&proof.direction), ..proof }
    }
}

/// Takes the rows that `along` gives a margin of more than `beyond` to be separated, projects it so that it leaves the
/// others alone, takes rows that it moves to the wrong side out of that set, and so on.
fn prove_from(
    rows: &Rows<'_>,
    coordinates: &Coordinates,
    along: &[f64],
    margins: &[f64],
    beyond: f64,
) -> Result<Option<Proof>> {
    // A row whose target is a fraction has no side: a direction must leave it alone.
    let has_side: Vec<bool> = rows.sides.iter().map(|(_, side)| side.abs() == 1.0).collect();
    let mut separated: Vec<bool> = margins.iter().zip(&has_side).map(|(&m, &sided)| sided && m > beyond).collect();
    let mut along = along.to_vec();
    for _ in 0..ROUNDS {
        if !separated.contains(&true) {
            return Ok(None);
        }
        let Some(rough) = rows.fixing_the_others(coordinates, &along, &separated)? else { return Ok(None) };
        let Some(direction) = rows.cleaned(coordinates, rough, &separated)? else { return Ok(None) };
        let margins = rows.margins(coordinates, &direction)?;
        let mut violated = false;
        for ((separated, &m), &sided) in separated.iter_mut().zip(&margins).zip(&has_side) {
            if m < 0.0 || (m != 0.0 && !sided) {
                violated = true;
                *separated = false;
            }
        }
        if !violated {
            return Ok(margins.iter().any(|&m| m > 0.0).then(|| Proof::new(direction, &margins)));
        }
        // Projecting what is projected already also takes away what rounding had left.
        along = direction;
    }
    Ok(None)
}

/// The rows of positive weight.
struct Rows<'a> {
    host: &'a Host<'a>,
    /// Index among all rows, and 2t−1.
    sides: Vec<(usize, f64)>,
}

impl<'a> Rows<'a> {
    fn new(host: &'a Host<'a>) -> Result<Self> {
        let vectors = host.vectors()?.into_iter().enumerate();
        let sides = vectors.filter(|(_, (_, s))| *s > 0.0).map(|(row, (t, _))| (row, 2.0 * t - 1.0)).collect();
        Ok(Rows { host, sides })
    }

    /// x·d of every row of the data, and the size of its terms.
    fn products(&self, coordinates: &Coordinates, d: &[f64]) -> Result<Vec<(f64, f64)>> {
        let (params, magnitudes) = (coordinates.to_params(d), coordinates.params_magnitudes(d));
        self.host.products(params.model(0), magnitudes.model(0))
    }

    /// (2t−1)·(x·d) of each row of positive weight, with values within rounding of zero set to zero.
    fn margins(&self, coordinates: &Coordinates, d: &[f64]) -> Result<Vec<f64>> {
        // Each term is rounded a few times on its way, and as often as there are terms in the sum.
        let zero = 4.0 * (d.len() as f64 + 2.0) * f64::EPSILON;
        let along = self.products(coordinates, d)?;
        let margins = self
            .sides
            .iter()
            .map(|&(row, side)| {
                let (value, magnitude) = along[row];
                if value.abs() <= zero * magnitude { 0.0 } else { side * value }
            })
            .collect();
        Ok(margins)
    }

    /// Whether every row lies strictly on its side; one whose target is a fraction has none.
    fn are_complete(&self, margins: &[f64]) -> bool {
        margins.iter().zip(&self.sides).all(|(&m, &(_, side))| m > 0.0 && side.abs() == 1.0)
    }

    /// The part of `step` that leaves x·d = 0 on the rows not separated; `None` when nothing is left of it.
    fn fixing_the_others(
        &self,
        coordinates: &Coordinates,
        step: &[f64],
        separated: &[bool],
    ) -> Result<Option<Vec<f64>>> {
        // 1 for the rows to be left alone.
        let mut others = vec![0.0; self.host.data().rows];
        for (&(row, _), &is_separated) in self.sides.iter().zip(separated) {
            others[row] = f64::from(u8::from(!is_separated));
        }
        let gram = self.host.hessian(coordinates.map(), Curvature::Rows(&others), RowSample::All, Precision::F64)?;
        let found = independent_columns(&gram, 1e-11);
        if found.redundant.is_empty() {
            return Ok(None);
        }
        let moving_others = found.shortest(step);
        let mut direction: Vec<f64> = step.iter().zip(&moving_others).map(|(step, part)| step - part).collect();
        // The Gram matrix is exact to a few roundings times its condition only; corrections from the rows themselves
        // (iterative refinement on the kept columns) make x·d = 0 hold to the rounding of x·d.
        let kept = &found.kept;
        let Some(factor) = Cholesky::of(Mat::from_fn(kept.len(), kept.len(), |i, j| gram[(kept[i], kept[j])])) else {
            return Ok(None);
        };
        for _ in 0..REFINEMENTS {
            let moved = self.products(coordinates, &direction)?;
            let left: Vec<f64> = moved.iter().zip(&others).map(|((value, _), other)| value * other).collect();
            let pulled = coordinates.pull_back(&self.host.transposed_products(&left)?);
            let correction = factor.solve(&kept.iter().map(|&k| pulled[k]).collect::<Vec<f64>>());
            kept.iter().zip(correction).for_each(|(&k, c)| direction[k] -= c);
        }
        Ok(Some(direction))
    }

    /// The same with the columns that only rounding moves held at exactly zero: columns that are nearly collinear
    /// blur a direction that has nothing to do with them.
    fn cleaned(&self, coordinates: &Coordinates, rough: Vec<f64>, separated: &[bool]) -> Result<Option<Vec<f64>>> {
        let part = Part::new(coordinates, &moved_columns(coordinates, &rough));
        let clean = self.fixing_the_others(&part.coordinates, &part.pick(&rough), separated)?;
        Ok(clean.map(|clean| part.place(&clean)))
    }
}

/// Positions of the columns that `direction` moves, the intercept's not among them.
fn moved_columns(coordinates: &Coordinates, direction: &[f64]) -> Vec<usize> {
    let slopes = &direction[..coordinates.map().features.len()];
    let largest = slopes.iter().fold(0f64, |m, d| m.max(d.abs()));
    (0..slopes.len()).filter(|&k| slopes[k].abs() > ABSENT * largest).collect()
}
