//! One data set with its limits, and networks of any width to compare with them.

use perturbation_learning::Result;
use perturbation_learning::data::{DataSet, Synthetic, synthetic};
use perturbation_learning::experiment::learn::{agreement, column_cosines, root_mean_square};
use perturbation_learning::loss::StandardLoss;
use perturbation_learning::network::{
    FlowOutcome, GradientFlow, Initialisation, Neurons, Readout, adversarial_perturbations,
};
use perturbation_learning::problem::{Scenario, Slope, TrainingSet};
use perturbation_learning::random::{Streams, random_signs};
use perturbation_learning::theory::bound::certificate_given_f;
use perturbation_learning::theory::{Predictor, limit_training_set, perturbed_points};

use nalgebra::DMatrix;

use super::bounds;

/// Seed of everything that the figures show.
pub const SEED: u64 = 2024;
pub const SLOPE: Slope = Slope::RELU;

/// A data set, the times, and the three limits F, ∇F and G on it.
pub struct Study {
    pub data: DataSet,
    pub time: f64,
    pub time_perturbed: f64,
    pub epsilon: f64,
    pub scenario: Scenario,
    /// The law of the readouts of f and g.
    pub readout: Readout,
    pub targets: Vec<f64>,
    /// T·F at the test points.
    pub change_f: Vec<f64>,
    /// T·∇F at the training points, d × N.
    pub gradients: DMatrix<f64>,
    /// T·v at the training points, d × N.
    pub weighted_sums: DMatrix<f64>,
    /// The training set of G.
    pub perturbed: TrainingSet,
    /// T'·G at the test points.
    pub change_g: Vec<f64>,
}

/// Deviations of one network pair (f, g) from the limits.
#[derive(Clone)]
pub struct Deviations {
    /// Root mean square of f_T − T·F over the test points.
    pub function: f64,
    /// Root mean square of ‖∇f_T − T·∇F‖ over the training points.
    pub gradient: f64,
    /// Mean of 1 − cos(∇f_T, ∇F) over the training points.
    pub direction: f64,
    /// g − T'·G at the test points.
    pub perturbed: Vec<f64>,
    /// Share of test points with sgn f = sgn g.
    pub agreement: f64,
    /// Share of test points at which sgn g = sgn f is certified once f is known (A2, failure probability 0.05).
    pub certified: f64,
}

impl Study {
    /// T = T' = `time` on a shifted Gaussian set; perturbations alone.
    pub fn new(
        readout: Readout,
        (input_dim, train_count, test_count): (usize, usize, usize),
        time: f64,
        epsilon: f64,
    ) -> Result<Self> {
        let scenario = Scenario::PerturbationOnly;
        let data = synthetic(Synthetic::ShiftedGauss, input_dim, train_count, test_count, SEED)?;
        let targets = random_signs(&Streams::new(SEED, "targets"), train_count);
        let f = Predictor::identity(&data.train, SLOPE, time)?;
        let points = data.train.points();
        let perturbed = limit_training_set(&f, points, &targets, epsilon, scenario, None)?;
        Ok(Study {
            change_f: f.values(&data.test)?,
            gradients: f.gradient(points)?,
            weighted_sums: f.weighted_sum(points)?,
            change_g: Predictor::identity(&perturbed, SLOPE, time)?.values(&data.test)?,
            perturbed,
            targets,
            time,
            time_perturbed: time,
            epsilon,
            scenario,
            readout,
            data,
        })
    }

    /// The initial network number `index` of a width, for `purpose` "f" or "g".
    pub fn neurons(
        &self,
        initialisation: Initialisation,
        purpose: &str,
        width: usize,
        index: usize,
    ) -> Result<Neurons> {
        let streams = Streams::new(SEED, &format!("bench/{initialisation:?}/{purpose}/width {width}/network {index}"));
        Neurons::draw(self.data.train.input_dim(), width, initialisation, self.readout, streams)
    }

    /// f_T − T·F at the test points.
    pub fn function_deviation(&self, width: usize, index: usize) -> Result<Vec<f64>> {
        let neurons = self.neurons(Initialisation::Antisymmetric, "f", width, index)?;
        let flow = GradientFlow::new(&self.data.train, SLOPE, self.time)?.with_test(&self.data.test)?;
        Ok(difference(&flow.run(&neurons)?.test_values, &self.change_f))
    }

    /// f trained with its gradients.
    pub fn train_f(&self, initialisation: Initialisation, width: usize, index: usize) -> Result<FlowOutcome> {
        let neurons = self.neurons(initialisation, "f", width, index)?;
        GradientFlow::new(&self.data.train, SLOPE, self.time)?
            .with_test(&self.data.test)?
            .with_gradients()
            .run(&neurons)
    }

    /// The values at the test points of g, trained on perturbations.
    pub fn train_g(
        &self,
        perturbed: &TrainingSet,
        initialisation: Initialisation,
        width: usize,
        index: usize,
    ) -> Result<Vec<f64>> {
        let neurons = self.neurons(initialisation, "g", width, index)?;
        let flow = GradientFlow::new(perturbed, SLOPE, self.time_perturbed)?.with_test(&self.data.test)?;
        Ok(flow.run(&neurons)?.test_values)
    }

    /// The training set of g: perturbations against f.
    fn perturbed(&self, f: &FlowOutcome) -> Result<TrainingSet> {
        let (loss, gradients) = (StandardLoss::Identity, trained_gradients(f));
        let steps = adversarial_perturbations(gradients, &f.train_values, &self.targets, &loss, self.epsilon)?;
        let points = perturbed_points(self.data.train.points(), &steps, self.scenario)?;
        TrainingSet::new(points, self.targets.clone())
    }

    /// All deviations of one pair of networks, antisymmetric initialisation.
    pub fn deviations(&self, width: usize, index: usize) -> Result<Deviations> {
        let f = self.train_f(Initialisation::Antisymmetric, width, index)?;
        let perturbed = self.perturbed(&f)?;
        let g = self.train_g(&perturbed, Initialisation::Antisymmetric, width, index)?;
        let (law, test) = (bounds::law(self.readout, width)?, &self.data.test);
        let certificate =
            certificate_given_f(&perturbed, SLOPE, test, &f.test_values, law, self.time_perturbed, bounds::FAILURE)?;
        let gradients = trained_gradients(&f);
        let cosines = column_cosines(gradients, &self.gradients);
        Ok(Deviations {
            function: root_mean_square(&difference(&f.test_values, &self.change_f)),
            gradient: column_distance(gradients, &self.gradients),
            direction: 1.0 - cosines.iter().sum::<f64>() / cosines.len() as f64,
            perturbed: difference(&g, &self.change_g),
            agreement: agreement(&f.test_values, &g),
            certified: certificate.share(),
        })
    }

    /// sgn f = sgn g under standard initialisation: share of the test points.
    pub fn standard_agreement(&self, width: usize, index: usize) -> Result<f64> {
        let f = self.train_f(Initialisation::Standard, width, index)?;
        let g = self.train_g(&self.perturbed(&f)?, Initialisation::Standard, width, index)?;
        Ok(agreement(&f.test_values, &g))
    }
}

pub fn trained_gradients(f: &FlowOutcome) -> &DMatrix<f64> {
    f.gradients.as_ref().expect("gradients were asked for")
}

pub fn difference(a: &[f64], b: &[f64]) -> Vec<f64> {
    a.iter().zip(b).map(|(a, b)| a - b).collect()
}

/// Root mean square over the columns of the distance between two d × N matrices.
pub fn column_distance(a: &DMatrix<f64>, b: &DMatrix<f64>) -> f64 {
    (a - b).norm() / (a.ncols() as f64).sqrt()
}
