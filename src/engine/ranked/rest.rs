//! Rows of several classes as those of one against the rest, on all ranks that share them.

use std::ops::Deref;
use std::sync::Arc;

use super::ask::Ask;
use crate::data::Dataset;
use crate::error::Result;
use crate::ranks::Team;

/// Rows as two classes: 1 for those of one class, 0 for all others. Ranks that share them take theirs so, too, until this is gone;
/// what was opened before is to be asked again only then.
pub struct AgainstRest {
    data: Dataset,
    team: Option<Arc<Team>>,
}

impl AgainstRest {
    /// The rows of `data`, those of class `class` against all others. X is shared.
    ///
    /// # Errors
    /// [`crate::error::Error::Rank`] where other ranks that have some of the rows cannot be reached.
    pub fn new(data: &Dataset, class: usize) -> Result<Self> {
        let team = data.spread.as_ref().map(|spread| Arc::clone(&spread.team));
        team.iter().try_for_each(|team| team.tell(&Ask::AgainstRest(class)))?;
        Ok(AgainstRest { data: data.against_rest(class), team })
    }
}

impl Deref for AgainstRest {
    type Target = Dataset;

    fn deref(&self) -> &Dataset {
        &self.data
    }
}

impl Drop for AgainstRest {
    fn drop(&mut self) {
        // Ranks that cannot be reached have nothing to go back to.
        self.team.iter().for_each(|team| drop(team.tell(&Ask::Done)));
    }
}
