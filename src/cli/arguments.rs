//! Arguments that several commands share, and how their words become library types.

use std::fmt::Display;
use std::io::IsTerminal as _;
use std::num::NonZeroUsize;
use std::path::{Path, PathBuf};

use anyhow::bail;
use clap::{Args, ValueEnum};
use perturbation_learning::data::{self, classes_to_signs};
use perturbation_learning::loss::StandardLoss;
use perturbation_learning::network::{Initialisation, Precision, Readout};
use perturbation_learning::problem::{Points, Scenario, Slope, TrainingSet};
use perturbation_learning::report::{json_text, write_json};
use serde::Serialize;

use super::{say, say_text};

/// Options of every command but `merge`.
#[derive(Debug, Args)]
pub struct Common {
    /// Threads to use, at most 1024 [default: all cores]. Results do not depend on it.
    #[arg(long, value_name = "COUNT", value_parser = parse_threads, allow_negative_numbers = true)]
    pub threads: Option<NonZeroUsize>,
    /// Write the result as JSON to FILE, or to standard output for "-".
    #[arg(long, value_name = "FILE")]
    pub json: Option<PathBuf>,
}

/// The option of every command that draws random numbers.
#[derive(Debug, Args)]
pub struct Random {
    /// Seed of every random number of the run.
    #[arg(long, default_value_t = 0, allow_negative_numbers = true)]
    pub seed: u64,
}

impl Common {
    /// Writes `result` where `--json` says.
    pub fn write(&self, result: &impl Serialize) -> anyhow::Result<()> {
        match &self.json {
            Some(_) if self.json_on_stdout() => say_text(json_text(Path::new("standard output"), result)?),
            Some(path) => write_json(path, result)?,
            None => (),
        }
        Ok(())
    }

    /// Says on a terminal what has been written, for a command that has nothing else to say: nothing where standard output
    /// may be one of the files, or belongs to the JSON document.
    pub fn say_written(&self, path: &Path, what: impl Display) {
        if std::io::stdout().is_terminal() && !self.json_on_stdout() {
            say(format_args!("{}: {what}", path.display()));
        }
    }

    /// Whether standard output belongs to the JSON document, so that no other word may go there.
    pub fn json_on_stdout(&self) -> bool {
        self.json.as_deref() == Some(Path::new("-"))
    }
}

/// γ from the command line.
pub fn parse_slope(text: &str) -> Result<Slope, String> {
    let value: f64 = text.parse().map_err(|_| format!("'{text}' is not a number"))?;
    Slope::new(value).map_err(|e| e.to_string())
}

/// A finite number ≥ 0 from the command line.
pub fn parse_nonnegative(text: &str) -> Result<f64, String> {
    parse_number(text, |v| v.is_finite() && v >= 0.0, "a finite number, at least 0")
}

/// A finite number > 0 from the command line.
pub fn parse_positive(text: &str) -> Result<f64, String> {
    parse_number(text, |v| v.is_finite() && v > 0.0, "a finite number above 0")
}

/// A finite number from the command line.
pub fn parse_finite(text: &str) -> Result<f64, String> {
    parse_number(text, f64::is_finite, "a finite number")
}

fn parse_number(text: &str, accept: impl Fn(f64) -> bool, expected: &str) -> Result<f64, String> {
    match text.parse::<f64>() {
        Ok(value) if accept(value) => Ok(value),
        _ => Err(format!("expected {expected}")),
    }
}

/// The largest count accepted: more neurons, steps or points than any machine of today works through.
const COUNT_LIMIT: usize = 1_000_000_000_000;

/// A whole number from the command line, small enough that sizes computed from it do not overflow.
pub fn parse_count(text: &str) -> Result<usize, String> {
    match text.parse::<usize>() {
        Ok(value) if value <= COUNT_LIMIT => Ok(value),
        _ => Err(format!("expected a whole number, not negative and at most {COUNT_LIMIT}")),
    }
}

/// More threads than any machine of today has cores; starting thousands takes longer than most runs.
const THREAD_LIMIT: usize = 1024;

/// `--threads` from the command line.
fn parse_threads(text: &str) -> Result<NonZeroUsize, String> {
    match text.parse::<NonZeroUsize>() {
        Ok(value) if value.get() <= THREAD_LIMIT => Ok(value),
        _ => Err(format!("expected a whole number from 1 to {THREAD_LIMIT}")),
    }
}

/// Numbers that a descent keeps per step: rates, losses (of each group under way too), and what its schedule is made of.
const HISTORY: usize = 16;

/// An error unless there is memory for what a descent of so many steps keeps of each.
pub fn require_history(steps: usize) -> anyhow::Result<()> {
    require_memory("history of the descent", &[steps, HISTORY])
}

/// An error unless the system grants memory for this many double-precision numbers; asking first lets a mistyped size end
/// in a message instead of an abort.
pub fn require_memory(what: &str, factors: &[usize]) -> anyhow::Result<()> {
    require_memory_of(size_of::<f64>(), what, factors)
}

/// The same for numbers of so many bytes.
fn require_memory_of(bytes: usize, what: &str, factors: &[usize]) -> anyhow::Result<()> {
    let size = factors.iter().try_fold(bytes, |product, factor| product.checked_mul(*factor));
    if size.is_some_and(|size| Vec::<u8>::new().try_reserve_exact(size).is_ok()) {
        return Ok(());
    }
    let sizes: Vec<String> = factors.iter().map(usize::to_string).collect();
    bail!("{what}: {} numbers of {bytes} bytes; expected a size that fits into memory", sizes.join(" × "))
}

/// The same for what a descent holds whatever its route: the weights, and for all losses but the identity a number per neuron and point.
pub fn require_descent_memory(
    width: usize,
    train: &TrainingSet,
    loss: LossName,
    precision: PrecisionName,
) -> anyhow::Result<()> {
    if loss != LossName::Identity {
        let bytes = match precision {
            PrecisionName::F32 => size_of::<f32>(),
            PrecisionName::F64 => size_of::<f64>(),
        };
        require_memory_of(bytes, "preactivations", &[width, train.count()])?;
    }
    require_memory("weights", &[width, train.input_dim() + 1])
}

/// The same for the Gram matrix of an exact flow (of fewer points, if some are equal).
pub fn require_flow_memory(train: &TrainingSet) -> anyhow::Result<()> {
    require_memory("Gram matrix of the flow", &[train.count(), train.count()])
}

/// `--loss`.
#[derive(Debug, Clone, Copy, PartialEq, Eq, ValueEnum)]
pub enum LossName {
    /// ℓ(u) = −u, the paper's main setting.
    Identity,
    /// ℓ(u) = (1 − u)²/2.
    Squared,
    /// ℓ(u) = log(1 + exp(−u)).
    Logistic,
    /// ℓ(u) = exp(−u).
    Exponential,
}

impl From<LossName> for StandardLoss {
    fn from(name: LossName) -> Self {
        match name {
            LossName::Identity => StandardLoss::Identity,
            LossName::Squared => StandardLoss::Squared,
            LossName::Logistic => StandardLoss::Logistic,
            LossName::Exponential => StandardLoss::Exponential,
        }
    }
}

/// `--init`.
#[derive(Debug, Clone, Copy, PartialEq, Eq, ValueEnum)]
pub enum InitialisationName {
    /// Independent neurons: the network starts from a random function that does not shrink with width.
    Standard,
    /// Pairs of neurons that cancel: the network starts from zero. The width must be even.
    Antisymmetric,
}

impl From<InitialisationName> for Initialisation {
    fn from(name: InitialisationName) -> Self {
        match name {
            InitialisationName::Standard => Initialisation::Standard,
            InitialisationName::Antisymmetric => Initialisation::Antisymmetric,
        }
    }
}

/// `--readout`.
#[derive(Debug, Clone, Copy, PartialEq, Eq, ValueEnum)]
pub enum ReadoutName {
    /// N(0, 1/m).
    Gaussian,
    /// ±1/√m.
    Rademacher,
}

impl From<ReadoutName> for Readout {
    fn from(name: ReadoutName) -> Self {
        match name {
            ReadoutName::Gaussian => Readout::Gaussian,
            ReadoutName::Rademacher => Readout::Rademacher,
        }
    }
}

/// `--scenario`.
#[derive(Debug, Clone, Copy, PartialEq, Eq, ValueEnum)]
pub enum ScenarioName {
    /// Train g on the perturbation alone.
    A,
    /// Train g on the image plus the perturbation.
    B,
}

impl From<ScenarioName> for Scenario {
    fn from(name: ScenarioName) -> Self {
        match name {
            ScenarioName::A => Scenario::PerturbationOnly,
            ScenarioName::B => Scenario::OnImage,
        }
    }
}

/// `--precision`.
#[derive(Debug, Clone, Copy, PartialEq, Eq, ValueEnum)]
pub enum PrecisionName {
    /// Single precision, as the paper's code (descent only).
    F32,
    /// Double precision.
    F64,
}

impl From<PrecisionName> for Precision {
    fn from(name: PrecisionName) -> Self {
        match name {
            PrecisionName::F32 => Precision::F32,
            PrecisionName::F64 => Precision::F64,
        }
    }
}

/// The user's own training and test arrays.
#[derive(Debug, Args)]
pub struct UserData {
    /// Training points, N×d (.npy, .npz, .csv).
    #[arg(long, value_name = "X")]
    pub train: PathBuf,
    /// Training labels, N values of exactly two kinds; the larger one becomes +1.
    #[arg(long, value_name = "Y")]
    pub labels: PathBuf,
    /// Test points, M×d.
    #[arg(long, value_name = "Z")]
    pub test: PathBuf,
}

impl UserData {
    /// The three files.
    pub fn paths(&self) -> Vec<PathBuf> {
        [&self.train, &self.labels, &self.test].map(Clone::clone).into()
    }

    /// Reads and checks all three.
    pub fn read(&self) -> anyhow::Result<(TrainingSet, Points)> {
        let points = data::read_points(&self.train)?;
        let raw = data::read_labels(&self.labels)?;
        let signs = classes_to_signs("labels", &raw).map_err(|e| e.in_file(&self.labels))?;
        let train = TrainingSet::new(points, signs).map_err(|e| e.in_file(&self.labels))?;
        let test = data::read_points(&self.test)?;
        train.points().same_dimension("test points", &test).map_err(|e| e.in_file(&self.test))?;
        Ok((train, test))
    }
}
