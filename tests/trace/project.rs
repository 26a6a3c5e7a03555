//! Statements and marks of a set of files, and what ties them: the function, the tests, the faults of a statement.

use std::collections::BTreeSet;

use crate::mark::{self, Mark, Role};
use crate::statement::{self, Kind, Statement};

/// A file: its path from the project's root, and its text.
pub type File = (String, String);

#[derive(Debug, Default)]
pub struct Project {
    pub statements: Vec<Statement>,
    pub marks: Vec<Mark>,
    /// The names of all functions in src/.
    pub functions: BTreeSet<String>,
    /// The rows of the reading order in proofs/README.md: file and ids, as "N1–N3".
    pub reading_order: Vec<(String, String)>,
    /// What could not be read.
    pub malformed: Vec<String>,
}

impl Project {
    pub fn read(files: &[File]) -> Self {
        let mut project = Project::default();
        for (path, text) in files {
            if path == "proofs/README.md" {
                project.reading_order = text.lines().filter_map(chapter_row).collect();
            } else if path.ends_with(".md") {
                let (statements, malformed) = statement::parse(path, text);
                project.statements.extend(statements);
                project.malformed.extend(malformed);
            } else {
                let (marks, malformed) = mark::scan(path, text);
                project.marks.extend(marks);
                project.malformed.extend(malformed);
                if path.starts_with("src/") {
                    project.functions.extend(functions(text));
                }
            }
        }
        // Chapters in reading order; unknown ones last, where a rule finds them.
        let order: Vec<String> = project.reading_order.iter().map(|row| format!("proofs/{}", row.0)).collect();
        project.statements.sort_by_key(|s| order.iter().position(|path| *path == s.path).unwrap_or(order.len()));
        project
    }

    pub fn statement(&self, id: &str) -> Option<&Statement> {
        self.statements.iter().find(|s| s.id == id)
    }

    pub fn marks_of<'a>(&'a self, statement: &'a Statement, role: Role) -> impl Iterator<Item = &'a Mark> {
        self.marks.iter().filter(move |mark| mark.role == role && mark.id == statement.id)
    }

    /// What a statement lacks: "code", "test", for bounds "power", and "name" if the claim names a function after "Code:"
    /// that does not exist.
    pub fn missing(&self, statement: &Statement) -> Vec<&'static str> {
        let has = |role| self.marks_of(statement, role).next().is_some();
        let named = statement.code_names().iter().all(|name| self.functions.contains(*name));
        let needs_power = statement.kind == Kind::Bound;
        let all = [
            ("code", has(Role::Code)),
            ("test", has(Role::Test)),
            ("power", !needs_power || has(Role::Power)),
            ("name", named),
        ];
        all.iter().filter(|(_, there)| !there).map(|(what, _)| *what).collect()
    }
}

/// `| [width](width.md) | W1–W14 | … |`: file and ids.
fn chapter_row(line: &str) -> Option<(String, String)> {
    let mut cells = line.strip_prefix("| [")?.split(" | ");
    let file = cells.next()?.split_once("](")?.1.strip_suffix(')')?;
    Some((file.into(), cells.next()?.trim().into()))
}

/// The names after `fn`.
fn functions(text: &str) -> impl Iterator<Item = String> + '_ {
    let code = text.lines().map(str::trim_start).filter(|line| !line.starts_with("//"));
    code.filter_map(|line| {
        let (before, after) = line.split_once("fn ")?;
        let whole_word = before.is_empty() || before.ends_with(' ');
        let name = after.split(|c: char| !(c.is_alphanumeric() || c == '_')).next()?;
        (whole_word && !name.is_empty()).then(|| name.to_string())
    })
}
