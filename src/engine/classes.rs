//! What a model of several classes comes to in one read of X.

use super::Params;

/// What the rows come to in a model of K classes, or in the product of its Hessian with a direction.
#[derive(Debug, Clone, PartialEq)]
pub struct ClassSums {
    /// Σ s·ℓ with ℓ = log Σₖ e^aₖ − aₜ; infinite where the numbers leave the engine's range. Of no meaning beside a product.
    pub loss: f64,
    /// A column for each class: Zᵀ(s∘(yₖ − [t = k])) in stored units, Σ s·(yₖ − [t = k]) last; or what a product has in its place.
    pub gradient: Params,
}

impl ClassSums {
    /// The same, with an infinite loss where a number is not finite.
    pub(crate) fn checked(mut self) -> Self {
        if !(self.loss.is_finite() && self.gradient.values.iter().all(|g| g.is_finite())) {
            self.loss = f64::INFINITY;
        }
        self
    }
}
