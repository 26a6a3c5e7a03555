//! `pertlearn predict`: the infinite-width predictor on the user's data.

use std::path::PathBuf;

use clap::Args;
use perturbation_learning::data::ArrayFiles;
use perturbation_learning::loss::{Loss, StandardLoss};
use perturbation_learning::problem::{Horizon, Slope};
use perturbation_learning::report::RunRecord;
use perturbation_learning::theory::Predictor;
use serde::Serialize;

use super::Verdict;
use super::arguments::{Common, LossName, UserData, parse_slope};
use super::busy::Busy;
use super::files::Files;

/// Prediction of an infinitely wide network at test points.
///
/// The network starts from zero (antisymmetric initialisation), its hidden layer is trained by gradient flow on the mean
/// loss for time T (flow time = sum of the learning rates). Writes M values.
#[derive(Debug, Args)]
pub struct PredictArguments {
    #[command(flatten)]
    data: UserData,
    /// Slope γ of the leaky ReLU, in [0, 1).
    #[arg(long, default_value = "0", value_parser = parse_slope, allow_negative_numbers = true)]
    slope: Slope,
    /// Training loss.
    #[arg(long, value_enum, default_value = "identity")]
    loss: LossName,
    /// Training time: a number, or "inf" for the limit (squared loss only: the others have none).
    #[arg(long, value_name = "T|inf", value_parser = parse_horizon, allow_negative_numbers = true)]
    time: Horizon,
    /// Where to write the M predictions (.npy or .csv).
    #[arg(long, value_name = "F")]
    out: PathBuf,
    #[command(flatten)]
    pub common: Common,
}

fn parse_horizon(text: &str) -> Result<Horizon, String> {
    let value: f64 = text.parse().map_err(|_| format!("'{text}' is neither a number nor \"inf\""))?;
    Horizon::new(value).map_err(|e| e.to_string())
}

#[derive(Serialize)]
struct PredictResult {
    train_count: usize,
    test_count: usize,
    input_dim: usize,
    slope: f64,
    loss: String,
    /// null stands for infinite time.
    time: Option<f64>,
    positive_share: f64,
    run: RunRecord,
}

/// Computes and writes the predictions.
pub fn run(arguments: &PredictArguments) -> anyhow::Result<Verdict> {
    let start = std::time::Instant::now();
    let inputs = arguments.data.paths();
    Files { arrays: vec![&arguments.out], inputs, ..Files::default() }.check(&arguments.common)?;
    let (train, test) = arguments.data.read()?;
    let loss = StandardLoss::from(arguments.loss);
    let busy = Busy::with(format!("F from {} training points", train.count()));
    let predictor = Predictor::train(&train, arguments.slope, arguments.time, loss, None)?;
    let values = predictor.values(&test)?;
    let mut files = ArrayFiles::default();
    files.vector(&arguments.out, &values)?;
    arguments.common.write(&PredictResult {
        train_count: train.count(),
        test_count: test.count(),
        input_dim: train.input_dim(),
        slope: arguments.slope.value(),
        loss: loss.name().into(),
        time: match arguments.time {
            Horizon::Finite(time) => Some(time),
            Horizon::Infinite => None,
        },
        positive_share: values.iter().filter(|v| **v >= 0.0).count() as f64 / values.len() as f64,
        run: RunRecord::new(None, start.elapsed().as_secs_f64()),
    })?;
    files.commit()?;
    drop(busy);
    arguments.common.say_written(&arguments.out, format_args!("F at {} test points", test.count()));
    Ok(Verdict::Held)
}
