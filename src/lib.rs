//! Logistic regression trained on any GPU through wgpu (Vulkan, Metal, DX12), or on a native CPU engine.
//!
//! # The objective
//!
//! One objective, written once; every other file refers to this one.
//!
//! ```text
//! J(W)   = Σᵢ sᵢ·ℓ(tᵢ, aᵢ) + ½·l2·Σⱼ fⱼβⱼ² + l1·Σⱼ fⱼ|βⱼ|   the (penalised) negative log-likelihood: a SUM over rows
//! aᵢ     = xᵢ·β + β₀ (+ offsetᵢ)                   linear predictor (logit)
//! ℓ(t,a) = log(1+eᵃ) − t·a        t ∈ [0,1]        computed without overflow for every |a|
//! yᵢ     = σ(aᵢ) = 1/(1+e^−aᵢ)                     probability
//! ∇J     = Xᵀ(s∘(Y−T))            (+ l2·f∘β)       intercept: the column of ones, last, never penalised
//! H      = Xᵀ diag(s·y·(1−y)) X   (+ l2·diag f)
//! step   : w ← w + Δw, Δw = −η·∇J                  descent: note the minus sign that some derivations drop
//! ```
//!
//! X is the design matrix, n rows × p features; t the target, s ≥ 0 the sample weight with S = Σ s; β the coefficients
//! on the original columns, β₀ the intercept, w both of them with the intercept last; f ≥ 0 are the penalty factors, 1
//! unless the user says otherwise. `docs/derivation.md` derives it.
//!
//! # The house
//!
//! Imports run one way, from the top of this list to its end; `tests/layering.rs` holds that.
//!
//! - [`cli`]: the command line, the only room that prints or exits
//! - [`report`]: tables and pictures of what was computed
//! - [`mod@fit`], [`mod@validate`], [`mod@bench`], [`explain`]: the main jobs; [`mod@fit`] is the only orchestration
//! - [`mod@export`]: a model for other systems
//! - [`model`], [`metrics`], [`inference`], [`certificate`], [`separation`]: what is kept, measured, inferred and proved
//! - [`solver`]: gradient descent, L-BFGS, Newton, proximal Newton; they know an [`objective::Objective`] and nothing else
//! - [`objective`]: loss + penalty + standardised columns over an engine
//! - [`engine`]: all that a solver may ask of the data; [`engine::gpu`] is the only room that names wgpu
//! - [`data`]: files to blocks of rows
//! - [`linalg`], [`logistic`], [`octet`], [`ranks`], `disk`, [`monitor`], [`error`]: what all of them use
//! - [`mod@reference`]: J, ∇J and H in plain f64; shares no code with the engines
//!
//! `docs/architecture.md` is the map with the reasons.

pub mod bench;
pub mod certificate;
pub mod cli;
pub mod data;
mod disk;
pub mod engine;
pub mod error;
pub mod explain;
pub mod export;
pub mod fit;
pub mod inference;
pub mod linalg;
pub mod logistic;
pub mod metrics;
pub mod model;
pub mod monitor;
pub mod objective;
pub mod octet;
pub mod ranks;
pub mod reference;
pub mod report;
pub mod separation;
pub mod solver;
pub mod validate;
