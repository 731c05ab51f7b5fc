//! What rank 0 asks of the rows of all ranks, as messages carry it.

use serde::{Deserialize, Serialize};

use crate::data::Precision;
use crate::engine::cpu::{ColumnMap, Curvature, RowSample};
use crate::engine::{Draw, Params};
use crate::ranks::Bits;

/// A request to all ranks.
#[derive(Debug, Clone, Serialize, Deserialize)]
pub(in crate::engine) enum Ask {
    /// An engine of this number, on the device for so many models or, for one, on the host.
    Open(u64, Option<usize>),
    /// The engine of this number is no longer needed.
    Close(u64),
    /// A call of the engine of this number.
    Engine(u64, Call),
    /// What is asked of the rows themselves.
    Rows(RowsCall),
    /// What went wrong, from each rank on which it did.
    Why,
    /// From now on the rows are in these folds, of which rank 0 sends each rank those of its rows.
    Folds,
    /// From now on the rows are two classes: this one, and all others.
    AgainstRest(usize),
    /// There is nothing more to do; where the rows were a class against the rest, they are no longer.
    Done,
}

/// A call of an engine; points and lines by the numbers that rank 0 gave them.
#[derive(Debug, Clone, Serialize, Deserialize)]
pub(in crate::engine) enum Call {
    LossGradient(u64, Columns),
    LossGradients(Columns, Vec<Draw>),
    Softmax(Columns),
    SoftmaxProduct(Columns, Columns),
    Keep(u64),
    StartLine { line: u64, kept: u64, latest: u64 },
    Probe(u64, Bits),
    CurvatureSum(u64),
}

/// What is asked of the rows on the host.
#[derive(Debug, Clone, Serialize, Deserialize)]
pub(in crate::engine) enum RowsCall {
    Hessians {
        map: ColumnMap,
        curvatures: Vec<Curved>,
        sample: RowSample,
        products: Precision,
    },
    ClassHessian(ColumnMap, Columns),
    /// Of models, what their predictors are measured from, and on which rows.
    PredictorMoments(Columns, Bits, RowSample),
    WeightSum(RowSample),
    /// Under each draw Σ s·(1−t) and Σ s·t, of the rows that count and of those that do not.
    WeightSums(Vec<Draw>),
    /// Rows of positive weight, and rows whose weight is no whole number.
    Counts,
    /// Two numbers a row, which rank 0 gathers.
    Products(Bits, Bits),
    /// Target and weight of each row, which rank 0 gathers.
    Vectors,
    /// Of each row its linear predictor under the model of its fold, target and weight, which rank 0 gathers.
    OfFolds(Columns),
    /// Zᵀr for an r of which rank 0 sends each rank its rows.
    TransposedProducts,
}

/// Parameters.
#[derive(Debug, Clone, Serialize, Deserialize)]
pub(in crate::engine) struct Columns {
    models: usize,
    values: Bits,
}

impl Columns {
    pub(in crate::engine) fn of(w: &Params) -> Self {
        Columns { models: w.models(), values: Bits(w.values.clone()) }
    }

    pub(in crate::engine) fn params(&self) -> Params {
        Params { features: self.values.0.len() / self.models.max(1) - 1, values: self.values.0.clone() }
    }

    pub(in crate::engine) fn models(&self) -> usize {
        self.models
    }
}

/// A [`Curvature`], of which rank 0 sends each rank the numbers of its rows, where it has a number a row.
#[derive(Debug, Clone, Serialize, Deserialize)]
pub(in crate::engine) enum Curved {
    Gram,
    Rows,
    At(Bits),
    Scores(Bits),
    Drawn(Bits, Draw),
    Class(Columns, usize),
}

impl Curved {
    pub(in crate::engine) fn of(curvature: Curvature<'_>) -> Self {
        match curvature {
            Curvature::Gram => Curved::Gram,
            Curvature::Rows(_) => Curved::Rows,
            Curvature::At(w) => Curved::At(Bits(w.to_vec())),
            Curvature::Scores(w) => Curved::Scores(Bits(w.to_vec())),
            Curvature::Class(w, class) => Curved::Class(Columns::of(w), class),
            Curvature::Drawn(w, Draw::All, _) => Curved::At(Bits(w.to_vec())),
            Curvature::Drawn(w, draw, _) => Curved::Drawn(Bits(w.to_vec()), draw),
        }
    }
}
