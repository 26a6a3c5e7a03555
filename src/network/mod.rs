//! Two-layer networks of finite width, f(x) = Σ_i a_i φ(⟨w_i, x⟩ + b_i), and their training. Knows nothing of theory.
//!
//! The hidden layer (w_i, b_i) is trained, the readout a_i is frozen, as in the paper.

pub mod flow;
mod neurons;

pub use flow::{FlowOutcome, GradientFlow};
pub use neurons::{Initialisation, Neurons, Readout, Weights};
