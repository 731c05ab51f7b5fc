//! Folds that all ranks know, each of its own rows.

use super::ask::Ask;
use crate::data::{Dataset, Spread};
use crate::engine::{Draw, DrawnRows};
use crate::error::{Error, Result};

/// The folds of rows, which ranks that share them hold, each those of its rows: they are sent once, not with every call. As long as
/// this is there calls may leave out a fold.
pub struct SharedFolds<'a> {
    /// The rows that were told theirs for this.
    spread: Option<&'a Spread>,
    /// Borrowed, so that these stay the folds that lie there.
    _folds: &'a [u8],
}

impl<'a> SharedFolds<'a> {
    /// Has `folds`, that of each row of `data` in input order, where `data` is; empty where no call leaves out a fold. Nothing is sent
    /// where they are there already.
    ///
    /// # Errors
    /// [`Error::Numerics`] when there is not one fold a row; [`Error::Rank`] where other ranks cannot be reached.
    pub fn new(data: &'a Dataset, folds: &'a [u8]) -> Result<Self> {
        let spread = data.spread.as_deref().filter(|spread| !folds.is_empty() && !spread.told_folds.are(folds));
        if let Some(spread) = spread {
            if folds.len() != data.rows {
                let message = format!("internal: {} rows were given the folds of {}", data.rows, folds.len());
                return Err(Error::Numerics(message));
            }
            spread.told_folds.set(None);
            spread.team.tell(&Ask::Folds)?;
            let numbers: Vec<f64> = folds.iter().copied().map(f64::from).collect();
            spread.team.scatter_numbers(&numbers, &spread.rows)?;
            spread.told_folds.set(Some(folds));
        }
        Ok(SharedFolds { spread, _folds: folds })
    }
}

impl Drop for SharedFolds<'_> {
    fn drop(&mut self) {
        self.spread.iter().for_each(|spread| spread.told_folds.set(None));
    }
}

/// The rows of rank 0 among all `rows`, with their folds where one of `draws` asks for them.
///
/// # Errors
/// [`Error::Numerics`] when the other ranks do not have these.
pub(super) fn of_first_rank<'f>(spread: &Spread, draws: &[Draw], rows: DrawnRows<'f>) -> Result<DrawnRows<'f>> {
    if !draws.iter().any(|draw| draw.asks_fold()) {
        return Ok(super::NONE);
    }
    if !spread.told_folds.are(rows.folds) {
        return Err(Error::Numerics("internal: the ranks were not told these folds".into()));
    }
    Ok(DrawnRows::all(&rows.folds[..spread.rows[0]]))
}

/// What this rank was told of its rows' folds.
///
/// # Errors
/// [`Error::Rank`] when rank 0 cannot be reached.
pub(super) fn heard(spread: &Spread) -> Result<Vec<u8>> {
    Ok(spread.team.scatter_numbers(&[], &spread.rows)?.into_iter().map(|fold| fold as u8).collect())
}
