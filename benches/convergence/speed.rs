//! How long the exact flow takes per neuron: against N, d, T and the number of neurons, on one thread and on two.
//!
//! Times are the best of several rounds of runs, in microseconds on the clock per neuron; rounds go over a whole panel, so that a few
//! seconds in which the machine does something else spoil no point. The floor is
//! the arithmetic of the start, which an antisymmetric pair shares, at what dense products in double precision reach on one core
//! (measured here): half of 2(d+1)N floating-point operations in a product and of N²/4 additions of looked-up sums, a
//! neuron. Sign changes, which have no fixed number, are not in it, nor is what the tables take.

use std::path::Path;
use std::sync::LazyLock;
use std::time::Instant;

use perturbation_learning::Result;
use perturbation_learning::data::{Synthetic, synthetic};
use perturbation_learning::network::{GradientFlow, Initialisation, Neurons, Readout};
use perturbation_learning::problem::TrainingSet;
use perturbation_learning::random::Streams;
use perturbation_learning::report::plot::{Curve, CurvePoint, Panel, Role};

use super::figures::{Effort, write};
use super::study::{SEED, SLOPE};

/// Floating-point operations per second that dense products reach on one core: the best of ten.
static RATE: LazyLock<f64> = LazyLock::new(|| {
    const SIZE: usize = 1024;
    let factor = faer::Mat::<f64>::from_fn(SIZE, SIZE, |i, j| ((i + j) as f64).sin());
    let mut product = faer::Mat::<f64>::zeros(SIZE, SIZE);
    let once = |_| {
        let start = Instant::now();
        let (target, accum) = (product.as_mut(), faer::Accum::Replace);
        faer::linalg::matmul::matmul(target, accum, factor.as_ref(), factor.as_ref(), 1.0, faer::Par::Seq);
        std::hint::black_box(&product);
        start.elapsed().as_secs_f64()
    };
    2.0 * (SIZE as f64).powi(3) / (0..10).map(once).fold(f64::INFINITY, f64::min)
});
const THREADS: [usize; 2] = [1, 2];
/// Pools of 1 and 2 threads, which last: a thread that ends takes its time with it.
static POOLS: LazyLock<[rayon::ThreadPool; 2]> = LazyLock::new(|| {
    THREADS.map(|threads| rayon::ThreadPoolBuilder::new().num_threads(threads).build().expect("a pool of threads"))
});

/// A flow to time.
#[derive(Clone, Copy)]
struct Setting {
    count: usize,
    input_dim: usize,
    time: f64,
    width: usize,
}

/// What the panels vary, one thing at a time.
const MIDDLE: Setting = Setting { count: 50, input_dim: 20, time: 1.0, width: 0 };

impl Setting {
    /// As many neurons as take some milliseconds, unless the width is given.
    fn width(self, effort: Effort) -> usize {
        let (work, least) = if effort.quick { (2e5, 32) } else { (2e8, 1 << 10) };
        if self.width > 0 { self.width } else { 2 * ((0.5 * work / self.operations()) as usize).clamp(least, 1 << 16) }
    }

    /// What a neuron's start takes, roughly.
    fn operations(self) -> f64 {
        (2 * ((self.input_dim + 1) * self.count + self.count * self.count)) as f64
    }

    /// What it takes at least.
    fn least_operations(self) -> f64 {
        let [dim, count] = [self.input_dim, self.count].map(|v| v as f64);
        0.5 * (2.0 * (dim + 1.0) * count + 0.25 * count * count)
    }

    /// Microseconds per neuron: the least of several runs.
    fn measure(self, train: &TrainingSet, threads: usize, effort: Effort) -> Result<f64> {
        let width = self.width(effort);
        let streams = Streams::new(SEED, "bench/speed");
        let neurons = Neurons::draw(self.input_dim, width, Initialisation::Antisymmetric, Readout::Gaussian, streams)?;
        let flow = GradientFlow::new(train, SLOPE, self.time)?;
        let pool = &POOLS[threads - 1];
        let runs = if effort.quick { 1 } else { (300_000 / width).clamp(1, 3) };
        let mut best = f64::INFINITY;
        for _ in 0..runs {
            let start = Instant::now();
            pool.install(|| flow.run(&neurons))?;
            best = best.min(start.elapsed().as_secs_f64());
        }
        Ok(best * 1e6 / width as f64)
    }
}

/// A panel: settings with their abscissa.
fn panel(title: &str, x_label: &str, settings: &[(f64, Setting)], effort: Effort) -> Result<Panel> {
    let unknown = settings.iter().map(|&(x, _)| CurvePoint { x, y: f64::INFINITY, band: None });
    let mut best = THREADS.map(|_| unknown.clone().collect::<Vec<_>>());
    for _ in 0..if effort.quick { 1 } else { 5 } {
        for (points, threads) in best.iter_mut().zip(THREADS) {
            for (point, (_, setting)) in points.iter_mut().zip(settings) {
                let train = synthetic(Synthetic::ShiftedGauss, setting.input_dim, setting.count, 1, SEED)?.train;
                point.y = point.y.min(setting.measure(&train, threads, effort)?);
            }
        }
    }
    let label = |threads| if threads == 1 { "one thread".into() } else { format!("{threads} threads") };
    let measured = best.into_iter().zip(THREADS).enumerate();
    let mut curves: Vec<_> =
        measured.map(|(colour, (points, threads))| Curve::measured(colour, label(threads), points)).collect();
    let floor = |setting: &Setting| setting.least_operations() / *RATE * 1e6;
    let floor: Vec<(f64, f64)> = settings.iter().map(|(x, setting)| (*x, floor(setting))).collect();
    curves.push(Curve::line(
        Role::Theory,
        None,
        format!("floor of one core: arithmetic at {:.0} GFLOP/s", *RATE / 1e9),
        &floor,
    ));
    let (title, x_label, y_label) = (title.into(), x_label.into(), "microseconds per neuron".into());
    Ok(Panel { title, x_label, log_x: true, y_label, log_y: true, y_range: None, curves })
}

/// The figures.
pub fn flow_speed(directory: &Path, effort: Effort) -> Result<()> {
    let counts = [10, 20, 50, 100, 200, 500, 1000].map(|count| (count as f64, Setting { count, ..MIDDLE }));
    let dims =
        [5, 10, 20, 50, 100, 200, 500, 1000].map(|input_dim| (input_dim as f64, Setting { input_dim, ..MIDDLE }));
    let times = [0.01, 0.1, 1.0, 10.0, 100.0, 1000.0].map(|time| (time, Setting { time, ..MIDDLE }));
    let most = if effort.quick { 4 } else { 7 };
    let widths: Vec<_> =
        (3..=most).map(|k| 10_usize.pow(k)).map(|m| (m as f64, Setting { width: m, ..MIDDLE })).collect();
    let points = panel("Training points", "N (d = 20, T = 1)", &counts, effort)?;
    let dimension = panel("Input dimension", "d (N = 50, T = 1)", &dims, effort)?;
    write("flow-speed-data", vec![points, dimension], directory)?;
    let time = panel("Time", "T (N = 50, d = 20)", &times, effort)?;
    let neurons = panel("Neurons", "m (N = 50, d = 20, T = 1)", &widths, effort)?;
    write("flow-speed-width", vec![time, neurons], directory)
}
