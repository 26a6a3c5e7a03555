//! `pertlearn falsify`: hunts for the case at which a proved bound is closest to being violated.

use std::time::{Duration, Instant};

use clap::Args;
use perturbation_learning::experiment::hunt::{self, Effort, FALSE_ALARM, Finding, Hunt, Outcome, Stop, registry};
use perturbation_learning::report::{RunRecord, Table, significant};
use registry::Kind;
use serde::Serialize;

use super::arguments::{Common, Random, parse_count, parse_positive};
use super::files::Files;
use super::{Verdict, say};

/// Hunt for a counterexample to a proved bound.
///
/// Searches over data, labels, slope, time, width and initialisation for the largest observed/bound; how close it comes
/// is the bound's honest tightness. Random observations of the worst case are repeated with fresh random numbers before
/// they count. Exit status 1 if the bound is violated, with an error probability of 1e-9 for the whole hunt.
#[derive(Debug, Args)]
pub struct FalsifyArguments {
    /// The statement to hunt, as numbered in proofs/ (see --list).
    #[arg(long, value_name = "ID", required_unless_present = "list")]
    bound: Option<String>,
    /// Seconds after which the hunt ends with the round under way.
    #[arg(long, value_name = "SECONDS", default_value = "10", value_parser = parse_positive, allow_negative_numbers = true)]
    budget: f64,
    /// End after this many evaluations instead: the same hunt on every machine.
    #[arg(long, value_name = "N", value_parser = parse_count, allow_negative_numbers = true, conflicts_with = "budget")]
    evaluations: Option<usize>,
    /// List the statements that can be hunted.
    #[arg(long, conflicts_with_all = ["bound", "budget", "evaluations"])]
    list: bool,
    #[command(flatten)]
    random: Random,
    #[command(flatten)]
    pub common: Common,
}

#[derive(Serialize)]
struct Document {
    description: &'static str,
    false_alarm_probability: f64,
    about: &'static str,
    effort: Effort,
    #[serde(flatten)]
    outcome: Outcome,
    run: RunRecord,
}

#[derive(Serialize)]
struct Listed {
    id: &'static str,
    kind: Kind,
    about: &'static str,
}

const DESCRIPTION: &str = "The case of the largest observed/bound that a hunt confirmed. lower_ratio is its lower \
    confidence limit, wrong with probability error_probability; the bound is violated if it exceeds 1. Repeat with the \
    same seed and number of evaluations.";

/// Hunts, prints the worst case, writes the document.
pub fn run(arguments: &FalsifyArguments) -> anyhow::Result<Verdict> {
    Files::default().check(&arguments.common)?;
    let Some(id) = &arguments.bound else {
        return list(arguments);
    };
    let entry = hunt::entry(id)?;
    let stop = match arguments.evaluations {
        Some(count) => Stop::Evaluations(count),
        // Any time that does not fit ends later than the machine.
        None => Stop::After(Duration::try_from_secs_f64(arguments.budget).unwrap_or(Duration::MAX)),
    };
    let (start, effort) = (Instant::now(), Effort::default());
    let outcome = Hunt { seed: arguments.random.seed, stop, effort }.run(&entry)?;
    let run = RunRecord::new(arguments.random.seed, start.elapsed().as_secs_f64());
    let violated = outcome.violated;
    if !arguments.common.json_on_stdout() {
        say(format_args!("{id}: {} ({})", entry.about(), words(entry.kind())));
        say(report(&outcome, arguments.random.seed, run.seconds));
    }
    arguments.common.write(&Document {
        description: DESCRIPTION,
        false_alarm_probability: FALSE_ALARM,
        about: entry.about(),
        effort,
        outcome,
        run,
    })?;
    Ok(Verdict::of(violated))
}

fn list(arguments: &FalsifyArguments) -> anyhow::Result<Verdict> {
    let all = registry::entries();
    if !arguments.common.json_on_stdout() {
        for entry in &all {
            say(format_args!("{:<4} {:<34} {}", entry.id(), words(entry.kind()), entry.about()));
        }
    }
    let listed = |e: &registry::Entry| Listed { id: e.id(), kind: e.kind(), about: e.about() };
    arguments.common.write(&all.iter().map(listed).collect::<Vec<_>>())?;
    Ok(Verdict::Held)
}

fn words(kind: Kind) -> &'static str {
    match kind {
        Kind::Certain => "holds for every input",
        Kind::Expectation => "bounds an expectation",
        Kind::Probability => "holds with probability at least 1−δ",
    }
}

fn report(outcome: &Outcome, seed: u64, seconds: f64) -> String {
    let mut text = format!(
        "{} evaluations ({} failed), {} confirmations, {:.1} s, seed {}\n",
        outcome.evaluations, outcome.failed, outcome.confirmations, seconds, seed
    );
    match &outcome.best {
        None => text.push_str("the statement said nothing in any case tried\n"),
        Some(best) => text.push_str(&worst_case(best)),
    }
    text.push_str(if outcome.violated { "VIOLATED" } else { "not violated" });
    text
}

fn worst_case(best: &Finding) -> String {
    let (case, seen) = (&best.case, &best.measurement);
    let mut text = format!(
        "largest observed/bound: {} = {} / {}; lower confidence limit {} (error probability {})\n{case}\n",
        significant(best.ratio, 4),
        significant(seen.observed, 4),
        significant(seen.bound, 4),
        significant(best.lower_ratio, 4),
        significant(best.error_probability, 2),
    );
    let mut table = Table::new(&["point", "y", "coordinates"]);
    let coordinates = |point: &[f64]| point.iter().map(|x| significant(*x, 4)).collect::<Vec<_>>().join(" ");
    for (n, (x, y)) in case.train.points().iter().zip(case.train.labels()).enumerate() {
        table.row(vec![format!("x_{}", n + 1), format!("{y:+}"), coordinates(x)]);
    }
    table.row(vec!["z".into(), String::new(), coordinates(case.test.point(0))]);
    text.push_str(&table.to_string());
    text
}
