//! Puts a theorem to the test: wide two-layer networks can learn from adversarial perturbations.
//!
//! The modules, in reading order:
//! - [`problem`], [`loss`], [`random`], [`error`]: the words that everything else is written in;
//! - [`theory`]: closed forms of the infinite-width limit. Knows nothing of simulation;
//! - [`network`]: networks of finite width and their training. Knows nothing of theory;
//! - [`data`]: embedded images, IDX directories, the user's arrays, synthetic sets;
//! - [`stats`]: exact tails, intervals, rates, the error budget of the test suite;
//! - [`experiment`]: the only floor where theory and network meet;
//! - [`report`]: tables, JSON documents, the record of a run;
//! - [`memory`]: an allocator for programs whose arrays are large.
//!
//! Theory and network never import each other, so that their agreement is evidence (`tests/tidy.rs` keeps it so).

pub mod data;
pub mod error;
pub mod experiment;
mod linalg;
pub mod loss;
pub mod memory;
pub mod network;
pub mod problem;
pub mod random;
pub mod report;
pub mod stats;
pub mod theory;

pub use error::{Error, Result};
