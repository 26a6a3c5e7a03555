//! Any data distribution: the deterministic statements hold for every network on every data set, with no tolerance but the
//! rounding that `proofs/rounding.md` proves. Every check is shown to fail when the theory it is given is wrong.
//!
//! Data sets are drawn by proptest from a fixed ChaCha seed; failures once found are kept in `properties.regressions`.

#[path = "properties/case.rs"]
mod case;
mod common;
#[path = "properties/double.rs"]
mod double;
#[path = "properties/dynamics.rs"]
mod dynamics;
#[path = "properties/geometry.rs"]
mod geometry;
#[path = "properties/rounding.rs"]
mod rounding;
#[path = "properties/seen.rs"]
mod seen;
