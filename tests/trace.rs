//! Statements tied to code and tests: every claim of `proofs/` has a function that computes it, a test that checks it and,
//! if it is a bound, a planted fault that the check rejects. `proofs/README.md` says how to change a statement.

mod common;
#[path = "trace/mark.rs"]
mod mark;
#[path = "trace/project.rs"]
mod project;
#[path = "trace/rules.rs"]
mod rules;
#[path = "trace/statement.rs"]
mod statement;
#[path = "trace/table.rs"]
mod table;

use std::path::{Path, PathBuf};

use common::say;
use project::{File, Project};

/// Statements without their marks: id, and which of "code", "test", "power", "name" is missing, in this order.
const NOT_YET: &[(&str, &str)] = &[];

fn root() -> PathBuf {
    PathBuf::from(env!("CARGO_MANIFEST_DIR"))
}

/// Rust files of the crate and chapters of the proofs, in order.
fn files() -> Vec<File> {
    let mut left: Vec<PathBuf> = ["proofs", "src", "tests", "benches"].map(|directory| root().join(directory)).to_vec();
    let mut found = Vec::new();
    while let Some(path) = left.pop() {
        if path.is_dir() {
            left.extend(std::fs::read_dir(path).unwrap().map(|entry| entry.unwrap().path()));
        } else if path.extension().is_some_and(|extension| extension == "rs" || extension == "md") {
            let name = path.strip_prefix(root()).unwrap().to_string_lossy().replace('\\', "/");
            found.push((name, std::fs::read_to_string(&path).unwrap()));
        }
    }
    found.sort();
    found
}

fn project() -> Project {
    let project = Project::read(&files());
    assert!(project.statements.len() > 50 && project.marks.len() > 50, "the files of the project were not found");
    project
}

#[test]
fn every_statement_is_tied_to_code_and_tests() {
    let project = project();
    let mut complaints: Vec<String> = rules::RULES.iter().flat_map(|rule| rule(&project)).collect();
    complaints.extend(rules::complete(&project, NOT_YET));
    assert!(complaints.is_empty(), "\n{}", complaints.join("\n"));
    say(table::listing(&project));
}

/// Compares a generated text with the checked-in copy, or writes it.
fn keep(path: &Path, generated: &str) {
    if std::env::var("PERTLEARN_WRITE_TABLE").is_ok_and(|value| value == "1") {
        std::fs::write(path, generated).unwrap();
    }
    // Whatever the line ends of a checkout are.
    let kept = std::fs::read_to_string(path).unwrap_or_default().replace("\r\n", "\n");
    let advice = "run `PERTLEARN_WRITE_TABLE=1 cargo test --test trace` and look at the difference";
    assert!(kept == generated, "{} is not what proofs/ and the marks say; {advice}", path.display());
}

#[test]
fn the_table_of_statements_is_what_proofs_and_marks_say() {
    let project = project();
    let ratios = std::fs::read_to_string(root().join("docs/tightness.csv")).unwrap_or_default();
    let ratios = if ratios.is_empty() { Ok(table::Tightness::new()) } else { table::tightness(&ratios) };
    let ratios = ratios.unwrap_or_else(|problem| panic!("docs/tightness.csv: {problem}"));
    assert_eq!(table::unknown(&project, &ratios), Vec::<String>::new());
    keep(&root().join("docs/statements.md"), &table::document(&project, &ratios));
    let readme = std::fs::read_to_string(root().join("README.md")).unwrap().replace("\r\n", "\n");
    let summary = table::with_summary(&readme, &table::summary(&project));
    keep(
        &root().join("README.md"),
        &summary.expect("README.md has a block <!-- statements --> … <!-- /statements -->"),
    );
}
