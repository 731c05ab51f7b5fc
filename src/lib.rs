//! tmp
pub mod data;
pub mod engine;
pub mod error;
pub mod monitor;
