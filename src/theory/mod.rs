//! Closed forms of the infinite-width limit. Knows nothing of simulation.
//!
//! - [`bound`]: proved bounds at finite width, one function per inequality of `proofs/`;
//! - [`dual`]: a pair of points: its angle, the duals of the activation, the tangent kernels;
//! - [`kernel`]: the same as Gram matrices, fast;
//! - [`predict`]: the trained function at any time and for any loss, its input gradient and the paper's weighted sum;
//! - [`path_kernel`]: what a neuron adds to the output, from the path of its derivatives;
//! - [`perturbation`]: the infinite-width perturbation, and the training set of the perturbation-trained limit;
//! - [`fluctuation`]: the exact variance of the finite-width kernel; [`covariance`]: between two test points;
//! - [`initial`]: the Gaussian law of the initial function and its gradients, sampled;
//! - [`mod@reference`]: the two statistics that the authors' code computes.

mod arctangent;
pub mod bound;
pub mod covariance;
pub mod dual;
pub mod fluctuation;
pub mod initial;
pub mod kernel;
pub mod path_kernel;
pub mod perturbation;
pub mod predict;
pub mod reference;

pub use covariance::kernel_covariance;
pub use dual::Pair;
pub use fluctuation::kernel_variance;
pub use initial::{InitialProcess, InitialSample};
pub use kernel::{Kernel, cross_gram, gram};
pub use perturbation::{limit_training_set, limit_training_set_along, perturbations, perturbed_points};
pub use predict::{Predictor, SquaredLossFlow};
