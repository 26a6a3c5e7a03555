//! What defines a run, and the id that this content gives it.

use serde::{Deserialize, Serialize};
use sha2::{Digest, Sha256};

use super::pipeline::Recipe;
use crate::data::DataSet;
use crate::error::{Error, Result};
use crate::experiment::learn::Schedule;
use crate::loss::StandardLoss;
use crate::network::{Initialisation, Neurons, Precision, Readout};
use crate::problem::{Scenario, Slope};
use crate::random::{Streams, balanced_signs, random_signs};

/// Number of the pipeline's definition: it is part of every id, and changes whenever results of a run do.
pub const PIPELINE: u32 = 1;

/// Which data a run uses.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub enum DataName {
    /// Two Gaussian clouds around ±0.3·1.
    ShiftedGauss,
    /// One Gaussian cloud with random labels.
    Gauss,
    /// MNIST, 1 against 2.
    Mnist,
    /// Fashion-MNIST, T-shirt against ankle boot.
    Fashion,
}

impl DataName {
    /// The name on the command line.
    #[must_use]
    pub fn name(self) -> &'static str {
        match self {
            DataName::ShiftedGauss => "shifted-gauss",
            DataName::Gauss => "gauss",
            DataName::Mnist => "mnist",
            DataName::Fashion => "fashion",
        }
    }

    /// Whether the points are images rather than drawn.
    #[must_use]
    pub fn is_images(self) -> bool {
        matches!(self, DataName::Mnist | DataName::Fashion)
    }
}

/// How the targets y' are drawn.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub enum Targets {
    /// Independent uniform signs, as in the paper; their sum is of size √N.
    Random,
    /// A random arrangement of equally many +1 and −1 (one +1 more for odd N).
    Balanced,
}

/// Everything that defines a run. Equal parameters give equal results, bit by bit on one kind of processor.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Parameters {
    /// [`PIPELINE`].
    pub pipeline: u32,
    /// Which data.
    pub data: DataName,
    /// First half of the SHA-256 of image data; `None` for synthetic data, which the seed defines.
    pub data_digest: Option<String>,
    /// d.
    pub input_dim: usize,
    /// N.
    pub train_count: usize,
    /// What g is trained on.
    pub scenario: Scenario,
    /// The loss of both networks.
    pub loss: StandardLoss,
    /// γ.
    pub slope: f64,
    /// m.
    pub width: usize,
    /// How hidden weights are paired.
    pub initialisation: Initialisation,
    /// ε.
    pub epsilon: f64,
    /// Steps of f.
    pub steps: usize,
    /// Steps of g.
    pub steps_perturbed: usize,
    /// Learning rate of f.
    pub learning_rate: f64,
    /// Learning rate of g.
    pub learning_rate_perturbed: f64,
    /// How the targets are drawn.
    pub targets: Targets,
    /// Floating-point type of the descent.
    pub precision: Precision,
    /// Seed of every random stream.
    pub seed: u64,
}

impl Parameters {
    /// The id: the first 16 hexadecimal digits of the SHA-256 of the parameters' JSON form.
    ///
    /// # Errors
    /// A number that JSON cannot hold.
    pub fn id(&self) -> Result<String> {
        let text = serde_json::to_string(self)
            .map_err(|e| Error::Numerical { routine: "naming of a run", reason: e.to_string() })?;
        Ok(digest(text.as_bytes()))
    }

    /// The recipe of the pipeline.
    ///
    /// # Errors
    /// A slope outside [0, 1).
    pub fn recipe(&self) -> Result<Recipe> {
        Ok(Recipe {
            loss: self.loss,
            slope: Slope::new(self.slope)?,
            scenario: self.scenario,
            epsilon: self.epsilon,
            clean: Schedule { learning_rate: self.learning_rate, steps: self.steps },
            perturbed: Schedule { learning_rate: self.learning_rate_perturbed, steps: self.steps_perturbed },
            precision: self.precision,
        })
    }

    /// The initial network f or g: Gaussian readouts, from the streams that `learn` uses.
    ///
    /// # Errors
    /// A width of 0; an odd width of antisymmetric pairs.
    pub fn neurons(&self, purpose: &str) -> Result<Neurons> {
        let streams = Streams::new(self.seed, purpose);
        Neurons::draw(self.input_dim, self.width, self.initialisation, Readout::Gaussian, streams)
    }

    /// The targets y'_n.
    #[must_use]
    pub fn draw_targets(&self) -> Vec<f64> {
        match self.targets {
            Targets::Random => random_signs(&Streams::new(self.seed, "targets"), self.train_count),
            Targets::Balanced => balanced_signs(&Streams::new(self.seed, "targets/balanced"), self.train_count),
        }
    }

    /// Whether two runs share f, the costly first half.
    #[must_use]
    pub fn same_f(&self, other: &Self) -> bool {
        let f_only = |p: &Self| Parameters {
            scenario: Scenario::OnImage,
            epsilon: 0.0,
            steps_perturbed: 0,
            learning_rate_perturbed: 0.0,
            targets: Targets::Random,
            ..p.clone()
        };
        f_only(self) == f_only(other)
    }
}

/// The first 16 hexadecimal digits of the SHA-256.
#[must_use]
pub fn digest(bytes: &[u8]) -> String {
    Sha256::digest(bytes).iter().take(8).map(|byte| format!("{byte:02x}")).collect()
}

/// [`digest`] of a data set's points and labels.
#[must_use]
pub fn data_digest(data: &DataSet) -> String {
    let mut hash = Sha256::new();
    let labels = data.test_labels.as_deref().unwrap_or_default();
    for values in
        [data.train.points().as_columns().as_slice(), data.train.labels(), data.test.as_columns().as_slice(), labels]
    {
        hash.update((values.len() as u64).to_le_bytes());
        values.iter().for_each(|v| hash.update(v.to_le_bytes()));
    }
    hash.finalize().iter().take(8).map(|byte| format!("{byte:02x}")).collect()
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::experiment::paper::tests::example;

    #[test]
    fn ids_are_made_from_content_alone_and_stay_what_they_were() {
        let run = example();
        // A known answer: files written by one version are to be read by the next.
        assert_eq!(run.id().unwrap(), KNOWN_ID, "{}", serde_json::to_string(&run).unwrap());
        let text = serde_json::to_string(&run).unwrap();
        assert_eq!(serde_json::from_str::<Parameters>(&text).unwrap(), run);
        let others = [
            Parameters { seed: 8, ..run.clone() },
            Parameters { epsilon: 0.1 + 1e-16, ..run.clone() },
            Parameters { targets: Targets::Balanced, ..run.clone() },
            Parameters { learning_rate_perturbed: 0.1, ..run.clone() },
        ];
        assert!(others.iter().all(|other| other.id().unwrap() != run.id().unwrap()));
        assert!(serde_json::from_str::<Parameters>(&text.replace("seed", "sead")).is_err());
    }

    /// By `sha256sum` of the line that the assertion prints.
    const KNOWN_ID: &str = "a6a32155073ffd76";

    #[test]
    fn runs_share_f_if_they_differ_in_g_only() {
        let run = example();
        assert!(run.same_f(&Parameters { learning_rate_perturbed: 3.0, epsilon: 9.0, ..run.clone() }));
        assert!(run.same_f(&Parameters { targets: Targets::Balanced, scenario: Scenario::OnImage, ..run.clone() }));
        assert!(!run.same_f(&Parameters { learning_rate: 3.0, ..run.clone() }));
        assert!(!run.same_f(&Parameters { seed: 3, ..run.clone() }));
    }
}
