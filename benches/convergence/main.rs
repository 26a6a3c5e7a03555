//! Convergence with width: how far networks of width m are from their infinite-width limits.
//!
//! ```text
//! cargo bench --bench convergence                      # everything, three minutes on two cores
//! cargo bench --bench convergence -- --test            # everything small, a few seconds; so does PERTLEARN_QUICK=1
//! PERTLEARN_FIGURE=gradient cargo bench --bench convergence -- none       # one figure, no benchmark
//! ```
//!
//! Two things come of it. Criterion measures deviations instead of times (one iteration per seeded network, a group per
//! statement) and leaves its statistics, violin plots and log-log summaries in `target/criterion/`. Its remarks about
//! samples not fitting into the target time can be ignored: the target is zero, so that each sample is one network.
//! Where it writes "time" it means the deviation; the word is fixed in it.
//! Our own figures, with theory beside the measurements, go to `target/convergence/` as SVG, PNG and CSV (`quick/` below
//! it in quick mode).

mod bounds;
mod deviation;
mod figures;
mod process;
#[path = "../common/quick.rs"]
#[expect(dead_code, reason = "sizes are those of the figures")]
mod quick;
mod series;
mod speed;
mod study;

use std::cell::RefCell;
use std::collections::HashMap;
use std::path::{Path, PathBuf};
use std::time::Duration;

use criterion::{AxisScale, BenchmarkId, Criterion, PlotConfiguration, SamplingMode};
use perturbation_learning::Result;
use perturbation_learning::experiment::learn::root_mean_square;
use perturbation_learning::memory::ArrayAllocator;
use perturbation_learning::network::Readout;

use deviation::Deviation;
use figures::Effort;
use study::{Deviations, Study};

#[global_allocator]
static ALLOCATOR: ArrayAllocator = ArrayAllocator;

/// A statement's group: its name, from which width 2^k on, and what is measured of a network pair.
type Statement = (&'static str, u32, fn(&Deviations) -> f64);

/// Criterion cannot hold a zero: of n test points with k disagreements (k + ½)/(n + 1) is measured, and the certified share from
/// where it is not zero.
const STATEMENTS: [Statement; 6] = [
    ("f_T − T·F", 6, |d| d.function),
    ("grad f_T − T·grad F", 6, |d| d.gradient),
    ("1 − cos(grad f_T, grad F)", 6, |d| d.direction),
    ("g − T'·G", 6, |d| root_mean_square(&d.perturbed)),
    ("share with sgn f other than sgn g", 6, |d| {
        let points = d.perturbed.len() as f64;
        ((1.0 - d.agreement) * points + 0.5) / (points + 1.0)
    }),
    ("share certified given f", 8, |d| d.certified),
];

/// Criterion's part: a group per statement over widths, each sample one network.
fn measure(criterion: &mut Criterion<Deviation>, study: &Study, quick: bool) {
    // Every network is trained once and serves all statements.
    let trained: RefCell<HashMap<(usize, u64), Deviations>> = RefCell::default();
    for (name, first, figure) in STATEMENTS {
        let widths = series::widths(first, if quick { 8 } else { 16 }, 2);
        let mut group = criterion.benchmark_group(name);
        group.plot_config(PlotConfiguration::default().summary_scale(AxisScale::Logarithmic));
        group.sampling_mode(SamplingMode::Flat).sample_size(30).nresamples(10_000);
        group.warm_up_time(Duration::from_nanos(1)).measurement_time(Duration::from_nanos(1));
        for &width in &widths {
            let mut network = 0;
            group.bench_function(BenchmarkId::from_parameter(width), |bencher| {
                bencher.iter_custom(|iterations| {
                    let mut sum = 0.0;
                    for _ in 0..iterations {
                        let mut trained = trained.borrow_mut();
                        let deviations = trained
                            .entry((width, network))
                            .or_insert_with(|| study.deviations(width, network as usize).expect("a valid study"));
                        sum += figure(deviations);
                        network += 1;
                    }
                    sum
                });
            });
        }
        group.finish();
    }
}

type Draw = fn(&Path, Effort) -> Result<()>;

const FIGURES: [(&str, Draw); 5] = [
    ("function", figures::function),
    ("gradient", figures::gradient_and_g),
    ("limit-direction", figures::limit_direction),
    ("agreement", figures::agreement_figure),
    ("flow-speed", speed::flow_speed),
];

fn target_directory() -> PathBuf {
    let default = || Path::new(env!("CARGO_MANIFEST_DIR")).join("target");
    std::env::var_os("CARGO_TARGET_DIR").map_or_else(default, PathBuf::from)
}

fn draw(quick: bool) -> std::result::Result<(), Box<dyn std::error::Error>> {
    let mut directory = target_directory().join("convergence");
    if quick {
        directory.push("quick");
    }
    std::fs::create_dir_all(&directory)?;
    let wanted = std::env::var("PERTLEARN_FIGURE").ok();
    if let Some(name) = wanted.as_deref().filter(|wanted| FIGURES.iter().all(|(name, _)| name != wanted)) {
        let known = FIGURES.map(|(name, _)| name).join(", ");
        return Err(format!(
            "PERTLEARN_FIGURE is '{name}'; expected one of {known} (gradient draws perturbed as well)"
        )
        .into());
    }
    for (name, figure) in FIGURES {
        if wanted.as_deref().is_none_or(|wanted| wanted == name) {
            figure(&directory, Effort { quick })?;
        }
    }
    Ok(())
}

fn main() -> std::result::Result<(), Box<dyn std::error::Error>> {
    let given = |option: &str| std::env::args().any(|argument| argument == option);
    let quick = quick::quick();
    let mut criterion = Criterion::default().with_measurement(Deviation).configure_from_args();
    measure(&mut criterion, &figures::small_study(Readout::Rademacher)?, quick);
    criterion.final_summary();
    if given("--list") { Ok(()) } else { draw(quick) }
}
