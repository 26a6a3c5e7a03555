//! Where theory and network meet: the perturbation-learning experiment, and the verification of its limits.
//!
//! - [`learn`]: train f, perturb against f with random targets, train g on the perturbations, compare both with their
//!   infinite-width limits;
//! - [`expect`]: what theory expects networks of a finite width to deviate by;
//! - [`certify`]: the signs of f and g, certified together before either is drawn;
//! - [`verify`]: what [`learn`] does for growing widths and several networks each, with a verdict per claim;
//! - [`hunt`]: searches for the case at which a proved bound is closest to being violated;
//! - [`tightness`]: how tight the bounds are, on standard data and in the worst cases that hunts find;
//! - [`paper`]: the figures of the paper, rerun with seeds and error bars.

pub mod certify;
pub mod expect;
pub mod hunt;
mod law;
pub mod learn;
pub mod paper;
pub mod tightness;
pub mod verify;

pub use law::{network_law, readout_law};
