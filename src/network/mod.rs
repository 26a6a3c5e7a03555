//! Two-layer networks of finite width, f(x) = Σ_i a_i φ(⟨w_i, x⟩ + b_i), and their training. Knows nothing of theory.
//!
//! The hidden layer (w_i, b_i) is trained, the readout a_i is frozen, as in the paper.
//!
//! - [`flow`]: exact gradient flow of the identity loss, at any width;
//! - [`descent`]: full-batch gradient descent for every loss, as the reference experiments run it;
//! - [`dense`]: outputs and input gradients;
//! - [`tangent`]: the empirical tangent kernel;
//! - [`perturb`]: adversarial perturbations against a trained network.

pub mod dense;
pub mod descent;
pub mod flow;
mod lookup;
mod neurons;
mod number;
pub mod perturb;
pub mod plateau;
pub mod tangent;
mod vectors;

pub use dense::{
    initial_gradients, input_gradients, outputs, outputs_and_input_gradients, outputs_and_input_gradients_in,
    outputs_in, outputs_streamed,
};
pub use descent::{Descent, Precision, Trained};
pub use flow::{FlowOutcome, GradientFlow, PreparedFlow};
pub use neurons::{Initialisation, Neurons, Readout, Weights};
pub use perturb::{adversarial_perturbations, guarded_perturbations};
pub use plateau::Plateau;
pub use tangent::empirical_ntk;
