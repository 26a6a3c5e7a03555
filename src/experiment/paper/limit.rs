//! What the infinite-width theory says about a run: its twin of infinite width.
//!
//! For the identity loss f → f_0 + T·F and g → g_0 + T'·G, where G comes from perturbations along ∇f_0 + T·∇F, and
//! (f_0, ∇f_0) and g_0 are sampled from their joint Gaussian law (antisymmetric pairs start from 0). A twin has the
//! run's data, targets, ε and flow times; its agreement goes through the same selection over learning rates as the
//! networks'. One sample of the start serves all runs on one data set and seed.

use nalgebra::DMatrix;

use super::parameters::Parameters;
use super::pipeline::sign_agreement;
use crate::data::DataSet;
use crate::error::Result;
use crate::experiment::learn::mean_absolute_cosine;
use crate::loss::StandardLoss;
use crate::network::Initialisation;
use crate::problem::{Points, Scenario, Slope, TrainingSet};
use crate::random::Streams;
use crate::theory::bound::target_offset;
use crate::theory::{InitialProcess, Predictor, perturbations, perturbed_points};

/// dN² up to which a start is sampled: about a hundred products of that size are needed.
const SAMPLED_SIZE_MAX: f64 = 2.5e9;
/// N up to which a start is sampled: seven matrices of N² numbers are needed.
const SAMPLED_COUNT_MAX: usize = 3000;
/// Points whose kernel columns are formed at once.
const BLOCK: usize = 512;

/// A data set with what its limits need, per unit of time.
#[derive(Debug)]
pub struct Context {
    /// The data.
    pub data: DataSet,
    slope: Slope,
    seed: u64,
    /// v at the training points, d × N.
    weighted_sums: DMatrix<f64>,
    limits: Option<Limits>,
}

/// F, ∇F and a sampled start.
#[derive(Debug)]
struct Limits {
    /// F at the test points.
    values: Vec<f64>,
    /// ∇F at the training points, d × N.
    gradients: DMatrix<f64>,
    f_start: Vec<f64>,
    f_start_gradients: DMatrix<f64>,
    g_start: Vec<f64>,
}

/// The twin's figures of merit.
#[derive(Debug, Clone, Copy, PartialEq)]
pub struct Twin {
    /// Agreement on the test points.
    pub agreement: f64,
    /// Mean |cos| of T∇F + ∇f_0 to v at the training points.
    pub cosine: f64,
}

/// The mean over the training points of the offset T'·ȳ'·Φ(0, x_n) that unbalanced targets add to g (G7); identity loss
/// and scenario a only.
///
/// # Errors
/// Targets other than ±1.
pub fn offset(run: &Parameters, targets: &[f64], points: &Points, time_perturbed: f64) -> Result<Option<f64>> {
    if run.loss != StandardLoss::Identity || run.scenario != Scenario::PerturbationOnly {
        return Ok(None);
    }
    let offsets = target_offset(targets, Slope::new(run.slope)?, points)?;
    Ok(Some(time_perturbed * offsets.iter().sum::<f64>() / offsets.len() as f64))
}

/// Whether runs of these parameters have a twin.
#[must_use]
pub fn has_twin(parameters: &Parameters) -> bool {
    let n = parameters.train_count as f64;
    let sampled = parameters.input_dim as f64 * n * n <= SAMPLED_SIZE_MAX;
    parameters.loss == StandardLoss::Identity && parameters.train_count <= SAMPLED_COUNT_MAX && sampled
}

impl Context {
    /// For a data set, with limits if any of its runs has a twin.
    ///
    /// # Errors
    /// A start that cannot be sampled.
    pub fn new(data: DataSet, slope: Slope, seed: u64, twins: bool) -> Result<Self> {
        let predictor = Predictor::identity(&data.train, slope, 1.0)?;
        let weighted_sums = in_blocks(&data, |points| predictor.weighted_sum(points))?;
        let limits = if twins { Some(Limits::new(&data, slope, seed, &predictor, &weighted_sums)?) } else { None };
        Ok(Context { data, slope, seed, weighted_sums, limits })
    }

    /// Mean |cos| of the columns to v(x_n): the paper's cosine, for gradients or perturbations.
    #[must_use]
    pub fn cosine(&self, directions: &DMatrix<f64>) -> f64 {
        mean_absolute_cosine(directions, &self.weighted_sums)
    }

    /// The twin of a run with these flow times; `None` where there is none.
    ///
    /// # Errors
    /// A limit gradient that vanishes.
    pub fn twin(&self, run: &Parameters, targets: &[f64], time: f64, time_perturbed: f64) -> Result<Option<Twin>> {
        let (true, Some(limits)) = (has_twin(run), &self.limits) else {
            return Ok(None);
        };
        debug_assert_eq!(run.seed, self.seed);
        let standard = run.initialisation == Initialisation::Standard;
        let start = |values: &[f64]| if standard { values.to_vec() } else { vec![0.0; values.len()] };
        let mut gradients = &limits.gradients * time;
        if standard {
            gradients += &limits.f_start_gradients;
        }
        let moved = if run.epsilon > 0.0 {
            perturbations(&gradients, targets, run.epsilon)?
        } else {
            DMatrix::zeros(gradients.nrows(), gradients.ncols())
        };
        let points = perturbed_points(self.data.train.points(), &moved, run.scenario)?;
        let set = TrainingSet::new(points, targets.to_vec())?;
        let change = Predictor::identity(&set, self.slope, time_perturbed)?.values(&self.data.test)?;
        let f: Vec<f64> = start(&limits.f_start).iter().zip(&limits.values).map(|(f, v)| f + time * v).collect();
        let g: Vec<f64> = start(&limits.g_start).iter().zip(&change).map(|(g, v)| g + v).collect();
        Ok(Some(Twin { agreement: sign_agreement(&f, &g), cosine: self.cosine(&gradients) }))
    }
}

impl Limits {
    fn new(
        data: &DataSet,
        slope: Slope,
        seed: u64,
        predictor: &Predictor,
        weighted_sums: &DMatrix<f64>,
    ) -> Result<Self> {
        let boundary = in_blocks(data, |points| predictor.boundary_term(points))?;
        let f = InitialProcess::new(slope, &data.test, Some(data.train.points()))?
            .sample(&Streams::new(seed, "limit/f"), 0)?;
        let g = InitialProcess::new(slope, &data.test, None)?.sample(&Streams::new(seed, "limit/g"), 0)?;
        Ok(Limits {
            values: predictor.values(&data.test)?,
            gradients: weighted_sums + boundary,
            f_start: f.values,
            f_start_gradients: f.gradients,
            g_start: g.values,
        })
    }
}

/// A d × N matrix of something at the training points, formed a block of points at a time.
fn in_blocks(data: &DataSet, at: impl Fn(&Points) -> Result<DMatrix<f64>>) -> Result<DMatrix<f64>> {
    let points = data.train.points();
    let mut result = DMatrix::zeros(points.input_dim(), points.count());
    let indices: Vec<usize> = (0..points.count()).collect();
    for block in indices.chunks(BLOCK) {
        result.columns_mut(block[0], block.len()).copy_from(&at(&points.select(block))?);
    }
    Ok(result)
}
