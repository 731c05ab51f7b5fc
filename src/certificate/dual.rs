//! The duality gap of a fit with a penalty l1·‖β‖₁: what its residuals prove of the minimum.

use crate::engine::Params;
use crate::engine::cpu::Host;
use crate::error::Result;
use crate::logistic::sigmoid;
use crate::objective::Coordinates;

/// A scale of the dual point is kept so far below what is feasible.
const INSIDE: f64 = 4.0 * f64::EPSILON;

/// Upper bound of J − min J at θ for the penalty Σ wⱼ|θⱼ| + ½·Σ cⱼθⱼ², up to rounding in f64; `None` where nothing is proved. Reads X
/// twice on the host.
///
/// For any q ∈ \[0,1\]ⁿ let r = s∘(q − t) and u = −X̃ᵀr. Where r is orthogonal to the column of ones, Fenchel's inequality for each row
/// and each column gives J(θ) − min J ≤ Σ sᵢ·KL(qᵢ‖yᵢ) + Σⱼ (Rⱼ(θⱼ) + Rⱼ*(uⱼ) − θⱼuⱼ): every term is at least 0, and 0 at the minimum.
/// KL(q‖y) = q·log(q/y) + (1−q)·log((1−q)/(1−y)), and Rⱼ*(u) = max(|u| − wⱼ, 0)²/(2cⱼ), without c infinite for |u| > wⱼ.
///
/// q begins at the fitted y. To be orthogonal to the ones it goes to y − δ·y(1−y) with δ = Σ s(y−t)/Σ s·y(1−y), which stays in \[0,1\]
/// for |δ| ≤ 1. Where c = 0 and some |uⱼ| > wⱼ it then goes towards t, on which r = 0, just as far as makes all of them feasible.
///
/// # Errors
/// What reading blocks that are not in memory fails with.
pub fn duality_gap(
    host: &Host<'_>,
    coordinates: &Coordinates,
    theta: &[f64],
    weights: &[f64],
    curvatures: &[f64],
) -> Result<Option<f64>> {
    let mut rows: Vec<(f64, f64, f64)> = Vec::with_capacity(host.data().rows);
    let w: Params = coordinates.to_params(theta);
    host.each_left_out(&w, &vec![0; host.data().rows], |_, a, t, s| {
        rows.push((a, t, s));
        Ok(())
    })?;
    let intercept = coordinates.map().intercept;
    let variance = |a: f64| sigmoid(a) * sigmoid(-a);
    let (slope, curvature) = rows
        .iter()
        .fold((0.0, 0.0), |(slope, curvature), &(a, t, s)| (slope + s * (sigmoid(a) - t), curvature + s * variance(a)));
    let shift = if intercept { slope / curvature } else { 0.0 };
    if !(shift.abs() <= 1.0) {
        return Ok(None);
    }
    let residuals: Vec<f64> = rows.iter().map(|&(a, t, s)| s * ((sigmoid(a) - t) - shift * variance(a))).collect();
    let pulled = coordinates.pull_back(&host.transposed_products(&residuals)?);
    let columns = coordinates.units().len();
    let scale = (0..columns).filter(|&j| curvatures[j] == 0.0 && pulled[j].abs() > weights[j]);
    let scale = scale.map(|j| weights[j] / pulled[j].abs() * (1.0 - INSIDE)).fold(1.0, f64::min);
    let divergence: f64 = rows
        .iter()
        .map(|&(a, t, s)| {
            let (y, other) = (sigmoid(a), sigmoid(-a));
            let away = (1.0 - scale) * (t - y) - scale * shift * y * other;
            let part = |q: f64, from: f64, away: f64| if q > 0.0 { q * (away / from).ln_1p() } else { 0.0 };
            // Terms this small are differences of larger ones.
            s * (part(y + away, y, away) + part(other - away, other, -away)).max(0.0)
        })
        .sum();
    let of_column = |j: usize| {
        let (u, size) = (-scale * pulled[j], theta[j].abs());
        let beyond = (u.abs() - weights[j]).max(0.0);
        let conjugate = if curvatures[j] > 0.0 { beyond * beyond / (2.0 * curvatures[j]) } else { 0.0 };
        (weights[j] * size + 0.5 * curvatures[j] * size * size + conjugate - theta[j] * u).max(0.0)
    };
    let gap = divergence + (0..columns).map(of_column).sum::<f64>();
    Ok(gap.is_finite().then_some(gap))
}
