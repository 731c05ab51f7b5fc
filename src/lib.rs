//! tmp
pub mod data;
pub mod engine;
pub mod error;
pub mod monitor;
pub mod linalg;
pub mod objective;
pub mod solver;
pub mod certificate;
pub mod separation;
pub mod fit;
