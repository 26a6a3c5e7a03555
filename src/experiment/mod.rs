//! Where theory and network meet: the perturbation-learning experiment, and the verification of its limits.
//!
//! - [`learn`]: train f, perturb against f with random targets, train g on the perturbations, compare both with their
//!   infinite-width limits;
//! - [`paper`]: the figures of the paper, rerun with seeds and error bars;
//! - [`verify`]: the same for growing widths and several networks each, with a verdict per claim.

pub mod learn;
pub mod paper;
pub mod verify;
