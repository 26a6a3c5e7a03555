//! Marks: comments `//= ID@stamp`, `//= test ID@stamp`, `//= power ID@stamp` on lines of their own above an item.

use crate::statement::is_id;

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Role {
    /// The library's function that computes the statement.
    Code,
    /// The test that checks it.
    Test,
    /// The test or planted fault that shows what the check rejects.
    Power,
}

#[derive(Debug, Clone)]
pub struct Mark {
    pub role: Role,
    pub id: String,
    pub stamp: String,
    pub path: String,
    pub line: usize,
    /// The name of the item below (of a method with its type), and the line that defines it.
    pub item: String,
    pub definition: String,
    /// Whether the item has `#[test]`, and whether it stands below the file's `#[cfg(test)]`.
    pub is_test: bool,
    pub in_test_module: bool,
}

/// The marks of a source file, and complaints about comments that look like marks.
pub fn scan(path: &str, text: &str) -> (Vec<Mark>, Vec<String>) {
    let lines: Vec<&str> = text.lines().collect();
    let tests = lines.iter().position(|line| line.starts_with("#[cfg(test)]")).unwrap_or(lines.len());
    let (mut marks, mut complaints) = (Vec::new(), Vec::new());
    for (index, line) in lines.iter().enumerate() {
        // The first comment of the line, unless it is another comment that mentions marks.
        let comment = line.match_indices("//").map(|(at, _)| at).find(|at| !in_string(&line[..*at]));
        let Some(at) = comment.filter(|at| line[*at..].starts_with("//=")) else { continue };
        let parsed = if line[..at].trim().is_empty() { parse(&line[at + 3..]) } else { None };
        let Some((role, id, stamp)) = parsed else {
            let expected = "`//= ID@stamp`, `//= test ID@stamp` or `//= power ID@stamp`, eight hexadecimal digits";
            complaints.push(format!("{path}:{}: malformed mark; expected a line of its own, {expected}", index + 1));
            continue;
        };
        let Some((item, definition, is_test)) = item_below(&lines[index + 1..]) else {
            let problem = "this mark stands above no item; put it directly above a function, test or fault";
            complaints.push(format!("{path}:{}: {problem}", index + 1));
            continue;
        };
        let item = owner(&lines[..index], line).map_or(item.clone(), |owner| format!("{owner}::{item}"));
        let (path, line, in_test_module) = (path.to_string(), index + 1, index > tests);
        marks.push(Mark { role, id, stamp, path, line, item, definition, is_test, in_test_module });
    }
    (marks, complaints)
}

fn in_string(before: &str) -> bool {
    !before.matches('"').count().is_multiple_of(2)
}

fn parse(mark: &str) -> Option<(Role, String, String)> {
    let words: Vec<&str> = mark.strip_prefix(' ')?.split(' ').collect();
    let (role, name) = match words[..] {
        [name] => (Role::Code, name),
        ["test", name] => (Role::Test, name),
        ["power", name] => (Role::Power, name),
        _ => return None,
    };
    let (id, stamp) = name.split_once('@')?;
    let hexadecimal = |b: u8| b.is_ascii_digit() || (b'a'..=b'f').contains(&b);
    (is_id(id) && stamp.len() == 8 && stamp.bytes().all(hexadecimal)).then(|| (role, id.into(), stamp.into()))
}

/// Name and first line of the item below, past comments and attributes, and whether `#[test]` is among them.
fn item_below(lines: &[&str]) -> Option<(String, String, bool)> {
    let mut is_test = false;
    for line in lines.iter().map(|line| line.trim()) {
        if line.starts_with("//") || line.starts_with("#[") {
            is_test |= line == "#[test]";
            continue;
        }
        // `pub(super) const fn name`: the first word that is no keyword. An element of a table begins with its name.
        let keywords =
            ["pub", "const", "async", "fn", "struct", "enum", "trait", "static", "type", "mod", "impl", "let"];
        let visible = line.strip_prefix("pub(").and_then(|rest| rest.split_once(')')).map_or(line, |(_, rest)| rest);
        let mut words = visible.split(|c: char| !(c.is_alphanumeric() || c == '_')).filter(|word| !word.is_empty());
        return words.find(|word| !keywords.contains(word)).map(|name| (name.into(), line.into(), is_test));
    }
    None
}

/// The type in whose `impl` block an indented line stands.
fn owner<'a>(above: &[&'a str], line: &str) -> Option<&'a str> {
    let indented = line.starts_with(' ');
    let enclosing =
        above.iter().rev().find(|line| line.starts_with(|c: char| c.is_alphabetic())).filter(|_| indented)?;
    let head = enclosing.strip_prefix("impl")?.trim_end_matches('{').trim();
    // `impl<'a> Flow<'a>`, `impl Loss for Standard`: the last path, without its parameters.
    let head = if head.starts_with('<') { head.split_once('>')?.1 } else { head };
    let name = head.rsplit(" for ").next()?.trim();
    name.split('<').next().filter(|name| !name.is_empty())
}

impl Mark {
    /// What is wrong with its place, if anything.
    pub fn misplaced(&self) -> Option<&'static str> {
        let in_tests = self.path.starts_with("tests/");
        let fault = in_tests && (mentions_fault(&self.definition) || mentions_fault(&self.path));
        match self.role {
            Role::Code if !self.path.starts_with("src/") || self.in_test_module => {
                Some("a mark without `test` or `power` belongs on the library's function, in src/")
            }
            Role::Test if !self.is_test => Some("a `test` mark belongs directly above a `#[test]` function"),
            Role::Power if !self.is_test && !fault => Some(
                "a `power` mark belongs above a `#[test]` function, or in tests/ above a definition with 'fault' in it",
            ),
            _ => None,
        }
    }
}

fn mentions_fault(text: &str) -> bool {
    text.to_lowercase().contains("fault")
}
