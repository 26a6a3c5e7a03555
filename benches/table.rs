//! The experiments that the authors' code is compared by, and two kernels: what they take, on the clock, and how much memory.
//!
//! ```text
//! cargo bench --bench table                        # rows that take seconds
//! cargo bench --bench table -- all                 # all rows, a quarter of an hour on two cores
//! cargo bench --bench table -- "gauss (a) d=1000"  # rows of which the name has that in it; an error if there is none
//! ```
//!
//! Everything small with `-- --test` or `PERTLEARN_QUICK=1`. Every row runs in a process of its own, once for each precision:
//! one run that does not count if runs are short, then up to ten in half a minute, three at least. It prints a table in Markdown
//! with medians, the shortest and the longest run, and the largest resident memory of the process, and writes `target/speed/table.md`. The machine
//! should do nothing else. Criterion takes ten samples at least, which here would be an hour and more.
//!
//! Beside the time stands how many times the floor that is: what the operations that a row cannot do without would take,
//! all others left out, at the rates of this machine, which the same process measures after its runs ([`rates`]). The counts
//! stand with the rows, those of sign changes and of products chosen at run time as found once by temporary output.
//!
//! `docs/speed.md` has the results and says what misses the floors.

#[path = "common/quick.rs"]
mod quick;
#[path = "common/rates.rs"]
mod rates;

use std::fmt::Write as _;
use std::hint::black_box;
use std::path::{Path, PathBuf};
use std::process::Command;
use std::time::Instant;

use perturbation_learning::Result;
use perturbation_learning::data::{DataSet, Synthetic, synthetic};
use perturbation_learning::loss::StandardLoss;
use perturbation_learning::memory::ArrayAllocator;
use perturbation_learning::network::{
    Descent, Initialisation, Neurons, Precision, Readout, empirical_ntk, guarded_perturbations,
    outputs_and_input_gradients_in, outputs_in,
};
use perturbation_learning::problem::{Scenario, Slope, TrainingSet};
use perturbation_learning::random::{Streams, random_signs};
use perturbation_learning::stats::median;
use perturbation_learning::theory::{Kernel, gram, perturbed_points};
use quick::{quick, sized};
use rates::{Counts, Rates};

#[global_allocator]
static ALLOCATOR: ArrayAllocator = ArrayAllocator;

fn data(kind: Synthetic, input_dim: usize, train_count: usize, test_count: usize) -> Result<DataSet> {
    synthetic(kind, input_dim, train_count, test_count, 1)
}

fn neurons(input_dim: usize, width: usize, purpose: &str) -> Result<Neurons> {
    let streams = Streams::new(1, purpose);
    Neurons::draw(input_dim, width, Initialisation::Standard, Readout::Gaussian, streams)
}

/// One run of the reference experiment: train f, perturb, train g, evaluate both.
struct Pipeline {
    kind: Synthetic,
    input_dim: usize,
    train_count: usize,
    loss: StandardLoss,
    width: usize,
    steps: usize,
    scenario: Scenario,
    epsilon: f64,
}

/// What a row measures.
enum Work {
    Pipeline(Pipeline),
    DerivativeDual { input_dim: usize, count: usize },
    EmpiricalNtk { input_dim: usize, count: usize, width: usize },
}

struct Row {
    name: &'static str,
    /// Takes minutes.
    long: bool,
    work: Work,
    /// Operations in full size.
    counts: Counts,
}

/// The shifted Gaussian set, d = 100, N = 1000, scenario a.
fn shifted(name: &'static str, long: bool, loss: StandardLoss, width: usize, steps: usize, counts: Counts) -> Row {
    let work = Pipeline {
        kind: Synthetic::ShiftedGauss,
        input_dim: 100,
        train_count: sized(1000, 100),
        loss,
        width,
        steps,
        scenario: Scenario::PerturbationOnly,
        epsilon: 0.01,
    };
    Row { name, long, work: Work::Pipeline(work), counts }
}

fn rows() -> Vec<Row> {
    let (identity, steps) = (StandardLoss::Identity, sized(1000, 10));
    let large = |name, kind, input_dim, train_count, width, scenario, epsilon, counts| {
        let work = Pipeline { kind, input_dim, train_count, loss: identity, width, steps, scenario, epsilon };
        Row { name, long: true, work: Work::Pipeline(work), counts }
    };
    let (alone, image) = (Scenario::PerturbationOnly, Scenario::OnImage);
    let (dim, count, width) = (sized(1000, 30), sized(2000, 40), sized(1000, 20));
    let (high, many) = (sized(10_000, 60), sized(10_000, 100));
    let none = Counts::default();
    // Every preactivation of both networks in every step.
    let walked = Counts { updates: 2e8, ..none };
    // By the kernel, one half of it read a step, for each value of which a product and its mirror image are added.
    let by_kernel = Counts { products: 4e9, kept: 1e9, ..none };
    // Products at the ends, 4.7 million columns that are added in registers, and steps.
    let wide = |times: f64| Counts { products: times * 24e9, loads: times * 4.7e9, updates: times * 2e9, ..none };
    // At the ends of blocks 165, before the first block 120, Gram matrix 100, starts, ends and columns of blocks the rest.
    let on_image = Counts { products: 420e9, ..none };
    // 75 columns a neuron and step of f, added in registers.
    let noise = Counts { loads: 1.5e11, ..none };
    // A triangle of the Gram matrix a step of f, columns added in registers, and the matrix itself.
    let much_noise = Counts { products: 1e12, loads: 5.7e11, memory: 5e10, ..none };
    vec![
        shifted("shifted (a) m=100 1000/1000", false, identity, 100, steps, walked),
        shifted("the same, logistic", false, StandardLoss::Logistic, 100, steps, by_kernel),
        shifted("shifted (a) m=10⁴ 100/100", false, identity, sized(10_000, 100), sized(100, 10), wide(1.0)),
        shifted("shifted (a) m=10⁵ 100/100", true, identity, sized(100_000, 600), sized(100, 10), wide(10.0)),
        large(
            "shifted (b) d=1000 m=100 N=10⁴ 1000/1000",
            Synthetic::ShiftedGauss,
            dim,
            many,
            100,
            image,
            0.31,
            on_image,
        ),
        large("gauss (a) d=1000 m=1000 N=2000 1000/1000", Synthetic::Gauss, dim, count, width, alone, 0.031, noise),
        large(
            "gauss (a) d=10⁴ m=100 N=10⁴ 1000/1000",
            Synthetic::Gauss,
            high,
            many,
            sized(100, 20),
            alone,
            0.1,
            much_noise,
        ),
        Row {
            name: "Φ N=4000 d=784",
            long: false,
            work: Work::DerivativeDual { input_dim: 784, count: sized(4000, 200) },
            // One triangle.
            counts: Counts { products: 784.0 * 4000.0 * 4001.0, ..none },
        },
        Row {
            name: "empirical NTK N=200 d=100 m=10⁴",
            long: false,
            work: Work::EmpiricalNtk { input_dim: 100, count: sized(200, 20), width: sized(10_000, 200) },
            // 2mNd + mN².
            counts: Counts { products: 8e8, ..none },
        },
    ]
}

impl Pipeline {
    /// Learning rate 1, momentum 0.9, plateau rule.
    fn run(&self, data: &DataSet, precision: Precision) -> Result<Vec<f64>> {
        let descent = Descent::new(1.0, self.steps)?.with_momentum(0.9)?.with_plateau(true).with_precision(precision);
        let points = data.train.points();
        let d = points.input_dim();
        let f = descent.train(&neurons(d, self.width, "f")?, Slope::RELU, &data.train, &self.loss)?;
        let targets = random_signs(&Streams::new(1, "targets"), points.count());
        let (values, gradients) = outputs_and_input_gradients_in(precision, &f.weights, Slope::RELU, points)?;
        // A point at which every neuron has died has no direction: it is left as it is, as the reference does.
        let moves = guarded_perturbations(&gradients, &values, &targets, &self.loss, self.epsilon)?;
        let perturbed = TrainingSet::new(perturbed_points(points, &moves, self.scenario)?, targets)?;
        let g = descent.train(&neurons(d, self.width, "g")?, Slope::RELU, &perturbed, &self.loss)?;
        let mut evaluated = outputs_in(precision, &g.weights, Slope::RELU, points)?;
        evaluated.extend(outputs_in(precision, &f.weights, Slope::RELU, &data.test)?);
        evaluated.extend(outputs_in(precision, &g.weights, Slope::RELU, &data.test)?);
        Ok(evaluated)
    }
}

impl Row {
    /// Precisions that make a difference.
    fn precisions(&self) -> &'static [Precision] {
        if matches!(self.work, Work::Pipeline(_)) { &[Precision::F64, Precision::F32] } else { &[Precision::F64] }
    }

    /// Seconds of each run.
    fn measure(&self, precision: Precision) -> Result<Vec<f64>> {
        match &self.work {
            Work::Pipeline(pipeline) => {
                let data = data(pipeline.kind, pipeline.input_dim, pipeline.train_count, sized(1000, 10))?;
                repeat(|| pipeline.run(&data, precision))
            }
            Work::DerivativeDual { input_dim, count } => {
                let data = data(Synthetic::ShiftedGauss, *input_dim, *count, 1)?;
                repeat(|| Ok(gram(Kernel::DerivativeDual, Slope::RELU, data.train.points())))
            }
            Work::EmpiricalNtk { input_dim, count, width } => {
                let data = data(Synthetic::ShiftedGauss, *input_dim, *count, 1)?;
                let weights = neurons(*input_dim, *width, "f")?.weights();
                repeat(|| empirical_ntk(&weights, Slope::RELU, data.train.points()))
            }
        }
    }
}

/// Seconds of up to ten runs in half a minute, of three at least; short ones after one that does not count.
fn repeat<T>(run: impl Fn() -> Result<T>) -> Result<Vec<f64>> {
    let (start, mut seconds) = (Instant::now(), Vec::new());
    let fewest = sized(3, 1);
    while seconds.len() < fewest || (seconds.len() < sized(10, 1) && start.elapsed().as_secs_f64() < 30.0) {
        let before = Instant::now();
        black_box(run()?);
        let took = before.elapsed().as_secs_f64();
        if seconds.is_empty() && took < 5.0 {
            // What is paid for once only: threads, memory that is touched for the first time.
            let before = Instant::now();
            black_box(run()?);
            seconds.push(before.elapsed().as_secs_f64());
        } else {
            seconds.push(took);
        }
    }
    Ok(seconds)
}

/// The largest resident memory of this process so far, in bytes; `None` where the system does not tell (outside Linux).
fn peak_memory() -> Option<f64> {
    let status = std::fs::read_to_string("/proc/self/status").ok()?;
    let line = status.lines().find_map(|line| line.strip_prefix("VmHWM:"))?;
    line.split_whitespace().next()?.parse::<f64>().ok().map(|kib| kib * 1024.0)
}

/// Tells a process which row and precision to measure.
const ROW: &str = "PERTLEARN_ROW";

/// Measures one row in this process: prints the seconds, the memory, and the floor.
fn child(order: &str) -> std::result::Result<(), Box<dyn std::error::Error>> {
    let (index, precision) = order.split_once(' ').ok_or("a row and a precision")?;
    let precision = if precision == "F32" { Precision::F32 } else { Precision::F64 };
    let row = &rows()[index.parse::<usize>()?];
    let seconds = row.measure(precision)?;
    println!("{}", seconds.iter().map(|s| s.to_string()).collect::<Vec<_>>().join(" "));
    println!("{}", peak_memory().map_or(String::new(), |bytes| bytes.to_string()));
    println!("{}", row.counts.floor(&Rates::measure(precision)));
    Ok(())
}

/// Time, how many times the floor that is, and memory of a row, for the table.
fn cells(index: usize, precision: Precision) -> std::result::Result<[String; 3], Box<dyn std::error::Error>> {
    let mut command = Command::new(std::env::current_exe()?);
    command.args(std::env::args().skip(1)).env(ROW, format!("{index} {precision:?}"));
    let output = command.output()?;
    if !output.status.success() {
        return Err(String::from_utf8_lossy(&output.stderr).into());
    }
    let text = String::from_utf8(output.stdout)?;
    let mut lines = text.lines();
    let seconds: Vec<f64> =
        lines.next().unwrap_or_default().split_whitespace().map(str::parse).collect::<std::result::Result<_, _>>()?;
    let (low, high) = seconds.iter().fold((f64::INFINITY, 0.0_f64), |(low, high), s| (low.min(*s), high.max(*s)));
    let digits = if high < 0.1 {
        4
    } else if high < 1.0 {
        3
    } else {
        2
    };
    let time = format!("{:.digits$} [{low:.digits$}, {high:.digits$}]", median(&seconds));
    let memory = lines.next().and_then(|bytes| bytes.parse::<f64>().ok());
    let memory = memory.map_or("–".into(), |bytes| format!("{:.0}", bytes / f64::from(1 << 20)));
    let floor = lines.next().unwrap_or_default().parse::<f64>()?;
    // Counts are those of the full size.
    let distance = if quick() { "–".into() } else { format!("{:.1}", median(&seconds) / floor) };
    Ok([time, distance, memory])
}

/// The rates of the machine as one line.
fn rates_of(precision: Precision) -> String {
    let rates = Rates::measure(precision);
    let [products, loads, updates, kept, memory] =
        [rates.products, rates.loads, rates.updates, rates.kept, rates.memory].map(|rate| rate * 1e-9);
    format!(
        "\nAll threads, {precision:?}, 10⁹ a second: {products:.0} operations of products, {loads:.0} values from the first-level cache, \
         {updates:.0} steps of a preactivation, {kept:.0} values that the caches keep, {memory:.1} from memory."
    )
}

fn table() -> std::result::Result<(), Box<dyn std::error::Error>> {
    let wanted = std::env::args().skip(1).find(|argument| !argument.starts_with("--"));
    let rows = rows();
    let is_named = |row: &Row| wanted.as_ref().is_some_and(|name| name == "all" || row.name.contains(name.as_str()));
    if let Some(name) = &wanted
        && !rows.iter().any(is_named)
    {
        let names: Vec<&str> = rows.iter().map(|row| row.name).collect();
        return Err(format!("'{name}' is in the name of no row; there are: {}", names.join("; ")).into());
    }
    let mut table = String::from(
        "| | seconds f64 | times the floor | f32 | times the floor | MiB f64 | f32 |\n|---|---|---|---|---|---|---|\n",
    );
    print!("{table}");
    for (index, row) in rows.iter().enumerate() {
        if !(is_named(row) || wanted.is_none() && (quick() || !row.long)) {
            continue;
        }
        let mut columns = [[(); 3]; 2].map(|cells| cells.map(|()| "–".to_string()));
        for (column, precision) in columns.iter_mut().zip(row.precisions()) {
            *column = cells(index, *precision)?;
        }
        let [[double, double_floors, double_memory], [single, single_floors, single_memory]] = columns;
        let line = format!(
            "| {} | {double} | {double_floors} | {single} | {single_floors} | {double_memory} | {single_memory} |",
            row.name
        );
        println!("{line}");
        writeln!(table, "{line}")?;
    }
    for line in [Precision::F64, Precision::F32].map(rates_of) {
        println!("{line}");
        writeln!(table, "{line}")?;
    }
    let default = || Path::new(env!("CARGO_MANIFEST_DIR")).join("target");
    let directory = std::env::var_os("CARGO_TARGET_DIR").map_or_else(default, PathBuf::from).join("speed");
    std::fs::create_dir_all(&directory)?;
    std::fs::write(directory.join(if quick() { "quick.md" } else { "table.md" }), table)?;
    Ok(())
}

fn main() -> std::result::Result<(), Box<dyn std::error::Error>> {
    match std::env::var(ROW) {
        Ok(order) => child(&order),
        Err(_) => table(),
    }
}
