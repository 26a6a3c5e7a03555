//! `pertlearn train`: one network of finite width on the user's data.

use std::path::{Path, PathBuf};

use anyhow::bail;
use clap::{ArgGroup, Args};
use nalgebra::DMatrix;
use perturbation_learning::data::{self, ArrayFiles};
use perturbation_learning::loss::StandardLoss;
use perturbation_learning::network::{
    Descent, GradientFlow, Initialisation, Neurons, Precision, Readout, Weights, input_gradients, outputs,
    outputs_streamed,
};
use perturbation_learning::problem::{Points, Slope, TrainingSet};
use perturbation_learning::random::Streams;
use perturbation_learning::report::RunRecord;
use serde::Serialize;

use super::Verdict;
use super::arguments::{
    Common, InitialisationName, LossName, PrecisionName, Random, ReadoutName, UserData, parse_count, parse_nonnegative,
    parse_positive, parse_slope, require_descent_memory, require_flow_memory, require_history, require_memory,
};
use super::busy::Busy;
use super::files::{Files, make_directory};

/// Train one network of finite width and evaluate it at test points.
///
/// Either by exact gradient flow of the identity loss (--flow --time T) or by full-batch gradient descent
/// (--descent --learning-rate LR --steps K). The initial weights are drawn from the seed, or given.
#[derive(Debug, Args)]
#[command(group(ArgGroup::new("method").required(true).args(["flow", "descent"])))]
pub struct TrainArguments {
    #[command(flatten)]
    data: UserData,
    /// Number of hidden neurons m (not with given weights).
    #[arg(long, value_name = "M", required_unless_present = "hidden", value_parser = parse_count, allow_negative_numbers = true)]
    width: Option<usize>,
    /// Pairing of the initial weights.
    #[arg(long, value_enum, default_value = "standard", conflicts_with = "hidden")]
    init: InitialisationName,
    /// Distribution of the frozen readout.
    #[arg(long, value_enum, default_value = "gaussian", conflicts_with = "hidden")]
    readout: ReadoutName,
    /// Slope γ of the leaky ReLU, in [0, 1).
    #[arg(long, default_value = "0", value_parser = parse_slope, allow_negative_numbers = true)]
    slope: Slope,
    /// Training loss (gradient flow: identity only).
    #[arg(long, value_enum, default_value = "identity")]
    loss: LossName,
    /// Exact gradient flow.
    #[arg(long, requires = "time")]
    flow: bool,
    /// Flow time (= sum of the learning rates).
    #[arg(long, value_name = "T", value_parser = parse_nonnegative, conflicts_with = "descent", allow_negative_numbers = true)]
    time: Option<f64>,
    /// Full-batch gradient descent.
    #[arg(long, requires = "learning_rate", requires = "steps")]
    descent: bool,
    /// Learning rate of the descent.
    #[arg(long, value_name = "LR", value_parser = parse_positive, conflicts_with = "flow", allow_negative_numbers = true)]
    learning_rate: Option<f64>,
    /// Number of descent steps.
    #[arg(long, value_name = "K", conflicts_with = "flow", value_parser = parse_count, allow_negative_numbers = true)]
    steps: Option<usize>,
    /// Momentum of the descent, in [0, 1).
    #[arg(long, value_name = "B", default_value_t = 0.0, conflicts_with = "flow", allow_negative_numbers = true)]
    momentum: f64,
    /// Divide the learning rate by 10 when the loss has stopped falling for more than 10 steps.
    #[arg(long, conflicts_with = "flow")]
    plateau: bool,
    /// Floating-point type of the descent.
    #[arg(long, value_enum, default_value = "f64", conflicts_with = "flow")]
    precision: PrecisionName,
    /// Given hidden weights, m×d, instead of drawn ones.
    #[arg(long, value_name = "W", requires = "bias", requires = "readout_weights",
          conflicts_with_all = ["width", "seed"])]
    hidden: Option<PathBuf>,
    /// Given biases, m.
    #[arg(long, value_name = "B", requires = "hidden")]
    bias: Option<PathBuf>,
    /// Given readout weights, m.
    #[arg(long, value_name = "A", requires = "hidden")]
    readout_weights: Option<PathBuf>,
    /// Where to write the M outputs after training.
    #[arg(long, value_name = "F")]
    out: PathBuf,
    /// Where to write the M outputs before training.
    #[arg(long, value_name = "F0")]
    initial_out: Option<PathBuf>,
    /// Where to write the input gradients after training at the training points, N×d. After --flow a neuron that slides along the boundary of a
    /// point has there the derivative, between γ and 1, that keeps it on it, which the weights alone do not tell.
    #[arg(long, value_name = "G")]
    gradient_out: Option<PathBuf>,
    /// Directory for the trained weights: hidden.npy (m×d), bias.npy, readout.npy (m each).
    #[arg(long, value_name = "DIR")]
    weights_out: Option<PathBuf>,
    #[command(flatten)]
    random: Random,
    #[command(flatten)]
    pub common: Common,
}

/// What defines a run apart from the data and given weights, with what was not given.
#[derive(Serialize)]
struct Settings {
    method: &'static str,
    /// Null for given weights.
    initialisation: Option<Initialisation>,
    /// See `initialisation`.
    readout: Option<Readout>,
    slope: Slope,
    loss: StandardLoss,
    /// Descent only, as the rest.
    learning_rate: Option<f64>,
    steps: Option<usize>,
    momentum: Option<f64>,
    plateau: Option<bool>,
    precision: Option<Precision>,
}

#[derive(Serialize)]
struct TrainResult {
    width: usize,
    train_count: usize,
    test_count: usize,
    input_dim: usize,
    #[serde(flatten)]
    settings: Settings,
    /// Gradient-flow time (= sum of the learning rates, momentum included).
    time: f64,
    accuracy_train: f64,
    /// Exact flow only: share of neurons and training points with a sign change.
    flip_share: Option<f64>,
    /// Exact flow only: sign changes and arrivals at sliding sets.
    events: Option<u64>,
    /// Exact flow only: neuron-sample pairs sliding at the end.
    sliding: Option<u64>,
    /// Exact flow only: neurons whose flow is not unique.
    undecided: Option<u64>,
    /// Descent only: training loss before the first and the last step.
    first_loss: Option<f64>,
    /// See `first_loss`.
    last_loss: Option<f64>,
    /// Descent only: learning rate of the last step.
    last_learning_rate: Option<f64>,
}

#[derive(Serialize)]
struct Document {
    #[serde(flatten)]
    result: TrainResult,
    run: RunRecord,
}

/// What `--weights-out` is filled with.
const WEIGHT_FILES: [&str; 3] = ["hidden.npy", "bias.npy", "readout.npy"];

/// Everything a training method yields for the files.
struct Trained {
    initial: Vec<f64>,
    values: Vec<f64>,
    gradients: Option<DMatrix<f64>>,
    weights: Option<Weights>,
    result: TrainResult,
}

/// Trains and writes the files.
pub fn run(arguments: &TrainArguments) -> anyhow::Result<Verdict> {
    let start = std::time::Instant::now();
    let loss = StandardLoss::from(arguments.loss);
    if arguments.flow && loss != StandardLoss::Identity {
        bail!("--flow integrates the identity loss exactly; use --descent for other losses");
    }
    arguments.check_outputs()?;
    let (train, test) = arguments.data.read()?;
    let neurons = arguments.neurons(&train)?;
    let busy = Busy::with(format!("training {} neurons on {} points", neurons.width(), train.count()));
    let trained = if arguments.flow {
        arguments.flow(&train, &test, &neurons)?
    } else {
        arguments.descend(&train, &test, &neurons, loss)?
    };
    let mut files = ArrayFiles::default();
    files.vector(&arguments.out, &trained.values)?;
    if let Some(path) = &arguments.initial_out {
        files.vector(path, &trained.initial)?;
    }
    if let (Some(path), Some(gradients)) = (&arguments.gradient_out, &trained.gradients) {
        files.point_columns(path, gradients)?;
    }
    if let (Some(directory), Some(weights)) = (&arguments.weights_out, &trained.weights) {
        add_weights(&mut files, directory, weights)?;
    }
    // Given weights leave nothing to chance.
    let seed = arguments.hidden.is_none().then_some(arguments.random.seed);
    let run = RunRecord::new(seed, start.elapsed().as_secs_f64());
    arguments.common.write(&Document { result: trained.result, run })?;
    files.commit()?;
    drop(busy);
    arguments.common.say_written(&arguments.out, format_args!("f at {} test points", test.count()));
    Ok(Verdict::Held)
}

fn add_weights(files: &mut ArrayFiles, directory: &Path, weights: &Weights) -> anyhow::Result<()> {
    make_directory(directory)?;
    let d = weights.input_dim();
    let rows = weights.hidden().chunks_exact(d + 1);
    let hidden = DMatrix::from_iterator(d, weights.width(), rows.clone().flat_map(|row| row[..d].iter().copied()));
    let bias: Vec<f64> = rows.map(|row| row[d]).collect();
    let [hidden_file, bias_file, readout_file] = WEIGHT_FILES.map(|name| directory.join(name));
    files.point_columns(&hidden_file, &hidden)?;
    files.vector(&bias_file, &bias)?;
    files.vector(&readout_file, weights.readout())?;
    Ok(())
}

/// One value per neuron.
fn read_per_neuron(path: &Path, name: &str, width: usize) -> anyhow::Result<Vec<f64>> {
    let values = data::read_vector(path)?;
    if values.len() != width {
        bail!("{}: {name} has shape {}; expected {width}, one per neuron", path.display(), values.len());
    }
    Ok(values)
}

impl TrainArguments {
    fn check_outputs(&self) -> anyhow::Result<()> {
        let arrays = [Some(&self.out), self.initial_out.as_ref(), self.gradient_out.as_ref()];
        let given = [&self.hidden, &self.bias, &self.readout_weights];
        let inputs = self.data.paths().into_iter().chain(given.into_iter().flatten().cloned()).collect();
        let mut inside = Vec::new();
        if let Some(directory) = &self.weights_out {
            data::check_writable_directory(directory)?;
            inside.extend(WEIGHT_FILES.map(|name| directory.join(name)));
        }
        let arrays = arrays.into_iter().flatten().collect();
        Files { arrays, inside, inputs, ..Files::default() }.check(&self.common)
    }

    /// An error unless there is memory for a network of this width.
    fn check_memory(&self, width: usize, train: &TrainingSet) -> anyhow::Result<()> {
        if self.descent {
            return require_descent_memory(width, train, self.loss, self.precision);
        }
        require_flow_memory(train)?;
        if self.weights_out.is_some() {
            // Without the weights as a result exact flow streams over the neurons instead.
            require_memory("weights", &[width, train.input_dim() + 1])?;
        }
        Ok(())
    }

    fn neurons(&self, train: &TrainingSet) -> anyhow::Result<Neurons> {
        let input_dim = train.input_dim();
        if let (Some(hidden), Some(bias), Some(readout)) = (&self.hidden, &self.bias, &self.readout_weights) {
            let matrix = data::read_rows("hidden weights", hidden)?;
            if matrix.input_dim() != input_dim {
                bail!(
                    "{}: hidden weights have shape {} × {}; expected m × {input_dim}, as the training points",
                    hidden.display(),
                    matrix.count(),
                    matrix.input_dim()
                );
            }
            let bias = read_per_neuron(bias, "bias", matrix.count())?;
            let readout = read_per_neuron(readout, "readout weights", matrix.count())?;
            self.check_memory(matrix.count(), train)?;
            return Ok(Neurons::given(Weights::new(matrix.as_columns(), &bias, readout)?));
        }
        let width = self.width.expect("clap requires a width unless weights are given");
        self.check_memory(width, train)?;
        let streams = Streams::new(self.random.seed, "f/neurons");
        Ok(Neurons::draw(input_dim, width, self.init.into(), self.readout.into(), streams)?)
    }

    fn settings(&self) -> Settings {
        let (drawn, descent) = (self.hidden.is_none(), self.descent);
        Settings {
            method: if descent { "descent" } else { "flow" },
            initialisation: drawn.then_some(self.init.into()),
            readout: drawn.then_some(self.readout.into()),
            slope: self.slope,
            loss: self.loss.into(),
            learning_rate: self.learning_rate,
            steps: self.steps,
            momentum: descent.then_some(self.momentum),
            plateau: descent.then_some(self.plateau),
            precision: descent.then_some(self.precision.into()),
        }
    }

    fn result(
        &self,
        train: &TrainingSet,
        test: &Points,
        neurons: &Neurons,
        on_train: &[f64],
        time: f64,
    ) -> TrainResult {
        TrainResult {
            width: neurons.width(),
            train_count: train.count(),
            test_count: test.count(),
            input_dim: train.input_dim(),
            settings: self.settings(),
            time,
            accuracy_train: perturbation_learning::experiment::learn::accuracy(on_train, train.labels()),
            flip_share: None,
            events: None,
            sliding: None,
            undecided: None,
            first_loss: None,
            last_loss: None,
            last_learning_rate: None,
        }
    }

    fn flow(&self, train: &TrainingSet, test: &Points, neurons: &Neurons) -> anyhow::Result<Trained> {
        let time = self.time.expect("clap requires a time with --flow");
        let mut flow = GradientFlow::new(train, self.slope, time)?.with_test(test)?;
        if self.gradient_out.is_some() {
            flow = flow.with_gradients();
        }
        if self.weights_out.is_some() {
            flow = flow.keep_weights();
        }
        let outcome = flow.run(neurons)?;
        let result = TrainResult {
            flip_share: Some(outcome.flip_share),
            events: Some(outcome.events),
            sliding: Some(outcome.sliding),
            undecided: Some(outcome.undecided),
            ..self.result(train, test, neurons, &outcome.train_values, time)
        };
        Ok(Trained {
            initial: outcome.initial_test_values,
            values: outcome.test_values,
            gradients: outcome.gradients,
            weights: outcome.weights,
            result,
        })
    }

    fn descend(
        &self,
        train: &TrainingSet,
        test: &Points,
        neurons: &Neurons,
        loss: StandardLoss,
    ) -> anyhow::Result<Trained> {
        let learning_rate = self.learning_rate.expect("clap requires a learning rate with --descent");
        let steps = self.steps.expect("clap requires steps with --descent");
        require_history(steps)?;
        let descent = Descent::new(learning_rate, steps)?
            .with_momentum(self.momentum)?
            .with_plateau(self.plateau)
            .with_precision(self.precision.into());
        let trained = descent.train(neurons, self.slope, train, &loss)?;
        let on_train = outputs(&trained.weights, self.slope, train.points())?;
        let result = TrainResult {
            first_loss: trained.losses.first().copied(),
            last_loss: trained.losses.last().copied(),
            last_learning_rate: trained.learning_rates.last().copied(),
            ..self.result(train, test, neurons, &on_train, trained.flow_time)
        };
        let wanted = self.gradient_out.is_some();
        Ok(Trained {
            initial: outputs_streamed(neurons, self.slope, test)?,
            values: outputs(&trained.weights, self.slope, test)?,
            gradients: wanted.then(|| input_gradients(&trained.weights, self.slope, train.points())).transpose()?,
            weights: Some(trained.weights),
            result,
        })
    }
}
