//! `pertlearn certify`: the signs of f and g, certified together before either is drawn.

use std::path::PathBuf;

use anyhow::bail;
use clap::{ArgGroup, Args};
use perturbation_learning::data::{DataSet, write_text};
use perturbation_learning::experiment::certify::{Certifier, Method, Setting};
use perturbation_learning::problem::Slope;
use perturbation_learning::random::{Streams, random_signs};
use perturbation_learning::report::{RunRecord, Table, significant};
use perturbation_learning::theory::bound::PairCertificate;
use serde::Serialize;

use super::arguments::{Common, Random, ScenarioName, parse_count, parse_positive, parse_slope};
use super::busy::Busy;
use super::files::Files;
use super::learn::ExperimentData;
use super::{Verdict, say};

/// Certify, before any network is drawn, at which test points f and g will agree in sign.
///
/// For antisymmetric networks with readouts ±1/√m and exact gradient flow of the identity loss: with probability at least
/// 1 − δ over both networks, sgn f = sgn g at all certified points at once. The bounds are proved (statement A6); their
/// means and variances come from a sample of single pairs of neurons, whose own failure is part of δ. The cost grows like
/// the root of the width. The perturbations are those of gradients that take at a sliding neuron the derivative with which
/// the exact flow keeps it on the boundary, as `learn --flow` and `verify` do; with φ'(0) = 1 instead, the mean of
/// ∇f_T(x_n)/T moves by up to (1−γ)²√(2/π)·p(x_n)·|S_n|/2√d in a direction (P7; |S_n| =
/// (‖x_n‖² + 1)/N for distinct points), at every width, which the certificate does not cover.
/// With --method closed-form no sample is drawn (statement A3): the error of f is nearly as small, that
/// of g several times larger. --share asks for the smallest width that certifies a share of the points with F·G > 0, the
/// only ones that any width can certify. With --width and --share together the certificate is that of --width, with
/// --method sampled a little weaker as the search takes its part of δ, and the width found for the share stands beside it.
///
/// In JSON and CSV limit_f and limit_g are F and G, per unit of time; error_f bounds how far f_T may fall short of T·F towards
/// the other sign, error_g the same for g_T' and T'·G. The sign of f is certified where error_f < T·|limit_f|. The table's
/// "median |limit|" is that of T·|F| and T'·|G|.
#[derive(Debug, Args)]
#[command(group(ArgGroup::new("aim").required(true).multiple(true).args(["width", "share"])))]
pub struct CertifyArguments {
    #[command(flatten)]
    data: ExperimentData,
    /// Use only this many test points, evenly spaced: the fewer, the smaller their errors [default: all].
    #[arg(long, value_name = "COUNT", value_parser = parse_count, allow_negative_numbers = true)]
    test_points: Option<usize>,
    /// What g is trained on: a, the perturbation alone; b, the perturbed point.
    #[arg(long, value_enum)]
    scenario: ScenarioName,
    /// Length ε of every perturbation.
    #[arg(long, value_name = "E", value_parser = parse_positive, allow_negative_numbers = true)]
    epsilon: f64,
    /// Flow time of f.
    #[arg(long, value_name = "T", value_parser = parse_positive, allow_negative_numbers = true)]
    time: f64,
    /// Flow time of g.
    #[arg(long, value_name = "T2", value_parser = parse_positive, allow_negative_numbers = true)]
    time_perturbed: f64,
    /// Number of hidden neurons m, even.
    #[arg(long, value_name = "M", value_parser = parse_count, allow_negative_numbers = true)]
    width: Option<usize>,
    /// Find the smallest width that certifies this share of the points with F·G > 0, to within a tenth.
    #[arg(long, value_name = "SHARE", value_parser = parse_share, allow_negative_numbers = true)]
    share: Option<f64>,
    /// Probability δ that any certified point is wrong.
    #[arg(long, value_name = "D", value_parser = parse_probability, allow_negative_numbers = true)]
    failure_probability: f64,
    /// Slope γ of the leaky ReLU, in [0, 1).
    #[arg(long, default_value = "0", value_parser = parse_slope, allow_negative_numbers = true)]
    slope: Slope,
    /// As many targets +1 as −1, in random order (for an odd number one more), instead of independent ones.
    #[arg(long)]
    balanced: bool,
    /// Where means and variances come from.
    #[arg(long, value_enum, default_value = "sampled")]
    method: MethodName,
    /// Pairs of neurons in the sample up to width 1024, and √(m/1024) times as many beyond: more make smaller errors, up to
    /// a point [default: 20000].
    #[arg(long, value_name = "COUNT", value_parser = parse_count, allow_negative_numbers = true)]
    samples: Option<usize>,
    /// Where to write one line per test point: index,limit_f,limit_g,error_f,error_g,certified (.csv); see above.
    #[arg(long, value_name = "CSV")]
    out: Option<PathBuf>,
    #[command(flatten)]
    random: Random,
    #[command(flatten)]
    pub common: Common,
}

/// Names of the methods.
#[derive(Debug, Clone, Copy, PartialEq, Eq, clap::ValueEnum)]
enum MethodName {
    /// A sample of single pairs of neurons, trained exactly.
    Sampled,
    /// Closed forms alone.
    ClosedForm,
}

impl From<MethodName> for Method {
    fn from(name: MethodName) -> Self {
        match name {
            MethodName::Sampled => Method::Sampled,
            MethodName::ClosedForm => Method::ClosedForm,
        }
    }
}

fn parse_probability(text: &str) -> Result<f64, String> {
    match text.parse::<f64>() {
        Ok(value) if value > 0.0 && value < 1.0 => Ok(value),
        _ => Err("expected a number in (0, 1)".into()),
    }
}

fn parse_share(text: &str) -> Result<f64, String> {
    match text.parse::<f64>() {
        Ok(value) if value > 0.0 && value <= 1.0 => Ok(value),
        _ => Err("expected a number in (0, 1]".into()),
    }
}

/// How many widths `--share` may look at; each costs its share of δ.
const SEARCH: usize = 20;
/// Pairs of neurons in a sample, if nothing else is asked for.
const SAMPLES: usize = 20_000;
/// The widest network that `--share` looks at.
const WIDEST: usize = 1 << 20;

#[derive(Serialize)]
struct CertifyResult {
    data: String,
    train_count: usize,
    test_count: usize,
    scenario: perturbation_learning::problem::Scenario,
    epsilon: f64,
    time: f64,
    time_perturbed: f64,
    slope: Slope,
    failure_probability: f64,
    method: Method,
    /// Null for the closed form.
    samples: Option<usize>,
    balanced: bool,
    /// Σ y'_n.
    target_sum: f64,
    /// The width of the certificate below.
    width: usize,
    /// Certified points among all.
    certified_share: f64,
    /// Certified points among those with F·G > 0.
    certified_share_of_agreeing: f64,
    /// The share asked for by --share, and the smallest width found; null if not asked for or not found.
    share: Option<f64>,
    certified_width: Option<usize>,
    /// F and G per unit of time, errors of f_T and g_T' as they are.
    #[serde(flatten)]
    certificate: PairCertificate,
    run: RunRecord,
}

/// Computes and writes the certificate.
pub fn run(arguments: &CertifyArguments) -> anyhow::Result<Verdict> {
    let start = std::time::Instant::now();
    let (table, inputs) = (arguments.out.as_ref(), arguments.data.paths()?);
    Files { table, inputs, ..Files::default() }.check(&arguments.common)?;
    let sampled = arguments.method == MethodName::Sampled;
    if arguments.samples.is_some() && !sampled {
        bail!("--samples: --method closed-form draws no sample");
    }
    let samples = arguments.samples.unwrap_or(SAMPLES);
    let mut data = arguments.data.load(None, arguments.random.seed)?;
    shorten_test(&mut data, arguments.test_points)?;
    let targets = arguments.targets(data.train.count());
    let busy = Busy::with(format!("bounds at {} test points", data.test.count()));
    let certifier = Certifier::new(Setting {
        train: &data.train,
        slope: arguments.slope,
        test: &data.test,
        scenario: arguments.scenario.into(),
        epsilon: arguments.epsilon,
        targets: &targets,
        time: arguments.time,
        time_perturbed: arguments.time_perturbed,
        failure_probability: arguments.failure_probability,
        method: arguments.method.into(),
        samples,
        seed: arguments.random.seed,
        widths: if arguments.share.is_some() { SEARCH } else { 1 },
    })?;
    let found = arguments.share.map(|share| smallest_width(&certifier, share)).transpose()?;
    let certified_width = found.as_ref().filter(|found| found.reached).map(|found| found.width);
    let (width, certificate) = match (arguments.width, found) {
        (Some(width), _) => (width, certifier.certify(width)?),
        (None, Some(Search { width, certificate, .. })) => (width, certificate),
        (None, None) => bail!("give --width or --share"),
    };
    drop(busy);
    if let Some(path) = &arguments.out {
        write_text(path, &to_csv(&certificate))?;
    }
    if !arguments.common.json_on_stdout() {
        print(arguments, width, &certificate, certified_width);
    }
    arguments.common.write(&CertifyResult {
        train_count: data.train.count(),
        test_count: data.test.count(),
        data: data.name,
        scenario: arguments.scenario.into(),
        epsilon: arguments.epsilon,
        time: arguments.time,
        time_perturbed: arguments.time_perturbed,
        slope: arguments.slope,
        failure_probability: arguments.failure_probability,
        method: arguments.method.into(),
        samples: sampled.then_some(samples),
        balanced: arguments.balanced,
        target_sum: targets.iter().sum(),
        width,
        certified_share: certificate.share(),
        certified_share_of_agreeing: certificate.share_of_agreeing(),
        share: arguments.share,
        certified_width,
        certificate,
        run: RunRecord::new(arguments.random.seed, start.elapsed().as_secs_f64()),
    })?;
    Ok(Verdict::Held)
}

/// Evenly spaced test points.
fn shorten_test(data: &mut DataSet, count: Option<usize>) -> anyhow::Result<()> {
    let Some(count) = count else { return Ok(()) };
    let all = data.test.count();
    if count == 0 || count > all {
        bail!("--test-points {count}: expected a number from 1 to {all}, the number of test points");
    }
    let kept: Vec<usize> = (0..count).map(|index| index * all / count).collect();
    data.test = data.test.select(&kept);
    data.test_labels = data.test_labels.take().map(|labels| kept.iter().map(|&index| labels[index]).collect());
    Ok(())
}

impl CertifyArguments {
    fn targets(&self, count: usize) -> Vec<f64> {
        let streams = Streams::new(self.random.seed, "targets");
        if !self.balanced {
            return random_signs(&streams, count);
        }
        // Random order: sorted by independent random numbers.
        use rand::RngExt;
        let mut rng = streams.stream(1);
        let mut order: Vec<(u64, usize)> = (0..count).map(|n| (rng.random(), n)).collect();
        order.sort_unstable();
        let mut targets = vec![1.0; count];
        for (_, n) in &order[..count / 2] {
            targets[*n] = -1.0;
        }
        targets
    }
}

/// The end of a search.
struct Search {
    width: usize,
    certificate: PairCertificate,
    /// Whether it certifies the share asked for.
    reached: bool,
}

/// Smallest width that certifies the share, to within a tenth: from 256 by factors of 4, then bisection.
fn smallest_width(certifier: &Certifier<'_>, share: f64) -> anyhow::Result<Search> {
    let mut looks = 0;
    let mut look = |width: usize| -> anyhow::Result<Search> {
        looks += 1;
        assert!(looks <= SEARCH, "a search looks at {SEARCH} widths at most");
        let certificate = certifier.certify(width)?;
        let reached = certificate.share_of_agreeing() >= share;
        Ok(Search { width, certificate, reached })
    };
    let (mut below, mut best) = (2, look(256)?);
    while !best.reached && best.width < WIDEST {
        below = best.width;
        best = look(4 * below)?;
    }
    while best.reached && best.width > below + below.div_ceil(10).max(2) {
        let middle = ((best.width as f64 * below as f64).sqrt() as usize).next_multiple_of(2);
        if middle >= best.width || middle <= below {
            break;
        }
        let found = look(middle)?;
        if found.reached {
            best = found;
        } else {
            below = middle;
        }
    }
    Ok(best)
}

fn to_csv(certificate: &PairCertificate) -> String {
    let mut text = String::from("index,limit_f,limit_g,error_f,error_g,certified\n");
    for z in 0..certificate.certified.len() {
        let numbers = [&certificate.limit_f, &certificate.limit_g, &certificate.error_f, &certificate.error_g];
        let numbers: Vec<String> = numbers.iter().map(|column| column[z].to_string()).collect();
        text.push_str(&format!("{z},{},{}\n", numbers.join(","), certificate.certified[z]));
    }
    text
}

fn print(arguments: &CertifyArguments, width: usize, found: &PairCertificate, certified_width: Option<usize>) {
    let percent = |share: f64| format!("{:.1} %", 100.0 * share);
    let count = found.certified.len();
    let mut table = Table::new(&[&format!("width {width}"), "f", "g", "both"]);
    let (t, t2) = (arguments.time, arguments.time_perturbed);
    let f = (0..count).filter(|&z| found.error_f[z] < t * found.limit_f[z].abs()).count();
    let g = (0..count).filter(|&z| found.error_g[z] < t2 * found.limit_g[z].abs()).count();
    let share = |k: usize| percent(k as f64 / count as f64);
    table.row(vec!["sign certified".into(), share(f), share(g), percent(found.share())]);
    let median = |values: &[f64], scale: f64| {
        let sizes: Vec<f64> = values.iter().map(|v| scale * v.abs()).collect();
        significant(perturbation_learning::stats::median(&sizes), 3)
    };
    let dash = || "–".to_string();
    table.row(vec!["median |limit|".into(), median(&found.limit_f, t), median(&found.limit_g, t2), dash()]);
    table.row(vec!["median error bound".into(), median(&found.error_f, 1.0), median(&found.error_g, 1.0), dash()]);
    say(format_args!("{table}"));
    say(format_args!(
        "with probability at least 1 − {:?}, sgn f = sgn g at all certified points: {} of the {} with F·G > 0",
        // Not their difference, which rounds to 1.
        arguments.failure_probability,
        percent(found.share_of_agreeing()),
        found.agreeing()
    ));
    match (arguments.share, certified_width) {
        (Some(share), Some(width)) => say(format_args!("width {width} certifies {} of them", percent(share))),
        (Some(share), None) => say(format_args!("no width up to {WIDEST} certifies {} of them", percent(share))),
        (None, _) => (),
    }
}
