//! One point of the hunter's search space: everything that a bound can depend on.

use nalgebra::DMatrix;
use serde::{Serialize, Serializer};

use crate::error::Result;
use crate::experiment::{network_law, readout_law};
use crate::network::{Initialisation, Readout};
use crate::problem::{Points, Scenario, Slope, TrainingSet};
use crate::theory::bound::{Geometry, NetworkLaw, ReadoutLaw};
use crate::theory::{Predictor, perturbations};

/// Data, network and training at which a bound is compared with what it bounds. Each statement uses what it needs.
#[derive(Debug, Clone)]
pub struct Case {
    /// (x_n, y_n). Statements on the second network take it as (r_n, y'_n), statements on pairs its first points.
    pub train: TrainingSet,
    /// γ.
    pub slope: Slope,
    /// The points z; the hunter uses one.
    pub test: Points,
    /// T.
    pub time: f64,
    /// m; even.
    pub width: usize,
    /// The distribution of the readouts.
    pub readout: Readout,
    /// Independent neurons or pairs.
    pub initialisation: Initialisation,
    /// δ, for each single test point.
    pub failure_probability: f64,
    /// ε.
    pub epsilon: f64,
    /// What the second network is trained on.
    pub scenario: Scenario,
}

impl Case {
    /// The law of the initial network, in the words of theory.
    ///
    /// # Errors
    /// A width that the initialisation does not allow.
    pub fn law(&self) -> Result<NetworkLaw> {
        network_law(self.width, self.initialisation, self.readout)
    }

    /// The distribution of the readouts, in the words of theory.
    #[must_use]
    pub fn readout_law(&self) -> ReadoutLaw {
        readout_law(self.readout)
    }

    /// The data, prepared for the bounds at finite width.
    ///
    /// # Errors
    /// Test points of another dimension.
    pub fn geometry(&self) -> Result<Geometry> {
        Geometry::new(&self.train, self.slope, &self.test)
    }

    /// The same case at another width: what a bound that mistakes the width would be evaluated at.
    #[must_use]
    pub fn with_width(&self, width: usize) -> Self {
        Case { width, ..self.clone() }
    }

    /// C_k(z) = y_k(⟨x_k,z⟩ + 1)/N for a point z.
    #[must_use]
    pub fn signed_gram(&self, z: &[f64]) -> Vec<f64> {
        let scale = 1.0 / self.train.count() as f64;
        let products = self.train.points().iter().map(|x| x.iter().zip(z).map(|(x, z)| x * z).sum::<f64>() + 1.0);
        products.zip(self.train.labels()).map(|(k, y)| y * k * scale).collect()
    }

    /// εq_n along the limit's gradients at the training points, for targets +1; d × N.
    ///
    /// # Errors
    /// A gradient of the limit that vanishes.
    pub fn limit_perturbations(&self) -> Result<DMatrix<f64>> {
        let gradients = Predictor::identity(&self.train, self.slope, 1.0)?.gradient(self.train.points())?;
        perturbations(&gradients, &vec![1.0; self.train.count()], self.epsilon)
    }
}

/// As a document of plain numbers: points row by row.
impl Serialize for Case {
    fn serialize<S: Serializer>(&self, serializer: S) -> std::result::Result<S::Ok, S::Error> {
        #[derive(Serialize)]
        struct Document<'a> {
            train: Vec<&'a [f64]>,
            labels: &'a [f64],
            slope: Slope,
            test: Vec<&'a [f64]>,
            time: f64,
            width: usize,
            readout: Readout,
            initialisation: Initialisation,
            failure_probability: f64,
            epsilon: f64,
            scenario: Scenario,
        }
        let document = Document {
            train: self.train.points().iter().collect(),
            labels: self.train.labels(),
            slope: self.slope,
            test: self.test.iter().collect(),
            time: self.time,
            width: self.width,
            readout: self.readout,
            initialisation: self.initialisation,
            failure_probability: self.failure_probability,
            epsilon: self.epsilon,
            scenario: self.scenario,
        };
        document.serialize(serializer)
    }
}

impl std::fmt::Display for Case {
    /// One line on what the case looks like.
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        let words = |readout| if readout == Readout::Gaussian { "Gaussian" } else { "±1/√m" };
        let start = |init| if init == Initialisation::Standard { "standard" } else { "antisymmetric" };
        write!(
            f,
            "N = {}, d = {}, γ = {:.3}, T = {:.3e}, m = {}, {} readouts, {} start, δ = {}, ε = {:.3e}",
            self.train.count(),
            self.train.input_dim(),
            self.slope.value(),
            self.time,
            self.width,
            words(self.readout),
            start(self.initialisation),
            self.failure_probability,
            self.epsilon
        )
    }
}
