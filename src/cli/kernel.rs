//! `pertlearn kernel`: closed-form kernels as arrays.

use std::path::PathBuf;

use clap::{Args, ValueEnum};
use perturbation_learning::data::{self, ArrayFiles};
use perturbation_learning::problem::Slope;
use perturbation_learning::report::RunRecord;
use perturbation_learning::theory::{Kernel, cross_gram, gram};
use serde::Serialize;

use super::Verdict;
use super::arguments::{Common, parse_slope, require_memory};
use super::busy::Busy;
use super::files::Files;

/// Closed-form kernel matrix of given points.
///
/// Writes the matrix of the kernel between the rows of A (and the rows of B, if given): shape count(A) × count(B).
#[derive(Debug, Args)]
pub struct KernelArguments {
    /// Points, one per row (.npy, .npz, .csv).
    #[arg(long, value_name = "A")]
    x: PathBuf,
    /// Second set of points; without it the matrix is the symmetric one of A with itself.
    #[arg(long, value_name = "B")]
    z: Option<PathBuf>,
    /// Slope γ of the leaky ReLU, in [0, 1).
    #[arg(long, default_value = "0", value_parser = parse_slope, allow_negative_numbers = true)]
    slope: Slope,
    /// Which kernel.
    #[arg(long, value_enum, default_value = "ntk")]
    kind: KernelName,
    /// Where to write the matrix (.npy or .csv).
    #[arg(long, value_name = "K")]
    out: PathBuf,
    #[command(flatten)]
    pub common: Common,
}

#[derive(Debug, Clone, Copy, ValueEnum)]
enum KernelName {
    /// Neural tangent kernel of the hidden layer: what this project trains.
    Ntk,
    /// Neural tangent kernel with the readout trained too, in NTK parameterisation.
    NtkBothLayers,
    /// E φ'(u)φ'(v).
    DerivativeDual,
    /// E φ(u)φ(v): the covariance of the output at initialisation.
    ValueDual,
}

#[derive(Serialize)]
struct KernelResult {
    rows: usize,
    columns: usize,
    slope: f64,
    kind: &'static str,
    /// Of the matrix alone.
    seconds: f64,
    run: RunRecord,
}

/// Computes and writes the matrix.
pub fn run(arguments: &KernelArguments) -> anyhow::Result<Verdict> {
    let start = std::time::Instant::now();
    let inputs = [Some(&arguments.x), arguments.z.as_ref()].into_iter().flatten().cloned().collect();
    Files { arrays: vec![&arguments.out], inputs, ..Files::default() }.check(&arguments.common)?;
    let x = data::read_points(&arguments.x)?;
    let (kernel, kind) = match arguments.kind {
        KernelName::Ntk => (Kernel::Ntk, "ntk"),
        KernelName::NtkBothLayers => (Kernel::NtkBothLayers, "ntk-both-layers"),
        KernelName::DerivativeDual => (Kernel::DerivativeDual, "derivative-dual"),
        KernelName::ValueDual => (Kernel::ValueDual, "value-dual"),
    };
    let before = std::time::Instant::now();
    let busy = Busy::with(format!("{} points", x.count()));
    let matrix = match &arguments.z {
        None => {
            require_memory("kernel matrix", &[x.count(), x.count()])?;
            gram(kernel, arguments.slope, &x)
        }
        Some(path) => {
            let z = data::read_points(path)?;
            x.same_dimension("z", &z).map_err(|e| e.in_file(path))?;
            require_memory("kernel matrix", &[x.count(), z.count()])?;
            cross_gram(kernel, arguments.slope, &x, &z)
        }
    };
    let seconds = before.elapsed().as_secs_f64();
    busy.now("writing the matrix");
    let mut files = ArrayFiles::default();
    files.matrix(&arguments.out, &matrix)?;
    let (rows, columns) = matrix.shape();
    let run = RunRecord::new(None, start.elapsed().as_secs_f64());
    arguments.common.write(&KernelResult { rows, columns, slope: arguments.slope.value(), kind, seconds, run })?;
    files.commit()?;
    drop(busy);
    arguments.common.say_written(&arguments.out, format_args!("{kind}, {rows} × {columns}"));
    Ok(Verdict::Held)
}
