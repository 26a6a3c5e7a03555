//! How long the expensive parts take, each beside its floor.
//!
//! `cargo bench --bench timing`; with `-- --test` or `PERTLEARN_QUICK=1` everything is small.
//!
//! Floors are counted for two cores with 95 GFLOP/s each in double precision (what dense products reach on the machine
//! used), twice that in single precision, and for updates one 32-byte store per core and cycle at 3 GHz. Measured is
//! the best of twenty or more samples on two cores shared with other work: an upper bound of what a quiet machine takes.
//!
//! | part | floor: work, at the rates above | measured | distance |
//! |---|---|---|---|
//! | flow d=20 N=50 | 2((d+1)N + N²) = 7.1 kflop a neuron: 27 M neurons/s | 4.1 M/s | 6.5 |
//! | flow MNIST N=1000 | the same, 3.6 Mflop: 53 k neurons/s | 23 k/s | 2.3 |
//! | NTK N=4000 d=784 | N²d = 12.5 Gflop, one triangle: 66 ms | 145 ms | 2.2 |
//! | eigen N=2000 | 14/3 N³ = 37 Gflop (4/3 reduction, 4/3 divide and conquer, 2 back): 0.20 s | 0.92 s | 4.7 |
//! | identity m=100, f64 | 2·10⁸ updates: 8 ms | 139 ms | 17 |
//! | the same, f32 | 4 ms | 64 ms | 15 |
//! | logistic m=100, f64 | 4N(d+1)m a step = 81 Gflop: 0.43 s | 1.88 s | 4.4 |
//! | the same, f32 | 0.21 s | 0.72 s | 3.4 |
//! | identity m=10000, f64 | 2·10⁹ updates, 44 Gflop at the start: 0.31 s | 1.37 s | 4.4 |
//! | the same, f32 | 0.16 s | 0.77 s | 4.9 |
//!
//! The floors leave out what has no fixed count or rate: random numbers, activations and arctangents, sign changes (N
//! operations each in flow and identity descent: with learning rate 1 and momentum 0.9, a thousand steps have many), and
//! that half of the reduction to tridiagonal form is matrix-vector products, which wait for memory.

use std::hint::black_box;
use std::time::Duration;

use criterion::measurement::WallTime;
use criterion::{BenchmarkGroup, BenchmarkId, Criterion, SamplingMode, Throughput, criterion_group, criterion_main};
use perturbation_learning::Result;
use perturbation_learning::data::{DataSet, Synthetic, mnist, synthetic};
use perturbation_learning::loss::StandardLoss;
use perturbation_learning::network::{
    Descent, GradientFlow, Initialisation, Neurons, Precision, Readout, adversarial_perturbations, empirical_ntk,
    input_gradients, outputs,
};
use perturbation_learning::problem::{Scenario, Slope, TrainingSet};
use perturbation_learning::random::{Streams, random_signs};
use perturbation_learning::theory::{Kernel, SquaredLossFlow, gram, perturbed_points};

/// Everything a tenth as large or less.
fn quick() -> bool {
    let given = |option: &str| std::env::args().any(|argument| argument == option);
    !given("--bench") || given("--test") || std::env::var("PERTLEARN_QUICK").is_ok_and(|value| value == "1")
}

fn sized(full: usize, small: usize) -> usize {
    if quick() { small } else { full }
}

/// A group of ten samples each in about `seconds`; in quick mode under another name, not to be compared with full runs.
fn group<'a>(criterion: &'a mut Criterion, name: &str, seconds: u64) -> BenchmarkGroup<'a, WallTime> {
    let mut group = criterion.benchmark_group(if quick() { format!("quick {name}") } else { name.into() });
    group.sample_size(10).nresamples(10_000).sampling_mode(SamplingMode::Flat);
    if quick() {
        group.warm_up_time(Duration::from_millis(50)).measurement_time(Duration::from_millis(200));
    } else {
        group.warm_up_time(Duration::from_secs(1)).measurement_time(Duration::from_secs(seconds));
    }
    group
}

fn shifted(input_dim: usize, train_count: usize, test_count: usize) -> DataSet {
    synthetic(Synthetic::ShiftedGauss, input_dim, train_count, test_count, 1).expect("a valid set")
}

fn neurons(input_dim: usize, width: usize, purpose: &str) -> Neurons {
    let streams = Streams::new(1, purpose);
    Neurons::draw(input_dim, width, Initialisation::Standard, Readout::Gaussian, streams).expect("a valid network")
}

/// Exact flow, neurons per second; T = 1, outputs at the training points.
fn flow(criterion: &mut Criterion) {
    let mut group = group(criterion, "flow", 4);
    let images = mnist().expect("embedded images").shortened(sized(500, 50));
    let sets =
        [("d=20 N=50", shifted(20, 50, 1), sized(1 << 17, 1 << 10)), ("MNIST N=1000", images, sized(1 << 12, 1 << 7))];
    for (name, data, width) in sets {
        let initial = neurons(data.train.input_dim(), width, "f");
        let flow = GradientFlow::new(&data.train, Slope::RELU, 1.0).expect("a valid time");
        group.throughput(Throughput::Elements(width as u64));
        group.bench_function(name, |b| b.iter(|| flow.run(&initial).expect("a finite flow")));
    }
    group.finish();
}

/// The kernel matrix of hidden-layer training.
fn kernel(criterion: &mut Criterion) {
    let mut group = group(criterion, "kernel", 4);
    let n = sized(4000, 200);
    let data = shifted(784, n, 1);
    group.throughput(Throughput::Elements((n * n / 2) as u64));
    group.bench_function(format!("NTK N={n} d=784"), |b| {
        b.iter(|| gram(Kernel::Ntk, Slope::RELU, black_box(data.train.points())));
    });
    group.finish();
}

/// The empirical tangent kernel of a wide network on few points.
fn tangent(criterion: &mut Criterion) {
    let mut group = group(criterion, "tangent", 3);
    let width = sized(10_000, 200);
    let (data, weights) = (shifted(100, sized(200, 20), 1), neurons(100, width, "f").weights());
    group.bench_function(format!("empirical NTK N={} d=100 m={width}", data.train.count()), |b| {
        b.iter(|| empirical_ntk(black_box(&weights), Slope::RELU, data.train.points()).expect("points of one space"));
    });
    group.finish();
}

/// The eigendecomposition behind the squared loss (the kernel matrix, d = 20, is a hundredth of it).
fn eigen(criterion: &mut Criterion) {
    let mut group = group(criterion, "eigen", 5);
    let n = sized(2000, 100);
    let data = shifted(20, n, 1);
    group.bench_function(format!("N={n}"), |b| {
        b.iter(|| SquaredLossFlow::new(black_box(&data.train), Slope::RELU, Kernel::Ntk).expect("it converges"));
    });
    group.finish();
}

/// One run of the reference experiment: train f, perturb, train g, evaluate both.
struct Pipeline {
    name: &'static str,
    data: DataSet,
    loss: StandardLoss,
    width: usize,
    steps: usize,
    scenario: Scenario,
    epsilon: f64,
}

impl Pipeline {
    /// The shifted Gaussian set, d = 100, N = 1000, scenario a.
    fn shifted(name: &'static str, loss: StandardLoss, width: usize, steps: usize) -> Self {
        let data = shifted(100, sized(1000, 100), sized(1000, 10));
        Pipeline { name, data, loss, width, steps, scenario: Scenario::PerturbationOnly, epsilon: 0.01 }
    }

    /// Learning rate 1, momentum 0.9, plateau rule.
    fn run(&self, precision: Precision) -> Result<Vec<f64>> {
        let descent = Descent::new(1.0, self.steps)?.with_momentum(0.9)?.with_plateau(true).with_precision(precision);
        let points = self.data.train.points();
        let d = points.input_dim();
        let f = descent.train(&neurons(d, self.width, "f"), Slope::RELU, &self.data.train, &self.loss)?;
        let targets = random_signs(&Streams::new(1, "targets"), points.count());
        let gradients = input_gradients(&f.weights, Slope::RELU, points)?;
        let values = outputs(&f.weights, Slope::RELU, points)?;
        let moves = adversarial_perturbations(&gradients, &values, &targets, &self.loss, self.epsilon)?;
        let perturbed = TrainingSet::new(perturbed_points(points, &moves, self.scenario)?, targets)?;
        let g = descent.train(&neurons(d, self.width, "g"), Slope::RELU, &perturbed, &self.loss)?;
        let mut evaluated = outputs(&g.weights, Slope::RELU, points)?;
        evaluated.extend(outputs(&f.weights, Slope::RELU, &self.data.test)?);
        evaluated.extend(outputs(&g.weights, Slope::RELU, &self.data.test)?);
        Ok(evaluated)
    }
}

/// Gradient descent as the reference experiments run it.
fn descent(criterion: &mut Criterion) {
    let mut group = group(criterion, "descent", 5);
    let rows = [
        Pipeline::shifted("identity m=100 1000+1000", StandardLoss::Identity, 100, sized(1000, 10)),
        Pipeline::shifted("logistic m=100 1000+1000", StandardLoss::Logistic, 100, sized(1000, 10)),
        Pipeline::shifted("identity m=10000 100+100", StandardLoss::Identity, sized(10_000, 100), sized(100, 10)),
    ];
    for row in &rows {
        for precision in [Precision::F64, Precision::F32] {
            group.bench_function(BenchmarkId::new(row.name, format!("{precision:?}")), |b| {
                b.iter(|| row.run(precision).expect("a finite run"));
            });
        }
    }
    group.finish();
}

/// The larger settings, which take seconds to minutes: only when they are asked for by name
/// (`cargo bench --bench timing -- large`).
fn large(criterion: &mut Criterion) {
    if !quick() && !std::env::args().any(|argument| argument.contains("large")) {
        return;
    }
    let mut group = group(criterion, "large", 5);
    let steps = sized(1000, 10);
    let wide = Pipeline::shifted("identity m=100000 100+100", StandardLoss::Identity, sized(100_000, 600), steps / 10);
    let data = shifted(sized(1000, 30), sized(10_000, 100), sized(1000, 10));
    let (loss, scenario) = (StandardLoss::Identity, Scenario::OnImage);
    let name = "shifted (b) d=1000 m=100 N=10000 1000+1000";
    let image = Pipeline { name, data, loss, width: 100, steps, scenario, epsilon: 0.31 };
    let gauss = |d, n| synthetic(Synthetic::Gauss, d, n, sized(1000, 10), 1).expect("a valid set");
    let (name, scenario) = ("gauss (a) d=1000 m=1000 N=2000 1000+1000", Scenario::PerturbationOnly);
    let data = gauss(sized(1000, 30), sized(2000, 40));
    let noise = Pipeline { name, data, loss, width: sized(1000, 20), steps, scenario, epsilon: 0.031 };
    for row in [wide, image, noise] {
        group.bench_function(row.name, |b| b.iter(|| row.run(Precision::F64).expect("a finite run")));
    }
    group.finish();
}

criterion_group!(benches, flow, kernel, tangent, eigen, descent, large);
criterion_main!(benches);
