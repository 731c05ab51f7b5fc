//! Rows that several ranks share, as one engine: rank 0 says what is to be computed, every rank computes it of its own rows, and the sums
//! are added in a fixed order ([`crate::ranks`]). One request and one sum a call, neither of which grows with the rows.
//!
//! Solvers and certificates run on rank 0 alone, so that no two ranks can come to different conclusions, whatever their processors
//! round; the others serve it ([`serve`]).

mod ask;
mod folds;
mod held;
mod rest;
mod serve;
#[cfg(test)]
mod tests;

pub use folds::SharedFolds;
pub use rest::AgainstRest;
pub use serve::{dismiss, serve};

use std::sync::atomic::{AtomicU64, Ordering};

use faer::Mat;
use serde::{Deserialize, Serialize};

use self::ask::{Ask, Call, Columns, Curved, RowsCall};
use self::folds::of_first_rank;
use self::held::{Held, Local, answer_of_rows, symmetric};
use super::cpu::{ColumnMap, Curvature, Host, PredictorMoments, RowSample, WeightSums};
use super::{
    Batch, BatchSums, ClassSums, Cost, DeviceInfo, Draw, DrawnRows, Engine, LineId, LossGradient, LossSlope, Params,
    PointId, Shape, Stamps, check_params,
};
use crate::data::{Precision, Spread, alone};
use crate::error::{Error, Result};
use crate::ranks::{Bits, Failure, Team};

/// What draws know of the rows where there are none.
const NONE: DrawnRows<'static> = DrawnRows { folds: &[], first: 0 };

/// The number that the next engine gets.
static ENGINES: AtomicU64 = AtomicU64::new(0);

/// What a rank says of an engine that it opened.
#[derive(Debug, Clone, Serialize, Deserialize)]
struct Opened {
    device: DeviceInfo,
    resolution: Bits,
    rows: usize,
}

impl Opened {
    fn of(engine: &dyn Engine) -> Self {
        Opened {
            device: engine.device().clone(),
            resolution: Bits(vec![engine.resolution(), engine.batch_resolution()]),
            rows: engine.shape().rows,
        }
    }

    /// Tells rank 0 what was opened here, or why not; there, what every rank tells.
    fn told(held: &Result<Held<'_>>, team: &Team) -> Result<Vec<Result<Opened, Failure>>> {
        let mine = held.as_ref().map(|held| Opened::of(held.engine())).map_err(|error| Failure::of(error, team.rank()));
        team.collect(&mine)
    }
}

/// An engine over the rows of all ranks, as rank 0 has it.
pub struct RankedEngine<'a> {
    number: u64,
    spread: &'a Spread,
    held: Held<'a>,
    shape: Shape,
    device: DeviceInfo,
    /// The coarsest of any rank.
    resolution: f64,
    batch_resolution: f64,
    stamps: Stamps,
}

impl<'a> RankedEngine<'a> {
    /// One for `models` models on the device, of which `here` holds the rows here.
    ///
    /// # Errors
    /// What any rank's engine fails with to open; [`Error::NoDevice`] where not all compute on the same sort of device.
    pub(super) fn on_devices(
        spread: &'a Spread,
        models: usize,
        here: impl FnOnce() -> Result<Box<dyn Engine + 'a>>,
    ) -> Result<Self> {
        RankedEngine::open(spread, Some(models), || here().map(Local::Device))
    }

    /// One on the hosts, for one model, in f64.
    ///
    /// # Errors
    /// As [`RankedEngine::on_devices`].
    pub(super) fn on_hosts(spread: &'a Spread) -> Result<Self> {
        RankedEngine::open(spread, None, || Ok(Local::Host(Box::new(Host::new(&spread.here).engine_here()))))
    }

    fn open(spread: &'a Spread, models: Option<usize>, here: impl FnOnce() -> Result<Local<'a>>) -> Result<Self> {
        let number = ENGINES.fetch_add(1, Ordering::Relaxed);
        spread.team.tell(&Ask::Open(number, models))?;
        let held = here().map(|engine| Held::new(engine, &spread.units));
        let opened: Result<Vec<Opened>, Failure> = Opened::told(&held, &spread.team)?.into_iter().collect();
        let opened = opened.map_err(Failure::error)?;
        let busy = || opened.iter().enumerate().filter(|(_, one)| one.rows > 0);
        let (first, device) = busy().next().map_or((0, opened[0].device.clone()), |(k, one)| (k, one.device.clone()));
        if let Some((rank, other)) = busy().find(|(_, one)| one.device.kind != device.kind) {
            return Err(Error::NoDevice(format!(
                "rank {rank} would compute on {} and rank {first} on {}: name with --device what every rank has",
                other.device.id, device.id
            )));
        }
        let coarsest = |k: usize| busy().map(|(_, one)| one.resolution.0[k]).fold(0.0, f64::max);
        Ok(RankedEngine {
            number,
            spread,
            held: held?,
            shape: Shape { rows: spread.rows.iter().sum(), features: spread.units.len(), models: models.unwrap_or(1) },
            device,
            resolution: coarsest(0),
            batch_resolution: coarsest(1),
            stamps: Stamps::default(),
        })
    }

    /// What all ranks answer, added up.
    fn ask(&mut self, call: Call) -> Result<Vec<f64>> {
        self.ask_of_drawn(call, NONE)
    }

    /// The same where the call is of draws, to which `rows` are those here.
    fn ask_of_drawn(&mut self, call: Call, rows: DrawnRows<'_>) -> Result<Vec<f64>> {
        let length = length_of(&call, self.shape);
        self.spread.team.tell(&Ask::Engine(self.number, call.clone()))?;
        let mine = self.held.answer(&call, rows);
        match length {
            Some(length) => added_up(&self.spread.team, mine, length),
            None => mine,
        }
    }

    /// The parameters whose numbers follow one another.
    fn params(&self, numbers: &[f64]) -> Params {
        Params { features: self.shape.features, values: numbers.to_vec() }
    }

    /// Σ s·y(1−y) over the rows at `point`; no pass over X.
    ///
    /// # Errors
    /// As [`Engine::loss_gradient`].
    pub(super) fn curvature_sum(&mut self, point: PointId) -> Result<f64> {
        Ok(self.ask(Call::CurvatureSum(point.0))?[0])
    }
}

/// Numbers that the answer to a call has; none where nothing is added up.
fn length_of(call: &Call, shape: Shape) -> Option<usize> {
    let width = shape.features + 1;
    match call {
        Call::LossGradient(..) => Some(shape.models * (width + 1)),
        Call::LossGradients(w, _) => Some(w.models() * (width + 2)),
        Call::Softmax(w) => Some(1 + w.models() * width),
        Call::SoftmaxProduct(w, _) => Some(w.models() * width),
        Call::Keep(_) | Call::StartLine { .. } => None,
        Call::Probe(_, steps) => Some(2 * steps.0.len() * shape.models),
        Call::CurvatureSum(_) => Some(1),
    }
}

/// Numbers that the answer to a call about rows has.
fn length_of_rows(call: &RowsCall, features: usize) -> usize {
    let triangle = |width: usize| width * (width + 1) / 2;
    match call {
        RowsCall::Hessians { map, curvatures, .. } => curvatures.len() * triangle(map.width()),
        RowsCall::ClassHessian(map, w) => triangle(map.width() * w.models()),
        RowsCall::PredictorMoments(w, ..) => 3 * w.models(),
        RowsCall::WeightSum(_) => 1,
        RowsCall::WeightSums(draws) => 4 * draws.len(),
        RowsCall::Counts => 2,
        RowsCall::Products(..) | RowsCall::Vectors | RowsCall::OfFolds(_) => 0,
        RowsCall::TransposedProducts => features + 1,
    }
}

/// Gives what there is to a sum: what that comes to on rank 0, if every rank has something, and what failed here.
fn give(team: &Team, mine: Result<Vec<f64>>, length: usize) -> Result<(Option<Vec<f64>>, Option<Failure>)> {
    let (mine, failure) = match mine {
        Ok(mine) => (Some(mine), None),
        Err(error) => (None, Some(Failure::of(&error, team.rank()))),
    };
    Ok((team.sum(mine, length)?, failure))
}

/// The sums of all ranks, or what the first of them failed with that did.
fn added_up(team: &Team, mine: Result<Vec<f64>>, length: usize) -> Result<Vec<f64>> {
    let (sums, failure) = give(team, mine, length)?;
    if let Some(sums) = sums {
        return Ok(sums);
    }
    team.tell(&Ask::Why)?;
    let failure = team.collect(&failure)?.into_iter().flatten().next();
    Err(failure.map_or_else(|| Error::Rank("one of them has nothing to say".into()), Failure::error))
}

/// What all ranks answer of their rows: sums, or the numbers of all rows in order; `all` has a number a row where the call wants that,
/// and draws know those here as `rows`.
fn ask_of_rows(spread: &Spread, call: RowsCall, all: &[f64], rows: DrawnRows<'_>) -> Result<Vec<f64>> {
    let team = &spread.team;
    team.tell(&Ask::Rows(call.clone()))?;
    let mine = answer_of_rows(spread, &call, all, rows);
    let Some(numbers) = numbers_a_row(&call) else {
        return added_up(team, mine, length_of_rows(&call, spread.units.len()));
    };
    let gathered = gather(spread, &mine, numbers)?;
    added_up(team, mine.map(|_| Vec::new()), 0)?;
    Ok(gathered)
}

/// How many numbers a row the answer has, where it is of rows.
fn numbers_a_row(call: &RowsCall) -> Option<usize> {
    match call {
        RowsCall::Products(..) | RowsCall::Vectors => Some(2),
        RowsCall::OfFolds(_) => Some(3),
        _ => None,
    }
}

/// So many numbers a row of all ranks, on rank 0; of a rank that has failed zeros.
fn gather(spread: &Spread, mine: &Result<Vec<f64>>, numbers: usize) -> Result<Vec<f64>> {
    let lengths: Vec<usize> = spread.rows.iter().map(|rows| numbers * rows).collect();
    let nothing = || vec![0.0; lengths[spread.team.rank()]];
    spread.team.gather_numbers(mine.as_ref().map_or_else(|_| nothing(), Clone::clone), &lengths)
}

/// Rows of which every rank has a part, as [`super::cpu::Host`] asks about them.
impl Spread {
    pub(super) fn hessians(
        &self,
        map: &ColumnMap,
        curvatures: &[Curvature<'_>],
        sample: RowSample,
        products: Precision,
    ) -> Result<Vec<Mat<f64>>> {
        let factors = curvatures.iter().find_map(|c| if let Curvature::Rows(rows) = c { Some(*rows) } else { None });
        let mut rows = NONE;
        for curvature in curvatures {
            if let Curvature::Drawn(_, draw, all) = curvature
                && draw.asks_fold()
            {
                rows = of_first_rank(self, &[*draw], *all)?;
            }
        }
        let curvatures = curvatures.iter().map(|c| Curved::of(*c)).collect();
        let call = RowsCall::Hessians { map: map.clone(), curvatures, sample, products };
        let sums = ask_of_rows(self, call, factors.unwrap_or_default(), rows)?;
        let width = map.width();
        Ok(sums.chunks((width * (width + 1) / 2).max(1)).map(|triangle| symmetric(width, triangle)).collect())
    }

    pub(super) fn class_hessian(&self, map: &ColumnMap, w: &Params) -> Result<Mat<f64>> {
        let sums = ask_of_rows(self, RowsCall::ClassHessian(map.clone(), Columns::of(w)), &[], NONE)?;
        Ok(symmetric(map.width() * w.models(), &sums))
    }

    pub(super) fn predictor_moments(
        &self,
        w: &Params,
        from: &[f64],
        sample: RowSample,
    ) -> Result<Vec<PredictorMoments>> {
        let call = RowsCall::PredictorMoments(Columns::of(w), Bits(from.to_vec()), sample);
        Ok(ask_of_rows(self, call, &[], NONE)?.as_chunks().0.to_vec())
    }

    pub(super) fn weight_sum(&self, sample: RowSample) -> Result<f64> {
        Ok(ask_of_rows(self, RowsCall::WeightSum(sample), &[], NONE)?[0])
    }

    pub(super) fn weight_sums(&self, draws: &[Draw], rows: DrawnRows<'_>) -> Result<Vec<WeightSums>> {
        let here = of_first_rank(self, draws, rows)?;
        let sums = ask_of_rows(self, RowsCall::WeightSums(draws.to_vec()), &[], here)?;
        let of_draw = |[a, b, c, d]: &[f64; 4]| WeightSums { classes: [*a, *b], left_out: [*c, *d] };
        Ok(sums.as_chunks().0.iter().map(of_draw).collect())
    }

    pub(super) fn counts(&self) -> Result<(usize, usize)> {
        let counts = ask_of_rows(self, RowsCall::Counts, &[], NONE)?;
        Ok((counts[0] as usize, counts[1] as usize))
    }

    pub(super) fn products(&self, w: &[f64], m: &[f64]) -> Result<Vec<(f64, f64)>> {
        let all = ask_of_rows(self, RowsCall::Products(Bits(w.to_vec()), Bits(m.to_vec())), &[], NONE)?;
        Ok(all.as_chunks().0.iter().map(|[value, size]| (*value, *size)).collect())
    }

    pub(super) fn vectors(&self) -> Result<Vec<(f64, f64)>> {
        let all = ask_of_rows(self, RowsCall::Vectors, &[], NONE)?;
        Ok(all.as_chunks().0.iter().map(|[target, weight]| (*target, *weight)).collect())
    }

    pub(super) fn transposed_products(&self, r: &[f64]) -> Result<Vec<f64>> {
        ask_of_rows(self, RowsCall::TransposedProducts, r, NONE)
    }

    /// Linear predictor, target and weight of each row.
    pub(super) fn rows_of_folds(&self, w: &Params, folds: &[u8]) -> Result<Vec<[f64; 3]>> {
        let here = of_first_rank(self, &[Draw::Without(0)], DrawnRows::all(folds))?;
        let all = ask_of_rows(self, RowsCall::OfFolds(Columns::of(w)), &[], here)?;
        Ok(all.as_chunks().0.to_vec())
    }
}

impl Drop for RankedEngine<'_> {
    fn drop(&mut self) {
        // Ranks that cannot be reached have nothing to let go of.
        let _ = self.spread.team.tell(&Ask::Close(self.number));
    }
}

impl Engine for RankedEngine<'_> {
    fn shape(&self) -> Shape {
        self.shape
    }

    fn device(&self) -> &DeviceInfo {
        &self.device
    }

    fn resolution(&self) -> f64 {
        self.resolution
    }

    fn batch_resolution(&self) -> f64 {
        self.batch_resolution
    }

    fn loss_gradient(&mut self, w: &Params) -> Result<LossGradient> {
        check_params(w, self.shape)?;
        let point = self.stamps.evaluated();
        let sums = self.ask(Call::LossGradient(point.0, Columns::of(w)))?;
        let (loss, gradient) = sums.split_at(self.shape.models);
        Ok(LossGradient { point, loss: loss.to_vec(), gradient: self.params(gradient) })
    }

    fn loss_gradients(&mut self, batch: &Batch<'_>) -> Result<Vec<BatchSums>> {
        batch.check(self.shape)?;
        let rows = of_first_rank(self.spread, batch.draws, batch.rows)?;
        let width = self.shape.features + 3;
        let sums = self.ask_of_drawn(Call::LossGradients(Columns::of(batch.w), batch.draws.to_vec()), rows)?;
        let of_one = |numbers: &[f64]| BatchSums {
            loss: numbers[0],
            loss_left_out: numbers[1],
            gradient: numbers[2..].to_vec(),
        };
        Ok(sums.chunks(width).map(|numbers| of_one(numbers).checked()).collect())
    }

    fn softmax(&mut self, w: &Params) -> Result<ClassSums> {
        check_params(w, Shape { models: w.models(), ..self.shape })?;
        let sums = self.ask(Call::Softmax(Columns::of(w)))?;
        Ok(ClassSums { loss: sums[0], gradient: self.params(&sums[1..]) }.checked())
    }

    fn softmax_product(&mut self, w: &Params, v: &Params) -> Result<Params> {
        for params in [w, v] {
            check_params(params, Shape { models: w.models(), ..self.shape })?;
        }
        let sums = self.ask(Call::SoftmaxProduct(Columns::of(w), Columns::of(v)))?;
        Ok(self.params(&sums))
    }

    fn keep(&mut self, point: PointId) -> Result<()> {
        self.stamps.keep(point)?;
        self.ask(Call::Keep(point.0)).map(|_| ())
    }

    fn start_line(&mut self, kept: PointId, latest: PointId) -> Result<LineId> {
        let line = self.stamps.start_line(kept, latest)?;
        self.ask(Call::StartLine { line: line.0, kept: kept.0, latest: latest.0 }).map(|_| line)
    }

    fn probe(&mut self, line: LineId, steps: &[f64]) -> Result<Vec<Vec<LossSlope>>> {
        self.stamps.check_line(line)?;
        let sums = self.ask(Call::Probe(line.0, Bits(steps.to_vec())))?;
        let slope = |[loss, slope]: &[f64; 2]| match loss.is_finite() && slope.is_finite() {
            true => LossSlope { loss: *loss, slope: *slope },
            false => LossSlope::OUT_OF_RANGE,
        };
        let models = 2 * self.shape.models;
        Ok(sums.chunks(models).map(|step| step.as_chunks().0.iter().map(slope).collect()).collect())
    }

    fn logits(&mut self, _: &Params) -> Result<Vec<f64>> {
        Err(alone("the linear predictor of each row"))
    }

    fn cost(&self) -> Cost {
        self.held.engine().cost()
    }

    fn bandwidth(&mut self) -> Result<f64> {
        Err(alone("the bandwidth of a device"))
    }
}
