//! Many runs, on all cores, within bounded memory.
//!
//! Runs on one data set share its limits, and among these runs with one f share that: they are worked off together.
//! Several data sets are worked on at a time, as many as memory allows, and large matrix products inside use idle cores.
//! The results depend on neither.

use std::collections::HashMap;
use std::sync::Mutex;
use std::sync::atomic::{AtomicBool, AtomicUsize, Ordering};
use std::time::Instant;

use super::certified::{certified_share, has_certificate};
use super::limit::{Context, has_twin, offset};
use super::parameters::{DataName, Parameters};
use super::pipeline::{Merits, Network, accuracy, sign_agreement};
use super::plan::groups;
use super::store::Record;
use crate::data::{DataSet, Synthetic, synthetic};
use crate::error::{Error, Result};
use crate::loss::Loss;
use crate::network::{outputs, outputs_and_input_gradients};
use crate::problem::TrainingSet;
use crate::theory::initial::KEPT_BYTES;
use crate::theory::perturbed_points;

/// Fresh points on which f and g of synthetic data are compared.
pub const FRESH_POINTS: usize = 1000;

/// Runs with their ids.
type Runs = Vec<(String, Parameters)>;

/// Runs to be made, and the image sets they need.
#[derive(Debug)]
pub struct Sweep {
    runs: Runs,
    images: HashMap<DataName, DataSet>,
    limits: bool,
}

impl Sweep {
    /// A sweep, with or without the infinite-width limits beside the runs.
    ///
    /// # Errors
    /// An image set that is missing.
    pub fn new(runs: Runs, images: HashMap<DataName, DataSet>, limits: bool) -> Result<Self> {
        let missing = runs.iter().find(|run| run.1.data.is_images() && !images.contains_key(&run.1.data));
        if let Some((_, run)) = missing {
            return Err(Error::Empty { name: format!("image set {}", run.data.name()), expected: "its images" });
        }
        Ok(Sweep { runs, images, limits })
    }

    /// Bytes that one data set with its largest run takes, at most.
    #[must_use]
    pub fn bytes_per_worker(&self) -> f64 {
        self.runs.iter().map(|run| bytes(&run.1, self.limits && has_twin(&run.1))).fold(0.0, f64::max)
    }

    /// How many data sets may be worked on at a time within `bytes` of memory: 0 if not even one.
    #[must_use]
    pub fn workers(&self, bytes: f64) -> usize {
        let fit = (bytes / self.bytes_per_worker().max(1.0)).floor();
        rayon::current_num_threads().min(fit.min(1e6) as usize)
    }

    /// Makes all runs, `workers` data sets at a time, and hands over each when it ends, with its wall time in seconds (a
    /// shared f counts in equal parts). Runs whose descent diverges are handed over as failures.
    ///
    /// # Errors
    /// The first error of a run or of `finished`; no further run is begun then.
    pub fn run(&self, workers: usize, finished: &(dyn Fn(Record, f64) -> Result<()> + Sync)) -> Result<()> {
        let units = self.units();
        let (next, stop, failure) = (AtomicUsize::new(0), AtomicBool::new(false), Mutex::new(None));
        let work = || {
            while !stop.load(Ordering::Relaxed) {
                let Some(unit) = units.get(next.fetch_add(1, Ordering::Relaxed)) else {
                    return;
                };
                if let Err(error) = self.unit(unit, &stop, finished) {
                    stop.store(true, Ordering::Relaxed);
                    failure.lock().unwrap_or_else(std::sync::PoisonError::into_inner).get_or_insert(error);
                }
            }
        };
        std::thread::scope(|scope| {
            for _ in 0..workers.max(1) {
                scope.spawn(work);
            }
        });
        let failure = failure.into_inner().unwrap_or_else(std::sync::PoisonError::into_inner);
        failure.map_or(Ok(()), Err)
    }

    /// The runs by data set (and slope, on which the limits depend), in order of first occurrence.
    fn units(&self) -> Vec<Runs> {
        let mut units: Vec<Runs> = Vec::new();
        let mut places = HashMap::new();
        for run in &self.runs {
            let p = &run.1;
            let key = (p.data, p.input_dim, p.train_count, p.slope.to_bits(), p.seed);
            let place = *places.entry(key).or_insert(units.len());
            if place == units.len() {
                units.push(Vec::new());
            }
            units[place].push(run.clone());
        }
        units
    }

    /// The data of a run.
    ///
    /// # Errors
    /// As [`synthetic()`].
    pub fn data(&self, run: &Parameters) -> Result<DataSet> {
        let kind = match run.data {
            DataName::Gauss => Synthetic::Gauss,
            DataName::ShiftedGauss => Synthetic::ShiftedGauss,
            DataName::Mnist | DataName::Fashion => {
                let missing = || Error::Empty { name: run.data.name().into(), expected: "its images" };
                return self.images.get(&run.data).cloned().ok_or_else(missing);
            }
        };
        synthetic(kind, run.input_dim, run.train_count, FRESH_POINTS, run.seed)
    }

    fn unit(
        &self,
        runs: &Runs,
        stop: &AtomicBool,
        finished: &(dyn Fn(Record, f64) -> Result<()> + Sync),
    ) -> Result<()> {
        let Some((_, first)) = runs.first() else {
            return Ok(());
        };
        let data = match self.data(first) {
            Ok(data) => data,
            // Random labels of a tiny set may all agree: there is nothing to learn.
            Err(error @ Error::Classes { .. }) => return fail(runs, &error, finished),
            Err(error) => return Err(error),
        };
        let twins = self.limits && runs.iter().any(|run| has_twin(&run.1));
        let context = Context::new(data, first.recipe()?.slope, first.seed, twins)?;
        for group in groups(runs) {
            if stop.load(Ordering::Relaxed) {
                return Ok(());
            }
            share_f(&context, &group, finished)?;
        }
        Ok(())
    }
}

/// Hands over all runs as failed.
fn fail(runs: &Runs, error: &Error, finished: &(dyn Fn(Record, f64) -> Result<()> + Sync)) -> Result<()> {
    runs.iter().try_for_each(|run| finished(Record::new(run.1.clone(), Err(error.to_string()))?, 0.0))
}

/// The first half of the runs of a group.
struct FirstHalf {
    f: Network,
    on_train: Vec<f64>,
    on_test: Vec<f64>,
    gradients: nalgebra::DMatrix<f64>,
    cosine: f64,
    zero_gradients: usize,
}

/// Trains one f, then a g for each run of the group.
fn share_f(context: &Context, runs: &Runs, finished: &(dyn Fn(Record, f64) -> Result<()> + Sync)) -> Result<()> {
    let start = Instant::now();
    let first = match first_half(context, &runs[0].1) {
        Ok(first) => first,
        Err(error @ Error::Diverged { .. }) => return fail(runs, &error, finished),
        Err(error) => return Err(error),
    };
    let share = start.elapsed().as_secs_f64() / runs.len() as f64;
    for (_, run) in runs {
        let start = Instant::now();
        let outcome = match second_half(context, &first, run) {
            Ok(merits) => Ok(merits),
            Err(error @ Error::Diverged { .. }) => Err(error.to_string()),
            Err(error) => return Err(error),
        };
        finished(Record::new(run.clone(), outcome)?, share + start.elapsed().as_secs_f64())?;
    }
    Ok(())
}

fn first_half(context: &Context, run: &Parameters) -> Result<FirstHalf> {
    let (recipe, data) = (run.recipe()?, &context.data);
    let f = recipe.train_f(&run.neurons("f/neurons")?, &data.train)?;
    let weights = &f.trained.weights;
    let (on_train, gradients) = outputs_and_input_gradients(weights, recipe.slope, data.train.points())?;
    Ok(FirstHalf {
        on_train,
        on_test: outputs(weights, recipe.slope, &data.test)?,
        cosine: context.cosine(&gradients),
        zero_gradients: gradients.column_iter().filter(|column| column.norm() < 1e-12).count(),
        gradients,
        f,
    })
}

fn second_half(context: &Context, first: &FirstHalf, run: &Parameters) -> Result<Merits> {
    let (recipe, data) = (run.recipe()?, &context.data);
    let targets = run.draw_targets();
    let moved = recipe.perturb_along(&first.gradients, &first.on_train, &targets)?;
    let g = recipe.train_g(&run.neurons("g/neurons")?, data.train.points(), &moved, &targets)?;
    let on_train = outputs(&g.trained.weights, recipe.slope, data.train.points())?;
    let on_test = outputs(&g.trained.weights, recipe.slope, &data.test)?;
    let twin = context.twin(run, &targets, first.f.trained.flow_time, g.trained.flow_time)?;
    let certified_share = match twin {
        Some(_) => {
            let points = perturbed_points(data.train.points(), &moved, recipe.scenario)?;
            let set = TrainingSet::new(points, targets.clone())?;
            certified_share(run, &set, &data.test, &first.on_test, g.trained.flow_time)?
        }
        None => None,
    };
    let mean_g = on_train.iter().sum::<f64>() / on_train.len() as f64;
    let centred = |values: &[f64]| values.iter().map(|v| v - mean_g).collect::<Vec<f64>>();
    let (centred_train, centred_test) = (centred(&on_train), centred(&on_test));
    let tested = |values: &[f64]| data.test_labels.as_deref().map(|labels| accuracy(values, labels));
    Ok(Merits {
        accuracy_f: accuracy(&first.on_train, data.train.labels()),
        accuracy_g: accuracy(&on_train, data.train.labels()),
        accuracy_f_test: tested(&first.on_test),
        accuracy_g_test: tested(&on_test),
        agreement: sign_agreement(&first.on_test, &on_test),
        accuracy_g_centred: accuracy(&centred_train, data.train.labels()),
        agreement_centred: sign_agreement(&first.on_test, &centred_test),
        cosine: first.cosine,
        zero_gradients: first.zero_gradients,
        target_sum: targets.iter().sum(),
        mean_g,
        limit_offset: offset(run, &targets, data.train.points(), g.trained.flow_time)?,
        spread_g: crate::experiment::learn::root_mean_square(&centred_train),
        time: first.f.trained.flow_time,
        time_perturbed: g.trained.flow_time,
        last_learning_rate: last(&first.f.trained.learning_rates),
        last_learning_rate_perturbed: last(&g.trained.learning_rates),
        last_loss: last(&first.f.trained.losses),
        last_loss_perturbed: last(&g.trained.losses),
        flip_share_f: first.f.flip_share,
        flip_share_g: g.flip_share,
        kernel_change_f: first.f.kernel_change,
        kernel_change_g: g.kernel_change,
        limit_agreement: twin.map(|t| t.agreement),
        limit_cosine: twin.map(|t| t.cosine),
        certified_share,
    })
}

/// The last value of a history; 0 if there was no step.
fn last(history: &[f64]) -> f64 {
    history.last().copied().unwrap_or(0.0)
}

/// Bytes that a run takes with its data set, at most.
fn bytes(run: &Parameters, twin: bool) -> f64 {
    let [d, n, m] = [run.input_dim, run.train_count, run.width].map(|v| v as f64);
    let cell = 8.0;
    // Points, perturbed points, gradients, perturbations, weighted sums; as many again at peaks.
    let fields = cell * d * (12.0 * n + 2.0 * FRESH_POINTS as f64);
    let training = if run.loss.is_identity() {
        // The Gram matrix of the points, neurons under way, and blocks of neurons on every core.
        let blocks = 64.0 * cell * n * rayon::current_num_threads() as f64;
        4.0 * precision(run) * n * n + f64::from(1_u32 << 26) + blocks
    } else {
        // For few samples of high dimension a Gram matrix, and five numbers per neuron and sample. Steps by the tangent kernel take this,
        // half of it and six more numbers per neuron and sample besides.
        let gram = if n < 2.0 * (d + 1.0) { 4.0 * precision(run) * n * n } else { 0.0 };
        cell * m * (11.0 * (n + 64.0) + 6.0 * d) + gram + 6.0 * precision(run) * n * n
    };
    let weights = cell * m * d * 6.0 + m * n;
    let limits = if twin { cell * (7.0 * n * n + 10.0 * d * n) + KEPT_BYTES as f64 } else { cell * 2.0 * 512.0 * n };
    // Three N × N matrices and two towards the fresh points, besides what forms them.
    let certificate = if twin && has_certificate(run) { cell * n * (5.0 * n + 4.0 * FRESH_POINTS as f64) } else { 0.0 };
    fields + training + weights + limits + certificate
}

fn precision(run: &Parameters) -> f64 {
    match run.precision {
        crate::network::Precision::F32 => 1.0,
        crate::network::Precision::F64 => 2.0,
    }
}
