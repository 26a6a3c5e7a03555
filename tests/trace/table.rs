//! The coverage table `docs/statements.md`, the summary in README.md, and the listing that `cargo test` prints.

use std::collections::BTreeMap;

use crate::mark::Role;
use crate::project::Project;
use crate::statement::{Kind, Statement, Status};

/// Observed/bound of a statement over settings: smallest, largest, number of settings.
pub type Tightness = BTreeMap<String, (f64, f64, usize)>;

/// Reads `statement,setting,observed_over_bound,source`.
pub fn tightness(text: &str) -> Result<Tightness, String> {
    let mut rows = csv::Reader::from_reader(text.as_bytes());
    let header = rows.headers().map_err(|error| error.to_string())?.clone();
    let expected = ["statement", "setting", "observed_over_bound", "source"];
    if header.iter().ne(expected) {
        return Err(format!("columns are {header:?}; expected {expected:?}"));
    }
    let mut found = Tightness::new();
    for (index, row) in rows.records().enumerate() {
        let row = row.map_err(|error| error.to_string())?;
        let ratio = row[2].parse::<f64>().ok().filter(|ratio| ratio.is_finite() && *ratio >= 0.0);
        let ratio = ratio.ok_or(format!("row {}: '{}' is no ratio", index + 1, &row[2]))?;
        let entry = found.entry(row[0].to_string()).or_insert((ratio, ratio, 0));
        *entry = (entry.0.min(ratio), entry.1.max(ratio), entry.2 + 1);
    }
    Ok(found)
}

/// Tightness of statements that do not exist.
pub fn unknown(project: &Project, tightness: &Tightness) -> Vec<String> {
    let unknown = tightness.keys().filter(|id| project.statement(id).is_none());
    unknown.map(|id| format!("docs/tightness.csv: {id} is no statement of proofs/")).collect()
}

pub fn document(project: &Project, tightness: &Tightness) -> String {
    let mut text = String::from(
        "# Statements\n\nWritten by `tests/trace.rs` from `proofs/` and from marks in the code; do not edit by hand. \
         `PERTLEARN_WRITE_TABLE=1 cargo test --test trace` writes it again.\n\n",
    );
    text += &summary(project);
    text += "\n*Faults* are tests and planted errors that show what the check of a bound rejects. *Observed / bound* is the \
             range over the settings of `tightness.csv`.\n";
    let mut chapter = "";
    for statement in &project.statements {
        if statement.chapter() != chapter {
            chapter = statement.chapter();
            text += &format!("\n## [{chapter}](../{})\n\n", statement.path);
            text += "| id | statement | kind | status | code | tests | faults | observed / bound |\n|---|---|---|---|---|---|---|---|\n";
        }
        text += &row(project, statement, tightness);
    }
    text
}

fn row(project: &Project, statement: &Statement, tightness: &Tightness) -> String {
    let items = |role| {
        let mut links: Vec<String> =
            project.marks_of(statement, role).map(|mark| format!("[`{}`](../{})", mark.item, mark.path)).collect();
        links.dedup();
        if links.is_empty() { "–".to_string() } else { links.join("<br>") }
    };
    let ratio = match tightness.get(&statement.id) {
        None => "–".to_string(),
        Some((ratio, _, 1)) => significant(*ratio),
        Some((low, high, settings)) => format!("{} … {} ({settings})", significant(*low), significant(*high)),
    };
    // A bar would end the cell.
    let title = statement.title.replace('|', "\\|");
    let link = format!("[{}](../{}#{})", statement.id, statement.path, statement.anchor());
    let (kind, status) = (statement.kind.name(), statement.status.name());
    let (code, tests, faults) = (items(Role::Code), items(Role::Test), items(Role::Power));
    format!("| {link} | {title} | {kind} | {status} | {code} | {tests} | {faults} | {ratio} |\n")
}

/// Two significant digits.
fn significant(value: f64) -> String {
    let digits = if value > 0.0 { (1.0 - value.log10().floor()).max(0.0) as usize } else { 0 };
    format!("{value:.digits$}")
}

/// Counts by kind and status, and how many have code, a test, a planted fault.
pub fn summary(project: &Project) -> String {
    let count = |keep: &dyn Fn(&&Statement) -> bool| project.statements.iter().filter(keep).count();
    let has = |statement: &Statement, role| project.marks_of(statement, role).next().is_some();
    let mut text = String::from(
        "| | statements | computed by code | tested | tested against planted faults |\n|---|---|---|---|---|\n",
    );
    let mut row = |name: &str, keep: &dyn Fn(&&Statement) -> bool| {
        let share = |role| count(&|s| keep(s) && has(s, role));
        let (code, test, power) = (share(Role::Code), share(Role::Test), share(Role::Power));
        text += &format!("| {name} | {} | {code} | {test} | {power} |\n", count(keep));
    };
    for kind in Kind::ALL {
        row(&format!("{}s", kind.name()).replace("ys", "ies"), &|s| s.kind == kind);
    }
    row("all", &|_| true);
    let by_status = Status::ALL.map(|status| (status.name(), count(&|s| s.status == status)));
    let parts: Vec<String> = by_status.iter().filter(|(_, n)| *n > 0).map(|(name, n)| format!("{n} {name}")).collect();
    let status = format!("\nBy status: {}.\n", parts.join(", "));
    let incomplete: Vec<&str> =
        project.statements.iter().filter(|s| !project.missing(s).is_empty()).map(|s| &*s.id).collect();
    let rest = if incomplete.is_empty() {
        String::new()
    } else {
        format!("\nNot yet tied to all that they ask for: {}.\n", incomplete.join(", "))
    };
    text + &status + &rest
}

/// README.md with the text between its markers replaced.
pub fn with_summary(readme: &str, summary: &str) -> Option<String> {
    let (before, rest) = readme.split_once("<!-- statements -->\n")?;
    let (_, after) = rest.split_once("<!-- /statements -->")?;
    Some(format!("{before}<!-- statements -->\n{summary}<!-- /statements -->{after}"))
}

/// One line per statement, at most 100 columns.
pub fn listing(project: &Project) -> String {
    let mut lines = vec!["Statements of proofs/, with the number of functions, tests and planted faults:".to_string()];
    let mut chapter = "";
    for statement in &project.statements {
        if statement.chapter() != chapter {
            chapter = statement.chapter();
            lines.push(format!("  {chapter}"));
        }
        let count = |role| project.marks_of(statement, role).count();
        let counts = format!("code {} tests {} faults {}", count(Role::Code), count(Role::Test), count(Role::Power));
        let mut title = statement.title.clone();
        if title.chars().count() > 54 {
            title = title.chars().take(53).chain(['…']).collect();
        }
        lines.push(format!("    {:4}{title:55}{:12}{counts}", statement.id, statement.status.name()));
    }
    lines.join("\n")
}

#[test]
fn ratios_are_read_and_shown_as_ranges() {
    let header = "statement,setting,observed_over_bound,source\n";
    let read = tightness(&format!("{header}W4,a,0.9,x\nW4,b,0.123,x\nW5,a,0,x\n")).unwrap();
    assert_eq!(read["W4"], (0.123, 0.9, 2));
    for bad in ["statement,ratio\nW4,1\n", &format!("{header}W4,a,large,x\n"), &format!("{header}W4,a\n")] {
        assert!(tightness(bad).is_err(), "{bad}");
    }
    assert_eq!(unknown(&Project::default(), &read).len(), 2);
    assert_eq!([0.0, 0.00123, 0.123, 0.999, 12.3].map(significant), ["0", "0.0012", "0.12", "1.00", "12"]);
}

#[test]
fn only_the_text_between_the_markers_is_replaced() {
    let readme = "a\n<!-- statements -->\nold\n<!-- /statements -->\nb\n";
    let expected = "a\n<!-- statements -->\nnew\n<!-- /statements -->\nb\n";
    assert_eq!(with_summary(readme, "new\n").unwrap(), expected);
    assert_eq!(with_summary("a\n", "new\n"), None);
}
