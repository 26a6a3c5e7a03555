//! How long the expensive parts take.
//!
//! `cargo bench --bench timing`; with `-- --test` or `PERTLEARN_QUICK=1` everything is small. With `PERTLEARN_CLOCK=processor` processor
//! time is measured instead of time on the clock, summed over the threads: on a machine that does other work as well it
//! is what can be compared; two free cores take half of it, apart from what is not shared out.
//!
//! `docs/speed.md` has the measurements with their floors; whole experiments are timed by `cargo bench --bench table`.

#[path = "common/clock.rs"]
mod clock;
#[path = "common/quick.rs"]
mod quick;

use std::hint::black_box;
use std::time::Duration;

use criterion::measurement::{Measurement, ValueFormatter, WallTime};
use criterion::{BenchmarkGroup, Criterion, SamplingMode, Throughput, criterion_group, criterion_main};
use perturbation_learning::data::{DataSet, Synthetic, mnist, synthetic};
use perturbation_learning::memory::ArrayAllocator;
use perturbation_learning::network::{GradientFlow, Initialisation, Neurons, Readout, empirical_ntk};
use perturbation_learning::problem::Slope;
use perturbation_learning::random::Streams;
use perturbation_learning::theory::{Kernel, SquaredLossFlow, gram};
use quick::{quick, sized};

#[global_allocator]
static ALLOCATOR: ArrayAllocator = ArrayAllocator;

/// Time on the clock, or processor time.
struct Clock {
    processor: bool,
}

impl Clock {
    fn now(&self) -> f64 {
        if self.processor { clock::processor_seconds() } else { clock::seconds() }
    }
}

impl Measurement for Clock {
    type Intermediate = f64;
    /// Seconds.
    type Value = f64;

    fn start(&self) -> f64 {
        self.now()
    }

    fn end(&self, start: f64) -> f64 {
        self.now() - start
    }

    fn add(&self, a: &f64, b: &f64) -> f64 {
        a + b
    }

    fn zero(&self) -> f64 {
        0.0
    }

    /// Nanoseconds, as criterion's own.
    fn to_f64(&self, seconds: &f64) -> f64 {
        seconds * 1e9
    }

    fn formatter(&self) -> &dyn ValueFormatter {
        WallTime.formatter()
    }
}

fn clocked() -> Criterion<Clock> {
    let processor = std::env::var("PERTLEARN_CLOCK").is_ok_and(|value| value == "processor");
    Criterion::default().with_measurement(Clock { processor })
}

/// A group of ten samples each in about `seconds`; in quick mode under another name, not to be compared with full runs.
fn group<'a>(criterion: &'a mut Criterion<Clock>, name: &str, seconds: u64) -> BenchmarkGroup<'a, Clock> {
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
fn flow(criterion: &mut Criterion<Clock>) {
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

/// Kernel matrices.
fn kernel(criterion: &mut Criterion<Clock>) {
    let mut group = group(criterion, "kernel", 4);
    let n = sized(4000, 200);
    let data = shifted(784, n, 1);
    group.throughput(Throughput::Elements((n * n / 2) as u64));
    for (name, kernel) in [("Φ", Kernel::DerivativeDual), ("NTK", Kernel::Ntk)] {
        group.bench_function(format!("{name} N={n} d=784"), |b| {
            b.iter(|| gram(kernel, Slope::RELU, black_box(data.train.points())));
        });
    }
    group.finish();
}

/// The empirical tangent kernel of a wide network on few points.
fn tangent(criterion: &mut Criterion<Clock>) {
    let mut group = group(criterion, "tangent", 3);
    let width = sized(10_000, 200);
    let (data, weights) = (shifted(100, sized(200, 20), 1), neurons(100, width, "f").weights());
    group.bench_function(format!("empirical NTK N={} d=100 m={width}", data.train.count()), |b| {
        b.iter(|| empirical_ntk(black_box(&weights), Slope::RELU, data.train.points()).expect("points of one space"));
    });
    group.finish();
}

/// The eigendecomposition behind the squared loss (the kernel matrix, d = 20, is a hundredth of it).
fn eigen(criterion: &mut Criterion<Clock>) {
    let mut group = group(criterion, "eigen", 5);
    let n = sized(2000, 100);
    let data = shifted(20, n, 1);
    group.bench_function(format!("N={n}"), |b| {
        b.iter(|| SquaredLossFlow::new(black_box(&data.train), Slope::RELU, Kernel::Ntk).expect("it converges"));
    });
    group.finish();
}

criterion_group!(name = benches; config = clocked(); targets = flow, kernel, tangent, eigen);
criterion_main!(benches);
