//! How much each row pulls its own fit.

use faer::{Mat, MatMut};
use rayon::prelude::*;

use super::hessian::{ColumnMap, Curvature, Group, PANEL_GROUPS, RowSample, fill_panel};
use crate::data::{Block, LANES, Values};
use crate::error::Result;
use crate::linalg::Cholesky;

/// hᵢ = s·y(1−y)·x̃ᵀH⁻¹x̃ of every row at the parameters `w` (stored units, p slopes and the intercept), H being given by its factor:
/// the diagonal of W^½X̃H⁻¹X̃ᵀW^½, whose trace is the number of columns.
pub(super) fn leverages(blocks: &[Block], map: &ColumnMap, w: &[f64], information: &Cholesky) -> Result<Vec<f64>> {
    let mut out = Vec::new();
    RowSample::All.each(blocks, |groups| {
        let parts: Vec<Vec<f64>> =
            groups.par_chunks(PANEL_GROUPS).map(|some| of_panel(some, map, w, information)).collect();
        out.extend(parts.into_iter().flatten());
    })?;
    Ok(out)
}

/// Those of the rows in a few groups.
fn of_panel(groups: &[Group<'_>], map: &ColumnMap, w: &[f64], information: &Cholesky) -> Vec<f64> {
    let mut panel = Mat::<f64>::zeros(groups.len() * LANES, map.width());
    for (i, group) in groups.iter().enumerate() {
        match group.block.x() {
            Values::F32(x) => fill_panel(x, group, map, Curvature::At(w), i * LANES, &mut panel),
            Values::F64(x) => fill_panel(x, group, map, Curvature::At(w), i * LANES, &mut panel),
        }
    }
    let rows: MatMut<'_, f64> = panel.as_mut().transpose_mut();
    let lengths = information.inverse_lengths(rows);
    let present = |group: &Group<'_>| LANES.min(group.block.rows() - group.g * LANES);
    let lanes = groups.iter().zip(lengths.chunks(LANES));
    lanes.flat_map(|(group, lengths)| lengths[..present(group)].to_vec()).collect()
}
