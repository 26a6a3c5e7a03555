//! Puts a theorem to the test: wide two-layer networks can learn from adversarial perturbations.
//!
//! The rooms, in reading order:
//! - [`problem`], [`loss`], [`random`], [`error`]: the words that everything else is written in;
//! - [`theory`]: closed forms of the infinite-width limit. Knows nothing of simulation;
//! - [`network`]: networks of finite width and their training. Knows nothing of theory.

pub mod data;
pub mod error;
mod linalg;
pub mod loss;
pub mod network;
pub mod problem;
pub mod random;
pub mod theory;

pub use error::{Error, Result};
