//! `pertlearn tightness`: observed/bound of every statement on standard data and in the hunter's worst cases.

use std::path::PathBuf;

use clap::Args;
use perturbation_learning::experiment::hunt::{Effort, Hunt, Stop, registry};
use perturbation_learning::experiment::tightness::{Row, Standard, write_csv};
use perturbation_learning::report::{RunRecord, Table, significant};
use serde::Serialize;

use super::arguments::{Common, Random, parse_count};
use super::files::Files;
use super::{Verdict, say};

/// Report how tight the proved bounds are.
///
/// For every statement: observed/bound on a Gaussian set and on images (embedded MNIST 1 v 2 and Fashion 0 v 9), the median
/// over the points at which the statement speaks, and the largest that a hunt finds (see falsify). Exit status 1 if a hunt
/// refutes a bound.
#[derive(Debug, Args)]
pub struct TightnessArguments {
    /// The Gaussian set only, few networks, short hunts.
    #[arg(long)]
    quick: bool,
    /// Evaluations of each hunt, 0 for none [default: 4096; 64 with --quick].
    #[arg(long, value_name = "N", value_parser = parse_count, allow_negative_numbers = true)]
    evaluations: Option<usize>,
    /// Write the table as CSV: statement,setting,observed_over_bound,source.
    #[arg(long, value_name = "FILE")]
    out: Option<PathBuf>,
    #[command(flatten)]
    random: Random,
    #[command(flatten)]
    pub common: Common,
}

#[derive(Serialize)]
struct Document {
    rows: Vec<Row>,
    violated: Vec<&'static str>,
    run: RunRecord,
}

/// Measures, hunts, prints the table, writes the files.
pub fn run(arguments: &TightnessArguments) -> anyhow::Result<Verdict> {
    let start = std::time::Instant::now();
    Files { table: arguments.out.as_ref(), ..Files::default() }.check(&arguments.common)?;
    let (seed, quick) = (arguments.random.seed, arguments.quick);
    let mut rows = Standard { seed, quick }.rows()?;
    let evaluations = arguments.evaluations.unwrap_or(if quick { 64 } else { 4096 });
    let mut violated = Vec::new();
    for entry in registry::entries() {
        if evaluations == 0 {
            break;
        }
        let hunt = Hunt { seed, stop: Stop::Evaluations(evaluations), effort: Effort::default() };
        let outcome = hunt.run(&entry)?;
        if outcome.violated {
            violated.push(outcome.id);
        }
        rows.extend(Row::of_hunt(&outcome, seed));
    }
    if let Some(path) = &arguments.out {
        write_csv(path, &rows)?;
    }
    if !arguments.common.json_on_stdout() {
        let mut table = Table::new(&["statement", "observed/bound", "setting"]);
        for row in &rows {
            table.row(vec![row.statement.into(), significant(row.observed_over_bound, 3), row.setting.clone()]);
        }
        say(table);
        if !violated.is_empty() {
            say(format_args!("VIOLATED: {}", violated.join(", ")));
        }
    }
    let verdict = Verdict::of(!violated.is_empty());
    let run = RunRecord::new(seed, start.elapsed().as_secs_f64());
    arguments.common.write(&Document { rows, violated, run })?;
    Ok(verdict)
}
