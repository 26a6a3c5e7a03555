//! Proved bounds at finite width: one pure function per inequality of `proofs/`, named there after "Code:".
//!
//! - [`angle`]: unit vectors (D6), angles of augmented inputs (D5);
//! - [`tail`]: the two-point Chernoff bound (W2), Bernstein forms (W3);
//!
//! All bounds on trained networks are for gradient flow of the identity loss. They are evaluated in double precision and
//! not rounded outwards: what is returned may lie below the bound of the text by some hundred units of its last place.

pub mod angle;
pub mod tail;

pub use angle::{angle_change_bound, direction_angle_bound, unit_vector_change_bound};
pub use tail::{bernstein_deviation, chernoff_deviation};

/// The distribution of the unscaled readouts α = √m·a.
#[derive(Debug, Clone, Copy, PartialEq, Eq, serde::Serialize)]
#[serde(rename_all = "kebab-case")]
pub enum ReadoutLaw {
    /// α ~ N(0, 1).
    Gaussian,
    /// α = ±1 with equal probability.
    Rademacher,
}
