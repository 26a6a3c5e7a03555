//! The table that `paper` prints, and the document that it writes.

use perturbation_learning::experiment::paper::chart::{Records, Selection, by_id, select};
use perturbation_learning::experiment::paper::pipeline::Merits;
use perturbation_learning::experiment::paper::plan::{Cell, FigureName, PanelPlan, Plan, Request};
use perturbation_learning::experiment::paper::store::Record;
use perturbation_learning::report::{RunRecord, Table, write_json};
use perturbation_learning::stats::quantile;
use serde::Serialize;

use super::PaperArguments;

type Merit = fn(&Merits) -> Option<f64>;

/// One table per figure: the last point of each panel.
pub fn print(arguments: &PaperArguments, request: &Request, plan: &Plan, records: &[Record]) {
    let found = by_id(records);
    for figure in &request.figures {
        let panels: Vec<&PanelPlan> = plan.panels.iter().filter(|panel| panel.figure == *figure).collect();
        if !panels.is_empty() {
            arguments.say(format_args!("\n{}", figure.name()));
            arguments.say(table(*figure, &panels, &found));
        }
    }
    let failed = records.iter().filter(|record| record.failure.is_some()).count();
    arguments.say(format_args!(
        "median [smallest, largest] over seeds of the largest over learning rates; {failed} of {} runs failed\n",
        records.len()
    ));
}

fn table(figure: FigureName, panels: &[&PanelPlan], found: &Records<'_>) -> Table {
    let own = if figure == FigureName::Cosine { "cosine to v" } else { "agreement" };
    let mut table = Table::new(&["panel", "at", "acc f", "acc g", own, "mean over rates", "theory", "flips"]);
    for panel in panels {
        for cell in last_cells(panel) {
            let spread = |merit: Merit| show(&select(cell, found, merit).largest);
            let (main, limit): (Merit, Merit) = if figure == FigureName::Cosine {
                (|m| Some(m.cosine), |m| m.limit_cosine)
            } else {
                (|m| Some(m.agreement), |m| m.limit_agreement)
            };
            let Selection { mean, .. } = select(cell, found, main);
            let flips = select(cell, found, |m| Some(m.flip_share_f.max(m.flip_share_g))).mean;
            let title = panel.series.get(cell.series).map_or(panel.title.clone(), ToString::to_string);
            table.row(vec![
                title,
                if figure == FigureName::Offset { "all sums".into() } else { format!("{} {}", panel.x_label, cell.x) },
                spread(|m| Some(m.accuracy_f)),
                spread(|m| Some(m.accuracy_g)),
                spread(main),
                middle(&mean),
                spread(limit),
                middle(&flips),
            ]);
        }
    }
    table
}

/// The last cell of each series.
fn last_cells(panel: &PanelPlan) -> Vec<&Cell> {
    let series = panel.cells.iter().map(|cell| cell.series).max().unwrap_or(0);
    (0..=series).filter_map(|s| panel.cells.iter().rfind(|cell| cell.series == s)).collect()
}

fn middle(values: &[f64]) -> String {
    if values.is_empty() { "–".into() } else { format!("{:.3}", quantile(values, 0.5)) }
}

fn show(values: &[f64]) -> String {
    let (Some(low), Some(high)) = (values.iter().copied().reduce(f64::min), values.iter().copied().reduce(f64::max))
    else {
        return "–".into();
    };
    format!("{} [{low:.3}, {high:.3}]", middle(values))
}

#[derive(Serialize)]
struct Document<'a> {
    description: &'static str,
    request: &'a Request,
    runs: usize,
    failed: usize,
    run: RunRecord,
}

impl<'a> Document<'a> {
    fn new(description: &'static str, request: &'a Request, records: &[Record], seconds: f64) -> Self {
        Document {
            description,
            request,
            runs: records.len(),
            failed: records.iter().filter(|record| record.failure.is_some()).count(),
            run: RunRecord::new(request.first_seed, seconds),
        }
    }
}

/// Writes paper.json, and where `--json` says.
pub fn write(arguments: &PaperArguments, request: &Request, records: &[Record], seconds: f64) -> anyhow::Result<()> {
    let description = "A rerun of the paper's figures. runs.jsonl and runs.csv hold a line per run.";
    let document = Document::new(description, request, records, seconds);
    write_json(&arguments.out.join("paper.json"), &document)?;
    arguments.common.write(&document)
}

/// Writes where `--json` says; paper.json belongs to the whole.
pub fn write_shard(
    arguments: &PaperArguments,
    request: &Request,
    records: &[Record],
    seconds: f64,
) -> anyhow::Result<()> {
    let description =
        "A part of a rerun of the paper's figures, for `pertlearn merge`. runs-I-of-K.jsonl holds a line per run.";
    arguments.common.write(&Document::new(description, request, records, seconds))
}
