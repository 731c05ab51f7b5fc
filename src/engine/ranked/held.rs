//! What a rank answers of its own rows, in the units of all.

use faer::Mat;

use super::ask::{Call, Curved, RowsCall};
use crate::data::{Spread, Unit};
use crate::engine::cpu::{ColumnMap, CpuEngine, Curvature, Host};
use crate::engine::{Batch, DrawnRows, Engine, LineId, Params, PointId};
use crate::error::{Error, Result};

/// An engine over the rows here, and what it holds under the numbers that rank 0 gave.
pub(super) struct Held<'a> {
    engine: Local<'a>,
    units: &'a [Unit],
    kept: Option<(u64, PointId)>,
    latest: Option<(u64, PointId)>,
    line: Option<(u64, LineId)>,
}

/// Either engine.
pub(super) enum Local<'a> {
    Device(Box<dyn Engine + 'a>),
    Host(Box<CpuEngine<'a>>),
}

impl<'a> Held<'a> {
    pub(super) fn new(engine: Local<'a>, units: &'a [Unit]) -> Self {
        Held { engine, units, kept: None, latest: None, line: None }
    }

    pub(super) fn engine(&self) -> &dyn Engine {
        match &self.engine {
            Local::Device(engine) => engine.as_ref(),
            Local::Host(engine) => engine.as_ref(),
        }
    }

    fn engine_mut(&mut self) -> &mut dyn Engine {
        match &mut self.engine {
            Local::Device(engine) => engine.as_mut(),
            Local::Host(engine) => engine.as_mut(),
        }
    }

    fn point(&self, number: u64) -> Result<PointId> {
        let known = [self.kept, self.latest].into_iter().flatten().find(|(known, _)| *known == number);
        known.map(|(_, point)| point).ok_or_else(|| Error::Numerics("internal: a point is held no longer".into()))
    }

    /// The numbers that `call` is answered with, to be added to those of other ranks; `rows` are those here.
    ///
    /// # Errors
    /// As the engine's.
    pub(super) fn answer(&mut self, call: &Call, rows: DrawnRows<'_>) -> Result<Vec<f64>> {
        let units = self.units;
        match call {
            Call::LossGradient(number, w) => {
                let at = self.engine_mut().loss_gradient(&here(units, &w.params()))?;
                self.latest = Some((*number, at.point));
                let mut numbers = at.loss;
                (0..w.models()).for_each(|k| numbers.extend(of_all(units, at.gradient.model(k))));
                Ok(numbers)
            }
            Call::LossGradients(w, draws) => {
                let sums = self.engine_mut().loss_gradients(&Batch { w: &here(units, &w.params()), draws, rows })?;
                Ok(sums
                    .iter()
                    .flat_map(|sums| [sums.loss, sums.loss_left_out].into_iter().chain(of_all(units, &sums.gradient)))
                    .collect())
            }
            Call::Softmax(w) => {
                let sums = self.engine_mut().softmax(&here(units, &w.params()))?;
                let mut numbers = vec![sums.loss];
                (0..w.models()).for_each(|k| numbers.extend(of_all(units, sums.gradient.model(k))));
                Ok(numbers)
            }
            Call::SoftmaxProduct(w, v) => {
                let product =
                    self.engine_mut().softmax_product(&here(units, &w.params()), &here(units, &v.params()))?;
                Ok((0..w.models()).flat_map(|k| of_all(units, product.model(k))).collect())
            }
            Call::Keep(number) => {
                let point = self.point(*number)?;
                self.engine_mut().keep(point)?;
                (self.kept, self.latest, self.line) = (Some((*number, point)), None, None);
                Ok(Vec::new())
            }
            Call::StartLine { line, kept, latest } => {
                let (kept, latest) = (self.point(*kept)?, self.point(*latest)?);
                self.line = Some((*line, self.engine_mut().start_line(kept, latest)?));
                Ok(Vec::new())
            }
            Call::Probe(number, steps) => {
                let line = self.line.filter(|(line, _)| line == number).map(|(_, line)| line);
                let line = line.ok_or_else(|| Error::Numerics("internal: a line is held no longer".into()))?;
                let probes = self.engine_mut().probe(line, &steps.0)?;
                Ok(probes.iter().flatten().flat_map(|at| [at.loss, at.slope]).collect())
            }
            Call::CurvatureSum(number) => {
                let point = self.point(*number)?;
                match &mut self.engine {
                    Local::Host(engine) => Ok(vec![engine.curvature_sum(point)?]),
                    Local::Device(_) => Err(Error::Numerics("internal: curvature was asked of a device".into())),
                }
            }
        }
    }
}

/// Parameters for the values as they are stored here.
fn here(units: &[Unit], w: &Params) -> Params {
    let mut moved = Params::zeros(w.features(), w.models());
    for k in 0..w.models() {
        let (of_all, of_here) = (w.model(k), moved.model_mut(k));
        let mut intercept = of_all[units.len()];
        for (j, unit) in units.iter().enumerate() {
            of_here[j] = of_all[j] * unit.factor;
            intercept += of_all[j] * unit.shift;
        }
        of_here[units.len()] = intercept;
    }
    moved
}

/// The same of magnitudes, which bound what rounding does.
fn sizes_here(units: &[Unit], sizes: &[f64]) -> Vec<f64> {
    let mut moved: Vec<f64> = units.iter().zip(sizes).map(|(unit, size)| size * unit.factor).collect();
    let shifts = units.iter().zip(sizes).map(|(unit, size)| size * unit.shift.abs());
    moved.push(sizes[units.len()] + shifts.sum::<f64>());
    moved
}

/// Sums of r·z and last of r, of values as all would store them, from those of values as they are here.
fn of_all<'a>(units: &'a [Unit], sums: &'a [f64]) -> impl Iterator<Item = f64> + 'a {
    let ones = sums[units.len()];
    let moved = units.iter().zip(sums).map(move |(unit, sum)| unit.factor * sum + unit.shift * ones);
    moved.chain([ones])
}

/// A map of the values of all as one of those here.
fn map_here(units: &[Unit], map: &ColumnMap) -> ColumnMap {
    let columns = || map.features.iter().zip(map.factor.iter().zip(&map.shift));
    ColumnMap {
        features: map.features.clone(),
        factor: columns().map(|(j, (factor, _))| factor * units[*j].factor).collect(),
        shift: columns().map(|(j, (factor, shift))| shift + factor * units[*j].shift).collect(),
        intercept: map.intercept,
    }
}

/// The numbers that a call is answered with of the rows of `spread` here, which draws know as `rows`; on rank 0 `all` has the
/// numbers of all rows where the call wants such.
///
/// # Errors
/// As [`Host`]'s.
pub(super) fn answer_of_rows(spread: &Spread, call: &RowsCall, all: &[f64], rows: DrawnRows<'_>) -> Result<Vec<f64>> {
    let (host, units) = (Host::new(&spread.here), spread.units.as_slice());
    match call {
        RowsCall::Hessians { map, curvatures, sample, products } => {
            let moved = |w: &[f64]| here(units, &Params::single(w.to_vec())).model(0).to_vec();
            let weights: Vec<Params> = curvatures
                .iter()
                .map(|curved| match curved {
                    Curved::Gram | Curved::Rows => Params::zeros(0, 1),
                    Curved::At(w) | Curved::Scores(w) | Curved::Drawn(w, _) => Params::single(moved(&w.0)),
                    Curved::Class(w, _) => here(units, &w.params()),
                })
                .collect();
            let factors = if curvatures.iter().any(|c| matches!(c, Curved::Rows)) {
                spread.team.scatter_numbers(all, &spread.rows)?
            } else {
                Vec::new()
            };
            let mut here = Vec::with_capacity(curvatures.len());
            for (curved, w) in curvatures.iter().zip(&weights) {
                here.push(match curved {
                    Curved::Gram => Curvature::Gram,
                    Curved::Rows => Curvature::Rows(&factors),
                    Curved::At(_) => Curvature::At(w.model(0)),
                    Curved::Scores(_) => Curvature::Scores(w.model(0)),
                    Curved::Drawn(_, draw) => Curvature::Drawn(w.model(0), *draw, rows),
                    Curved::Class(_, class) => Curvature::Class(w, *class),
                });
            }
            let all = host.hessians(&map_here(units, map), &here, *sample, *products)?;
            Ok(all.iter().flat_map(lower_triangle).collect())
        }
        RowsCall::ClassHessian(map, w) => {
            Ok(lower_triangle(&host.class_hessian(&map_here(units, map), &here(units, &w.params()))?))
        }
        RowsCall::PredictorMoments(w, from, sample) => {
            Ok(host.predictor_moments(&here(units, &w.params()), &from.0, *sample)?.into_flattened())
        }
        RowsCall::WeightSum(sample) => Ok(vec![host.weight_sum(*sample)?]),
        RowsCall::WeightSums(draws) => {
            let sums = host.weight_sums(draws, rows)?;
            Ok(sums.iter().flat_map(|sums| sums.classes.into_iter().chain(sums.left_out)).collect())
        }
        RowsCall::Counts => {
            let (rows, fractions) = host.counts()?;
            Ok(vec![rows as f64, fractions as f64])
        }
        RowsCall::Products(w, m) => {
            let w = here(units, &Params::single(w.0.clone()));
            let products = host.products(w.model(0), &sizes_here(units, &m.0))?;
            Ok(products.into_iter().flat_map(|(value, size)| [value, size]).collect())
        }
        RowsCall::Vectors => Ok(host.vectors()?.into_iter().flat_map(|(t, s)| [t, s]).collect()),
        RowsCall::OfFolds(w) => {
            let mut numbers = Vec::with_capacity(3 * spread.here.rows);
            host.each_row_of_folds(&here(units, &w.params()), rows.folds, |_, a, t, s| {
                numbers.extend([a, t, s]);
                Ok(())
            })?;
            Ok(numbers)
        }
        RowsCall::TransposedProducts => {
            let r = spread.team.scatter_numbers(all, &spread.rows)?;
            Ok(of_all(units, &host.transposed_products(&r)?).collect())
        }
    }
}

/// The lower triangle of a symmetric matrix, column by column.
fn lower_triangle(matrix: &Mat<f64>) -> Vec<f64> {
    let width = matrix.ncols();
    (0..width).flat_map(|j| matrix.col_as_slice(j)[j..].iter().copied()).collect()
}

/// The symmetric matrix of a lower triangle.
pub(super) fn symmetric(width: usize, triangle: &[f64]) -> Mat<f64> {
    let mut matrix = Mat::zeros(width, width);
    let mut at = 0;
    for j in 0..width {
        for i in j..width {
            (matrix[(i, j)], matrix[(j, i)]) = (triangle[at], triangle[at]);
            at += 1;
        }
    }
    matrix
}
