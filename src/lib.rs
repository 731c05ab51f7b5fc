//! tmp
pub mod data;
pub mod engine;
pub mod error;
pub mod explain;
pub mod metrics;
pub mod monitor;
pub mod reference;
