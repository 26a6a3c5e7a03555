//! `pertlearn verify`: the main job.

use std::path::PathBuf;

use anyhow::Context;
use clap::Args;
use indicatif::{ProgressBar, ProgressDrawTarget, ProgressStyle};
use perturbation_learning::data::{DataSet, check_writable_directory};
use perturbation_learning::experiment::verify::{self, DataReport, FALSE_ALARM, Setting, Verification};
use perturbation_learning::problem::Slope;
use perturbation_learning::report::{RunRecord, Table, significant, write_json};
use serde::Serialize;

use super::arguments::{Common, Random, ReadoutName, parse_count, parse_slope};
use super::files::Files;
use super::learn::{DataArguments, files_of};
use super::{Verdict, say};

/// Verify the theorem on real images (the default command).
///
/// For each data set and width, several networks are trained on clean data, perturbed, and others are trained on the
/// perturbations alone (scenario a) and on the perturbed images (scenario b) with random labels. What was measured is
/// set against the infinite-width predictions, claim by claim. Everything is written to verify.json in the output
/// directory. Exit status 1 if a claim is rejected.
#[derive(Debug, Args)]
pub struct VerifyArguments {
    /// Data sets: mnist, fashion, gauss, shifted-gauss or an IDX directory; repeat for several [default: mnist fashion].
    #[arg(long, value_name = "NAME|DIR")]
    data: Vec<String>,
    /// Classes of an IDX directory: the label that becomes +1, then the one that becomes −1.
    #[arg(long, num_args = 2, value_names = ["POSITIVE", "NEGATIVE"], allow_negative_numbers = true)]
    classes: Option<Vec<u8>>,
    /// Input dimension of synthetic data [default: 100].
    #[arg(long, value_name = "D", value_parser = parse_count, allow_negative_numbers = true)]
    input_dim: Option<usize>,
    /// Number of training points of synthetic data [default: 500].
    #[arg(long, value_name = "N", value_parser = parse_count, allow_negative_numbers = true)]
    train_count: Option<usize>,
    /// Widths, even and ascending, from 32 on [default: 64,256,1024,4096].
    #[arg(long, value_delimiter = ',', value_parser = parse_count, allow_negative_numbers = true, value_name = "M,…")]
    widths: Vec<usize>,
    /// Independent networks of the largest width, at least 4; width m gets √(m_max/m) times as many [default: 8].
    #[arg(long, value_name = "R", value_parser = parse_count, allow_negative_numbers = true)]
    networks: Option<usize>,
    /// Slope γ of the leaky ReLU, in [0, 1).
    #[arg(long, default_value = "0", value_parser = parse_slope, allow_negative_numbers = true)]
    slope: Slope,
    /// Distribution of the frozen readout.
    #[arg(long, value_enum, default_value = "gaussian")]
    readout: ReadoutName,
    /// A smoke run of a few seconds: 100 training images per class, widths up to 512.
    #[arg(long)]
    quick: bool,
    /// Directory for verify.json.
    #[arg(long, value_name = "DIR", default_value = "pertlearn-out")]
    out: PathBuf,
    #[command(flatten)]
    random: Random,
    #[command(flatten)]
    pub common: Common,
}

#[derive(Serialize)]
struct Document {
    /// What `verify` did, for a person who finds only this file.
    description: &'static str,
    false_alarm_probability: f64,
    settings: Settings,
    data_sets: Vec<DataReport>,
    all_held: bool,
    none_rejected: bool,
    run: RunRecord,
}

#[derive(Serialize)]
struct Settings {
    widths: Vec<usize>,
    networks: usize,
    slope: Slope,
    readout: perturbation_learning::network::Readout,
    quick: bool,
}

const DESCRIPTION: &str = "Networks of growing width beside their infinite-width limits. deviation_* are relative root \
    mean squares; agreement_* shares of test points; 'alone' is training on perturbations only (scenario a), 'on_image' \
    on perturbed images (scenario b). error_probability is that of rejecting the claim if it is true; its interval, if \
    there is one, misses the number that it is about no more often. estimate is null where nothing can be estimated.";

/// Runs the verification, prints tables, writes the document.
pub fn run(arguments: &VerifyArguments) -> anyhow::Result<Verdict> {
    let start = std::time::Instant::now();
    let run = arguments.verification();
    run.check()?;
    let path = arguments.out.join("verify.json");
    Files { inside: vec![path.clone()], inputs: files_of(&arguments.data)?, ..Files::default() }
        .check(&arguments.common)?;
    check_writable_directory(&arguments.out)?;
    let settings = arguments.settings()?;
    let quiet = arguments.common.json_on_stdout();
    let bar = progress_bar((run.steps() * settings.len()) as u64);
    let mut reports = Vec::new();
    for setting in &settings {
        bar.set_message(setting.data.name.clone());
        let report = run.run(setting, settings.len(), &|| bar.inc(1))?;
        if !quiet {
            bar.suspend(|| print(&report));
        }
        reports.push(report);
    }
    bar.finish_and_clear();
    let (all_held, rejected) = conclusion(&reports);
    let document = Document {
        description: DESCRIPTION,
        false_alarm_probability: FALSE_ALARM,
        settings: Settings {
            widths: run.widths.clone(),
            networks: run.networks,
            slope: run.slope,
            readout: run.readout,
            quick: arguments.quick,
        },
        data_sets: reports,
        all_held,
        none_rejected: !rejected,
        run: RunRecord::new(run.seed, start.elapsed().as_secs_f64()),
    };
    std::fs::create_dir_all(&arguments.out).with_context(|| arguments.out.display().to_string())?;
    write_json(&path, &document)?;
    arguments.common.write(&document)?;
    if !quiet {
        say(format_args!("{} (seed {}, {:.0} s)", path.display(), run.seed, document.run.seconds));
    }
    Ok(Verdict::of(rejected))
}

/// Whether all claims on all data sets held, and whether one of them was rejected.
fn conclusion(reports: &[DataReport]) -> (bool, bool) {
    let verdicts = || reports.iter().flat_map(|report| &report.claims).map(|claim| claim.verdict);
    (verdicts().all(|v| v == verify::Verdict::Held), verdicts().any(|v| v == verify::Verdict::Rejected))
}

impl VerifyArguments {
    fn verification(&self) -> Verification {
        let widths = match (self.widths.is_empty(), self.quick) {
            (false, _) => self.widths.clone(),
            (true, true) => vec![32, 128, 512],
            (true, false) => vec![64, 256, 1024, 4096],
        };
        let networks = self.networks.unwrap_or(8);
        let (slope, readout, seed) = (self.slope, self.readout.into(), self.random.seed);
        Verification { widths, networks, slope, readout, seed }
    }

    fn settings(&self) -> anyhow::Result<Vec<Setting>> {
        let names = if self.data.is_empty() { vec!["mnist".into(), "fashion".into()] } else { self.data.clone() };
        let given = DataArguments {
            data: None,
            classes: self.classes.clone(),
            pixel_mean: None,
            input_dim: self.input_dim,
            train_count: self.train_count,
            test_count: None,
        };
        given.check_options(&names)?;
        let source = DataArguments { train_count: self.train_count.or(Some(500)), test_count: Some(500), ..given };
        names
            .iter()
            .map(|name| {
                let data = source.load(name, self.random.seed)?;
                let data = if self.quick { data.shortened(100) } else { data };
                Ok(setting_for(name, data))
            })
            .collect()
    }
}

/// Times and lengths at which the claims say something.
///
/// T is short enough that few neurons change sign at a training point (the table shows how many): beyond a few per cent
/// the powers of m that theory gives for large widths do not describe narrow networks yet. The margins |T·F| relative to
/// the deviations do not depend on T. ε = 0.14 alone is the reference experiments' length; on the image 0.5 lies where F
/// and G agree on most points but not on all, so that it shows what agreement tends to. For synthetic data ε follows √d
/// as there.
fn setting_for(name: &str, data: DataSet) -> Setting {
    let root = (data.train.input_dim() as f64).sqrt();
    let (time, epsilon_alone, epsilon_on_image) = match name {
        "shifted-gauss" => (1.0, 1e-3 * root, 3e-2 * root),
        "gauss" => (1.0, 1e-3 * root, 1e-1 * root),
        "fashion" => (0.1, 0.14, 0.5),
        _ => (0.3, 0.14, 0.5),
    };
    Setting { data, time, time_perturbed: 1.0, epsilon_alone, epsilon_on_image }
}

fn progress_bar(steps: u64) -> ProgressBar {
    // Drawn on standard error, and only if that is a terminal.
    let bar = ProgressBar::with_draw_target(Some(steps), ProgressDrawTarget::stderr());
    let style = ProgressStyle::with_template("{msg:10} {bar:40} {pos}/{len} networks, {eta} left");
    bar.set_style(style.unwrap_or_else(|_| ProgressStyle::default_bar()));
    bar
}

fn print(report: &DataReport) {
    say(format_args!(
        "{}: N = {}, d = {}, M = {} test points, T = {}, T' = {}, ε = {} alone, {} on the image",
        report.data,
        report.train_count,
        report.input_dim,
        report.test_count,
        report.time,
        report.time_perturbed,
        significant(report.epsilon_alone, 2),
        significant(report.epsilon_on_image, 2)
    ));
    let limits = &report.limits;
    say(format_args!(
        "limits: median margin |T·F| {}, |T'·G| {} alone, {} on the image; sgn F = sgn G on {} and {} of the test points\n",
        significant(limits.margin_f, 3),
        significant(limits.margin_g_alone, 2),
        significant(limits.margin_g_on_image, 2),
        percent(limits.agreement_alone),
        percent(limits.agreement_on_image)
    ));
    say(width_table(report));
    say(standard_table(report));
    say(claim_lines(report));
}

fn percent(share: f64) -> String {
    format!("{:.1} %", 100.0 * share)
}

fn width_table(report: &DataReport) -> Table {
    let columns = [
        "width m",
        "networks",
        "Δf",
        "Δf²/theory",
        "Δ∇f",
        "Δ∇f²/theory",
        "cos ∇F",
        "cos v",
        "Δg a",
        "Δg b",
        "agree a",
        "agree b",
        "acc g a",
        "acc g b",
        "flips",
    ];
    let mut table = Table::new(&columns);
    let dash = || "–".to_string();
    for row in &report.widths {
        table.row(vec![
            row.width.to_string(),
            row.networks.to_string(),
            significant(row.deviation_f, 3),
            significant(row.variance_ratio, 3),
            significant(row.deviation_gradient, 3),
            significant(row.gradient_ratio, 3),
            format!("{:.4}", row.cosine_limit_gradient),
            format!("{:.4}", row.cosine_weighted_sum),
            significant(row.deviation_g_alone, 3),
            significant(row.deviation_g_on_image, 3),
            percent(row.agreement_alone),
            percent(row.agreement_on_image),
            row.accuracy_perturbed_alone.map_or_else(dash, percent),
            row.accuracy_perturbed_on_image.map_or_else(dash, percent),
            format!("{:.2} %", 100.0 * row.flip_share),
        ]);
    }
    let limits = &report.limits;
    table.row(vec![
        "∞ (theory)".into(),
        dash(),
        "0".into(),
        "1".into(),
        "0".into(),
        "1".into(),
        "1".into(),
        format!("{:.4}", limits.cosine_weighted_sum_limit),
        "0".into(),
        "0".into(),
        percent(limits.agreement_alone),
        percent(limits.agreement_on_image),
        limits.accuracy_g_alone.map_or_else(dash, percent),
        limits.accuracy_g_on_image.map_or_else(dash, percent),
        "0".into(),
    ]);
    table
}

fn standard_table(report: &DataReport) -> Table {
    let mut table =
        Table::new(&["standard init, m", "f₀²/Σ", "‖∇f₀‖²/½(1+γ²)", "cos ∇F", "cos ∇F predicted for every width"]);
    for row in &report.standard {
        table.row(vec![
            row.width.to_string(),
            significant(row.initial_output_ratio, 3),
            significant(row.initial_gradient_ratio, 3),
            format!("{:.4}", row.cosine_limit_gradient),
            format!("{:.4}", row.cosine_predicted),
        ]);
    }
    table
}

/// Two lines per claim: verdict and statement, then the numbers.
fn claim_lines(report: &DataReport) -> String {
    let mut text = format!("verdict    claim\n{}\n", "─".repeat(90));
    for claim in &report.claims {
        let verdict = match claim.verdict {
            verify::Verdict::Held => "held",
            verify::Verdict::Rejected => "REJECTED",
            verify::Verdict::Undecided => "undecided",
        };
        text.push_str(&format!("{verdict:<9}  {}\n           {}\n", claim.statement, claim.detail));
    }
    text
}

#[cfg(test)]
mod tests {
    use perturbation_learning::data::{Synthetic, synthetic};
    use perturbation_learning::network::Readout;

    use super::*;

    /// One rejected claim on any data set is the conclusion.
    #[test]
    fn a_rejected_claim_on_any_data_set_is_said() {
        let run = Verification {
            widths: vec![32, 64, 128],
            networks: 4,
            slope: Slope::RELU,
            readout: Readout::Gaussian,
            seed: 1,
        };
        let setting = setting_for("gauss", synthetic(Synthetic::Gauss, 5, 10, 5, 1).unwrap());
        let mut first = run.run(&setting, 2, &|| {}).unwrap();
        first.claims.iter_mut().for_each(|claim| claim.verdict = verify::Verdict::Held);
        let (mut undecided, mut rejected) = (first.clone(), first.clone());
        undecided.claims.last_mut().unwrap().verdict = verify::Verdict::Undecided;
        rejected.claims.last_mut().unwrap().verdict = verify::Verdict::Rejected;
        assert_eq!(conclusion(&[first.clone(), first.clone()]), (true, false));
        assert_eq!(conclusion(&[first.clone(), undecided]), (false, false));
        for reports in [[first.clone(), rejected.clone()], [rejected, first]] {
            assert_eq!(conclusion(&reports), (false, true));
        }
    }

    /// README states these.
    #[test]
    fn every_data_set_has_its_times_and_lengths() {
        let data = synthetic(Synthetic::Gauss, 100, 10, 5, 1).unwrap();
        let of = |name: &str| {
            let setting = setting_for(name, data.clone());
            (setting.time, setting.time_perturbed, setting.epsilon_alone, setting.epsilon_on_image)
        };
        assert_eq!(of("mnist"), (0.3, 1.0, 0.14, 0.5));
        assert_eq!(of("fashion"), (0.1, 1.0, 0.14, 0.5));
        assert_eq!(of("gauss"), (1.0, 1.0, 0.01, 1.0));
        assert_eq!(of("shifted-gauss"), (1.0, 1.0, 0.01, 0.3));
    }
}
