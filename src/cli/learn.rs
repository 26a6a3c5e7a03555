//! `pertlearn learn`: one run of the whole experiment.

use std::path::{Path, PathBuf};

use anyhow::{Context, bail};
use clap::{ArgGroup, Args};
use perturbation_learning::data::{
    self, ArrayFiles, ClassPair, DataSet, Synthetic, check_writable_directory, classes_to_signs, fashion, idx_files,
    labels_like, load_idx_directory, mnist, synthetic,
};
use perturbation_learning::experiment::expect::ExpectedDeviations;
use perturbation_learning::experiment::learn::{Comparison, Experiment, Outcome, Run, Schedule, Training};
use perturbation_learning::problem::{Slope, TrainingSet};
use perturbation_learning::report::{RunRecord, Table, significant};
use serde::Serialize;

use super::arguments::{
    Common, InitialisationName, LossName, PrecisionName, Random, ReadoutName, ScenarioName, parse_count, parse_finite,
    parse_nonnegative, parse_positive, parse_slope, require_descent_memory, require_flow_memory, require_history,
    require_memory,
};
use super::busy::Busy;
use super::files::{Files, make_directory};
use super::{Verdict, say};

/// Where the data come from: a name, a directory, or the user's arrays. (What conflicts with `data` cannot require it: one of
/// two arguments that conflict counts as given if the other is.)
#[derive(Debug, Args)]
pub struct DataArguments {
    /// Data: mnist, fashion (embedded), gauss (standard normal points with random labels), shifted-gauss (two classes, shifted against each
    /// other), or a directory with IDX files.
    #[arg(long, value_name = "NAME|DIR", conflicts_with_all = ["train", "labels", "test"])]
    pub data: Option<String>,
    /// Classes of an IDX directory: the label that becomes +1, then the one that becomes −1.
    #[arg(long, num_args = 2, value_names = ["POSITIVE", "NEGATIVE"], allow_negative_numbers = true,
          conflicts_with = "train")]
    pub classes: Option<Vec<u8>>,
    /// Mean subtracted from pixel/255 of an IDX directory [default: the mean of its training images].
    #[arg(long, value_parser = parse_finite, allow_negative_numbers = true, conflicts_with = "train")]
    pub pixel_mean: Option<f64>,
    /// Input dimension d of synthetic data [default: 100].
    #[arg(long, value_name = "D", value_parser = parse_count, allow_negative_numbers = true, conflicts_with = "train")]
    pub input_dim: Option<usize>,
    /// Number of training points N of synthetic data [default: 1000].
    #[arg(long, value_name = "N", value_parser = parse_count, allow_negative_numbers = true, conflicts_with = "train")]
    pub train_count: Option<usize>,
    /// Number of fresh test points of synthetic data [default: 1000].
    #[arg(long, value_name = "M", value_parser = parse_count, allow_negative_numbers = true, conflicts_with = "train")]
    pub test_count: Option<usize>,
}

/// Whether this is the name of a synthetic data set.
fn is_synthetic(name: &str) -> bool {
    ["gauss", "shifted-gauss"].contains(&name)
}

/// Whether this is the name of a data set, not of a directory.
fn is_named(name: &str) -> bool {
    is_synthetic(name) || ["mnist", "fashion"].contains(&name)
}

/// The files that are read for data of these names: those of directories.
pub fn files_of(names: &[String]) -> anyhow::Result<Vec<PathBuf>> {
    let mut files = Vec::new();
    for name in names {
        // What is neither a name nor a directory is refused when it is to be read.
        if !is_named(name) && Path::new(name).is_dir() {
            files.extend(idx_files(Path::new(name))?);
        }
    }
    Ok(files)
}

impl DataArguments {
    /// An error if there are options for a directory or for synthetic data, but none of the data sets is of that kind.
    pub fn check_options(&self, names: &[String]) -> anyhow::Result<()> {
        let all = names.join(" --data ");
        if (self.classes.is_some() || self.pixel_mean.is_some()) && names.iter().all(|name| is_named(name)) {
            bail!("--data {all}: --classes and --pixel-mean are for a directory of IDX files");
        }
        let sizes = [("input-dim", self.input_dim), ("train-count", self.train_count), ("test-count", self.test_count)];
        if let Some((option, _)) = sizes.iter().find(|(_, size)| size.is_some())
            && !names.iter().any(|name| is_synthetic(name))
        {
            bail!("--data {all}: --{option} is for synthetic data, gauss or shifted-gauss");
        }
        Ok(())
    }

    /// The named data set.
    pub fn load(&self, name: &str, seed: u64) -> anyhow::Result<DataSet> {
        let made = |kind| {
            let input_dim = self.input_dim.unwrap_or(100);
            let (train_count, test_count) = (self.train_count.unwrap_or(1000), self.test_count.unwrap_or(1000));
            require_memory("training points", &[train_count, input_dim])?;
            require_memory("test points", &[test_count, input_dim])?;
            anyhow::Ok(synthetic(kind, input_dim, train_count, test_count, seed)?)
        };
        Ok(match name {
            "mnist" => mnist()?,
            "fashion" => fashion()?,
            "gauss" => made(Synthetic::Gauss)?,
            "shifted-gauss" => made(Synthetic::ShiftedGauss)?,
            directory => {
                let path = PathBuf::from(directory);
                if !path.is_dir() {
                    bail!("--data {directory}: expected mnist, fashion, gauss, shifted-gauss or a directory");
                }
                let Some([positive, negative]) = self.classes.as_deref() else {
                    bail!("--data {directory}: name the two classes of the directory, for instance --classes 1 2");
                };
                let classes = ClassPair { positive: *positive, negative: *negative };
                load_idx_directory(&path, classes, self.pixel_mean)?
            }
        })
    }
}

/// The data of one experiment: named, or the user's arrays.
#[derive(Debug, Args)]
pub struct ExperimentData {
    #[command(flatten)]
    data: DataArguments,
    /// Your own training points, N×d (.npy, .npz, .csv), instead of --data.
    #[arg(long, value_name = "X", requires = "labels", requires = "test")]
    train: Option<PathBuf>,
    /// Labels of the training points: two values, the larger one becomes +1.
    #[arg(long, value_name = "Y", requires = "train")]
    labels: Option<PathBuf>,
    /// Your own test points, M×d.
    #[arg(long, value_name = "Z", requires = "train")]
    test: Option<PathBuf>,
}

impl ExperimentData {
    /// The files that are read, if the data are the user's.
    pub fn paths(&self) -> anyhow::Result<Vec<PathBuf>> {
        let mut paths = files_of(self.data.data.as_slice())?;
        paths.extend([&self.train, &self.labels, &self.test].into_iter().flatten().cloned());
        Ok(paths)
    }

    /// Reads and checks the data, with the labels of the test points if a file of them is given.
    pub fn load(&self, test_labels: Option<&PathBuf>, seed: u64) -> anyhow::Result<DataSet> {
        let (Some(train), Some(labels), Some(test)) = (&self.train, &self.labels, &self.test) else {
            let name = self.data.data.as_ref().context("give --data NAME, or --train, --labels and --test")?;
            self.data.check_options(std::slice::from_ref(name))?;
            return self.data.load(name, seed);
        };
        let raw = data::read_labels(labels)?;
        let signs = classes_to_signs("labels", &raw).map_err(|e| e.in_file(labels))?;
        let set = TrainingSet::new(data::read_points(train)?, signs).map_err(|e| e.in_file(labels))?;
        let points = data::read_points(test)?;
        set.points().same_dimension("test points", &points).map_err(|e| e.in_file(test))?;
        let mut signs_of_test = None;
        if let Some(path) = test_labels {
            let signs = labels_like("test labels", &raw, &data::read_labels(path)?).map_err(|e| e.in_file(path))?;
            if signs.len() != points.count() {
                bail!("{}: {} labels; expected {}, one per test point", path.display(), signs.len(), points.count());
            }
            signs_of_test = Some(signs);
        }
        Ok(DataSet { name: "user".into(), train: set, test: points, test_labels: signs_of_test })
    }
}

/// Run the perturbation-learning experiment once.
///
/// Trains f on the clean data, perturbs every training point against f towards a random target, trains g from a fresh
/// initialisation on the perturbations (scenario a) or the perturbed points (b) with these targets as labels, and
/// compares both with their infinite-width limits.
#[derive(Debug, Args)]
#[command(group(ArgGroup::new("method").required(true).args(["flow", "descent"])))]
pub struct LearnArguments {
    #[command(flatten)]
    data: ExperimentData,
    /// Labels of the test points.
    #[arg(long, value_name = "YZ", requires = "train", conflicts_with = "data")]
    test_labels: Option<PathBuf>,
    /// What g is trained on: a, the perturbation alone; b, the perturbed point.
    #[arg(long, value_enum)]
    scenario: ScenarioName,
    /// Length ε of every perturbation.
    #[arg(long, value_name = "E", value_parser = parse_positive, allow_negative_numbers = true)]
    epsilon: f64,
    /// Number of hidden neurons m.
    #[arg(long, value_name = "M", value_parser = parse_count, allow_negative_numbers = true)]
    width: usize,
    /// Pairing of the initial weights.
    #[arg(long, value_enum, default_value = "standard")]
    init: InitialisationName,
    /// Distribution of the frozen readout.
    #[arg(long, value_enum, default_value = "gaussian")]
    readout: ReadoutName,
    /// Slope γ of the leaky ReLU, in [0, 1).
    #[arg(long, default_value = "0", value_parser = parse_slope, allow_negative_numbers = true)]
    slope: Slope,
    /// Train by exact gradient flow of the identity loss.
    #[arg(long, requires = "time", requires = "time_perturbed")]
    flow: bool,
    /// Flow time of f.
    #[arg(long, value_name = "T", value_parser = parse_nonnegative, conflicts_with = "descent", allow_negative_numbers = true)]
    time: Option<f64>,
    /// Flow time of g.
    #[arg(long, value_name = "T2", value_parser = parse_nonnegative, conflicts_with = "descent", allow_negative_numbers = true)]
    time_perturbed: Option<f64>,
    /// Train by full-batch gradient descent.
    #[arg(long, requires_all = ["learning_rate", "learning_rate_perturbed", "steps", "steps_perturbed"])]
    descent: bool,
    /// Learning rate of f.
    #[arg(long, value_name = "LR", value_parser = parse_positive, conflicts_with = "flow", allow_negative_numbers = true)]
    learning_rate: Option<f64>,
    /// Learning rate of g.
    #[arg(long, value_name = "LR2", value_parser = parse_positive, conflicts_with = "flow", allow_negative_numbers = true)]
    learning_rate_perturbed: Option<f64>,
    /// Steps of f.
    #[arg(long, value_name = "K", conflicts_with = "flow", value_parser = parse_count, allow_negative_numbers = true)]
    steps: Option<usize>,
    /// Steps of g.
    #[arg(long, value_name = "K2", conflicts_with = "flow", value_parser = parse_count, allow_negative_numbers = true)]
    steps_perturbed: Option<usize>,
    /// Momentum of both descents, in [0, 1).
    #[arg(long, value_name = "B", default_value_t = 0.0, conflicts_with = "flow", allow_negative_numbers = true)]
    momentum: f64,
    /// Divide the learning rate by 10 when the loss has stopped falling for more than 10 steps.
    #[arg(long, conflicts_with = "flow")]
    plateau: bool,
    /// Loss of both networks (gradient flow: identity only).
    #[arg(long, value_enum, default_value = "identity")]
    loss: LossName,
    /// Floating-point type of the descent.
    #[arg(long, value_enum, default_value = "f64", conflicts_with = "flow")]
    precision: PrecisionName,
    /// Also say what theory expects f and g to deviate by at this width: error bars with nothing fitted (for --flow from
    /// --init antisymmetric, and training points that differ).
    #[arg(long, requires = "flow")]
    expect: bool,
    /// Write the arrays behind the figures, .npy, into this directory: targets (N), perturbations (N × d), and, at the test points, f_initial,
    /// f, f_limit (f_0 + T·F) and the same of g.
    #[arg(long, value_name = "DIR")]
    arrays_out: Option<PathBuf>,
    #[command(flatten)]
    random: Random,
    #[command(flatten)]
    pub common: Common,
}

#[derive(Serialize)]
struct LearnResult {
    #[serde(flatten)]
    outcome: Outcome,
    /// Null unless asked for.
    expected_deviation_f: Option<f64>,
    expected_deviation_g: Option<f64>,
    data: String,
    /// All that defines the run apart from the data, with what was not given.
    #[serde(flatten)]
    experiment: Experiment,
    run: RunRecord,
}

/// What `--arrays-out` writes.
const ARRAY_FILES: [&str; 8] = [
    "targets.npy",
    "perturbations.npy",
    "f_initial.npy",
    "f.npy",
    "f_limit.npy",
    "g_initial.npy",
    "g.npy",
    "g_limit.npy",
];

/// Runs the experiment and prints it.
pub fn run(arguments: &LearnArguments) -> anyhow::Result<Verdict> {
    let start = std::time::Instant::now();
    let inputs = arguments.data.paths()?.into_iter().chain(arguments.test_labels.clone()).collect();
    let mut inside = Vec::new();
    if let Some(directory) = &arguments.arrays_out {
        check_writable_directory(directory)?;
        inside.extend(ARRAY_FILES.map(|name| directory.join(name)));
    }
    Files { inputs, inside, ..Files::default() }.check(&arguments.common)?;
    let data = arguments.data.load(arguments.test_labels.as_ref(), arguments.random.seed)?;
    if arguments.descent {
        require_descent_memory(arguments.width, &data.train, arguments.loss, arguments.precision)?;
    } else {
        require_flow_memory(&data.train)?;
    }
    let experiment = Experiment {
        width: arguments.width,
        initialisation: arguments.init.into(),
        readout: arguments.readout.into(),
        slope: arguments.slope,
        scenario: arguments.scenario.into(),
        epsilon: arguments.epsilon,
        training: arguments.training()?,
        seed: arguments.random.seed,
    };
    let busy =
        Busy::with(format!("training f and g, {} neurons each, on {} points", arguments.width, data.train.count()));
    let expected = arguments.expect.then(|| experiment.expected_deviations(&data)).transpose()?;
    let finished = experiment.run(&data)?;
    drop(busy);
    let mut files = ArrayFiles::default();
    if let Some(directory) = &arguments.arrays_out {
        add_arrays(&mut files, directory, &finished)?;
    }
    let outcome = finished.outcome;
    if !arguments.common.json_on_stdout() {
        print(&outcome, expected);
    }
    let run = RunRecord::new(arguments.random.seed, start.elapsed().as_secs_f64());
    let (expected_deviation_f, expected_deviation_g) = (expected.map(|e| e.f), expected.map(|e| e.g));
    let data = data.name;
    arguments.common.write(&LearnResult {
        outcome,
        expected_deviation_f,
        expected_deviation_g,
        data,
        experiment,
        run,
    })?;
    files.commit()?;
    Ok(Verdict::Held)
}

fn add_arrays(files: &mut ArrayFiles, directory: &Path, run: &Run) -> anyhow::Result<()> {
    make_directory(directory)?;
    let [targets, perturbations, rest @ ..] = ARRAY_FILES.map(|name| directory.join(name));
    files.vector(&targets, &run.targets)?;
    files.point_columns(&perturbations, &run.perturbations)?;
    let of = |network: &Comparison| [network.initial.clone(), network.trained.clone(), network.limit_values()];
    for (path, values) in rest.iter().zip([of(&run.f), of(&run.g)].concat()) {
        files.vector(path, &values)?;
    }
    Ok(())
}

impl LearnArguments {
    fn training(&self) -> anyhow::Result<Training> {
        if self.flow {
            if self.loss != LossName::Identity {
                bail!("--flow integrates the identity loss exactly; use --descent for other losses");
            }
            let (time, time_perturbed) = (self.time, self.time_perturbed);
            return Ok(Training::Flow {
                time: time.expect("clap requires the time"),
                time_perturbed: time_perturbed.expect("clap requires the time of g"),
            });
        }
        let schedule = |rate: Option<f64>, steps: Option<usize>| {
            let learning_rate = rate.expect("clap requires the learning rates");
            let steps = steps.expect("clap requires the steps");
            require_history(steps)?;
            anyhow::Ok(Schedule { learning_rate, steps })
        };
        Ok(Training::Descent {
            clean: schedule(self.learning_rate, self.steps)?,
            perturbed: schedule(self.learning_rate_perturbed, self.steps_perturbed)?,
            momentum: self.momentum,
            plateau: self.plateau,
            loss: self.loss.into(),
            precision: self.precision.into(),
        })
    }
}

fn print(outcome: &Outcome, expected: Option<ExpectedDeviations>) {
    let mut table = Table::new(&["", "f (clean data)", "g (perturbations)"]);
    let percent = |share: f64| format!("{:.1} %", 100.0 * share);
    let mut row = |name: &str, f: String, g: String| table.row(vec![name.into(), f, g]);
    row("accuracy on the training points", percent(outcome.accuracy_clean), percent(outcome.accuracy_perturbed));
    if let (Some(f), Some(g)) = (outcome.accuracy_clean_test, outcome.accuracy_perturbed_test) {
        row("accuracy on the test points", percent(f), percent(g));
    }
    let number = |value| significant(value, 3);
    row("size of the limit's change (rms)", number(outcome.limit_f_scale), number(outcome.limit_g_scale));
    row("deviation from it (rms)", number(outcome.deviation_f), number(outcome.deviation_g));
    if let Some(expected) = expected {
        row("  expected at this width, nothing fitted", number(expected.f), number(expected.g));
    }
    row("size of the initial output (rms)", number(outcome.initial_f_scale), number(outcome.initial_g_scale));
    row("training time", number(outcome.time), number(outcome.time_perturbed));
    if let (Some(f), Some(g)) = (outcome.flip_share_f, outcome.flip_share_g) {
        row("pairs of neuron and point that changed sides", percent(f), percent(g));
    }
    say(format_args!("{table}"));
    say(format_args!("agreement of f and g on the test points   {}", percent(outcome.agreement)));
    say(format_args!("  predicted by the infinite-width limits  {}", percent(outcome.agreement_limit)));
    say(format_args!("cosine of the perturbations to ∇F         {}", significant(outcome.cosine_limit_gradient, 4)));
    say(format_args!("  |cosine| to the paper's weighted sum    {}", significant(outcome.cosine_weighted_sum, 4)));
}
