//! The rules: functions from a project to complaints that say what to do. Beside each stands an input that must fail.

use std::collections::BTreeMap;

use crate::mark::Mark;
use crate::project::{File, Project};
use crate::statement::{Kind, Statement, Status};

pub type Rule = fn(&Project) -> Vec<String>;

/// Every rule but the completeness of marks, which needs the list of what is not there yet.
pub const RULES: [Rule; 12] = [
    readable,
    unique,
    chapters_are_in_the_reading_order,
    uses_are_known,
    uses_have_no_cycle,
    nothing_proved_rests_on_a_conjecture,
    proofs_are_there,
    proofs_use_what_they_name,
    marks_point_at_statements,
    stamps_are_fresh,
    marks_are_not_repeated,
    marks_stand_where_they_belong,
];

fn at(statement: &Statement) -> String {
    format!("{}:{}: {}", statement.path, statement.line, statement.id)
}

fn readable(project: &Project) -> Vec<String> {
    project.malformed.clone()
}

fn unique(project: &Project) -> Vec<String> {
    let first = |s: &Statement| project.statement(&s.id).map(|first| (first.path.clone(), first.line));
    let repeated = project.statements.iter().filter(|s| first(s) != Some((s.path.clone(), s.line)));
    repeated.map(|s| format!("{}: the id occurs twice; give one of the statements a free number", at(s))).collect()
}

/// proofs/README.md lists every chapter with the first and the last id.
fn chapters_are_in_the_reading_order(project: &Project) -> Vec<String> {
    let mut chapters: Vec<(&str, Vec<&str>)> = Vec::new();
    for statement in &project.statements {
        match chapters.iter_mut().find(|(path, _)| *path == statement.path) {
            Some((_, ids)) => ids.push(&statement.id),
            None => chapters.push((&statement.path, vec![&statement.id])),
        }
    }
    let mut complaints = Vec::new();
    for (path, ids) in chapters {
        let row = project.reading_order.iter().find(|row| format!("proofs/{}", row.0) == path);
        let expected = format!("{}–{}", ids[0], ids[ids.len() - 1]);
        if row.is_none_or(|row| row.1 != expected) {
            complaints.push(format!("{path}: the reading order in proofs/README.md should list it with {expected}"));
        }
    }
    complaints
}

fn uses_are_known(project: &Project) -> Vec<String> {
    let uses = project.statements.iter().flat_map(|s| s.uses.iter().map(move |used| (s, used)));
    uses.filter(|(_, used)| project.statement(used).is_none())
        .map(|(s, used)| format!("{} uses '{used}', which is no statement; correct its `Uses:`", at(s)))
        .collect()
}

fn uses_have_no_cycle(project: &Project) -> Vec<String> {
    let rests_on_itself = |s: &&Statement| s.uses.iter().any(|used| foundations(project, used).contains(&&*s.id));
    let circular = project.statements.iter().filter(rests_on_itself);
    circular.map(|s| format!("{} rests on itself through `Uses:`; break the circle", at(s))).collect()
}

/// The statement and all that it rests on.
fn foundations<'a>(project: &'a Project, id: &str) -> Vec<&'a str> {
    let mut found: Vec<&str> = Vec::new();
    let mut left = vec![id];
    while let Some(id) = left.pop() {
        let Some(statement) = project.statement(id) else { continue };
        if !found.contains(&&*statement.id) {
            found.push(&statement.id);
            left.extend(statement.uses.iter().map(String::as_str));
        }
    }
    found
}

fn nothing_proved_rests_on_a_conjecture(project: &Project) -> Vec<String> {
    let mut complaints = Vec::new();
    for statement in project.statements.iter().filter(|s| s.status == Status::Proved) {
        for foundation in foundations(project, &statement.id) {
            if project.statement(foundation).is_some_and(|s| s.status == Status::Conjectured) {
                let problem = format!("is called proved, but rests on {foundation}, which is a conjecture");
                complaints.push(format!("{} {problem}; call it conjectured", at(statement)));
            }
        }
    }
    complaints
}

/// A claim is followed by an argument (or a source), and the argument has an end.
fn proofs_are_there(project: &Project) -> Vec<String> {
    let mut complaints = Vec::new();
    for statement in &project.statements {
        match statement.proof.split_once('∎') {
            None => complaints.push(format!("{}: the proof has no end; close it with ∎", at(statement))),
            Some((proof, _)) if proof.trim().is_empty() => {
                complaints.push(format!("{}: no proof follows the claim; write it", at(statement)));
            }
            Some(_) => {}
        }
    }
    complaints
}

/// A statement that a proof names is among those it rests on, at first or second hand.
fn proofs_use_what_they_name(project: &Project) -> Vec<String> {
    let mut complaints = Vec::new();
    for statement in &project.statements {
        let proof = statement.proof.split('∎').next().unwrap_or_default();
        let words = proof.split(|c: char| !(c.is_alphanumeric() || "_\\{".contains(c)));
        let mut named: Vec<&str> =
            words.filter(|word| project.statement(word).is_some_and(|s| s.id != statement.id)).collect();
        let found = foundations(project, &statement.id);
        named.retain(|id| !found.contains(id));
        named.dedup();
        let advice = "add it to `Uses:`, or move the remark behind the proof's end";
        complaints.extend(named.iter().map(|id| format!("{}: the proof names {id}; {advice}", at(statement))));
    }
    complaints
}

fn marks_point_at_statements(project: &Project) -> Vec<String> {
    let dangling = project.marks.iter().filter(|mark| project.statement(&mark.id).is_none());
    dangling
        .map(|m| format!("{}:{}: {} is no statement of proofs/; correct or remove the mark", m.path, m.line, m.id))
        .collect()
}

fn stamps_are_fresh(project: &Project) -> Vec<String> {
    let mut complaints = Vec::new();
    for mark in &project.marks {
        let Some(stamp) = project.statement(&mark.id).map(Statement::stamp) else { continue };
        if stamp != mark.stamp {
            let (path, line, id) = (&mark.path, mark.line, &mark.id);
            let advice = "read the claim again, then update the mark";
            complaints.push(format!("{path}:{line}: the claim of {id} has changed, it is {id}@{stamp} now; {advice}"));
        }
    }
    complaints
}

fn marks_are_not_repeated(project: &Project) -> Vec<String> {
    let mut complaints = Vec::new();
    for (index, mark) in project.marks.iter().enumerate() {
        let same =
            |m: &&Mark| (m.role, &m.id, &m.path, &m.definition) == (mark.role, &mark.id, &mark.path, &mark.definition);
        if project.marks[..index].iter().any(|earlier| same(&earlier)) {
            complaints.push(format!("{}:{}: {} is marked twice here; remove one", mark.path, mark.line, mark.id));
        }
    }
    complaints
}

fn marks_stand_where_they_belong(project: &Project) -> Vec<String> {
    let misplaced = project.marks.iter().filter_map(|mark| Some((mark, mark.misplaced()?)));
    misplaced.map(|(m, problem)| format!("{}:{}: {}: {problem}", m.path, m.line, m.id)).collect()
}

/// Every statement has code and a test, every bound a planted fault, and every name after "Code:" exists; except for what
/// `not_yet` lists, which must be exactly what is missing.
pub fn complete(project: &Project, not_yet: &[(&str, &str)]) -> Vec<String> {
    let mut listed: BTreeMap<&str, &str> = not_yet.iter().copied().collect();
    let mut complaints = Vec::new();
    for statement in &project.statements {
        let missing = project.missing(statement).join(" ");
        let listed = listed.remove(&*statement.id).unwrap_or_default();
        if missing == listed {
            continue;
        }
        let mark = format!("{}@{}", statement.id, statement.stamp());
        let advice = missing.split_whitespace().map(|what| match what {
            "code" => format!("mark the function that computes it: `//= {mark}`"),
            "name" => "correct the name after \"Code:\", there is no such function in src/".to_string(),
            role => format!("mark it: `//= {role} {mark}`"),
        });
        let advice = advice.chain(["make NOT_YET say what is missing".to_string()]).collect::<Vec<_>>().join("; ");
        complaints.push(format!("{}: missing '{missing}', NOT_YET says '{listed}': {advice}", at(statement)));
    }
    complaints.extend(listed.keys().map(|id| format!("NOT_YET lists {id}, which is no statement; remove it")));
    complaints
}

/// Two statements of which the second rests on the first, with everything that the rules ask for.
fn example() -> Vec<File> {
    let statement = |id: &str, kind: &str, uses: &str, claim: &str| {
        let lines = format!("Kind: {kind}\nUses: {uses}\nStatus: proved\n\n> {claim}\n\nBy counting. ∎\n\n");
        format!("### {id} — Title of {id}\n\n{lines}")
    };
    let proofs = statement("Z1", "identity", "", "One is one.\n> Code: `a::one(x)`, `two`; not `three`.")
        + &statement("Z2", "bound", "Z1", "Two is at most three.");
    let statements = crate::statement::parse("proofs/a.md", &proofs).0;
    let marked = |role: &str, index: usize, item: &str| {
        format!("//= {role}{}@{}\n/// Documented.\n{item}\n", statements[index].id, statements[index].stamp())
    };
    let source = marked("", 0, "pub fn one() {}\nfn two() {}") + &marked("", 1, "#[must_use]\nconst fn three() {}");
    let tests = marked("test ", 0, "#[test]\nfn one_is_one() {}")
        + &marked("test ", 1, "#[test]\nfn two_is_at_most_three() {}")
        + &marked("power ", 1, "const FAULT: f64 = 0.9;");
    let files = [
        ("proofs/README.md", "| [a chapter](a.md) | Z1–Z2 | content |\n".to_string()),
        ("proofs/a.md", proofs),
        ("src/a.rs", source),
        ("tests/a.rs", tests),
    ];
    files.map(|(path, text)| (path.to_string(), text)).to_vec()
}

/// The example with one replacement in one file.
fn changed(path: &str, from: &str, to: &str) -> Project {
    let mut files = example();
    let file = files.iter_mut().find(|file| file.0 == path).unwrap();
    assert!(file.1.contains(from), "nothing to replace in {path}: {from}");
    file.1 = file.1.replacen(from, to, 1);
    Project::read(&files)
}

#[test]
fn the_example_passes_every_rule() {
    let project = Project::read(&example());
    assert_eq!((project.statements.len(), project.marks.len()), (2, 5));
    assert_eq!(project.statements[0].code_names(), ["one", "two"]);
    assert_eq!(project.marks[1].item, "three");
    let method =
        |head: &str| crate::mark::scan("src/b.rs", &format!("{head} {{\n    //= Z1@01234567\n    fn one() {{}}\n}}"));
    let heads = ["impl One", "impl<'a> One<'a>", "impl Loss for One", "mod one"];
    assert_eq!(heads.map(|head| method(head).0[0].item.clone()), ["One::one", "One::one", "One::one", "one"]);
    for rule in RULES {
        assert_eq!(rule(&project), Vec::<String>::new());
    }
    assert_eq!(complete(&project, &[]), Vec::<String>::new());
    assert_eq!(project.statements[1].anchor(), "z2--title-of-z2");
}

#[test]
fn every_rule_refuses_its_bad_inputs() {
    let proofs = "proofs/a.md";
    let stamp = |path: &str, mark: &str| {
        let text = example().into_iter().find(|file| file.0 == path).unwrap().1;
        text.lines().find(|line| line.starts_with(mark)).unwrap().to_string()
    };
    let first = stamp("src/a.rs", "//= Z1@");
    let bad: [(Rule, &str, String, &str); 31] = [
        (readable, proofs, "### Z1 — ".into(), "### Z1: "),
        (readable, proofs, "### Z1".into(), "### first"),
        (readable, proofs, "Kind: identity\n".into(), ""),
        (readable, proofs, "Kind: identity\n".into(), "Kind: identity\nKind: bound\n"),
        (readable, proofs, "identity".into(), "lemma"),
        (readable, proofs, "Uses: \n".into(), ""),
        (readable, proofs, "Status: proved".into(), "Status: clear"),
        (readable, proofs, "> Two is at most three.".into(), "Two is at most three."),
        (readable, "src/a.rs", first.clone(), "//= Z1"),
        (readable, "src/a.rs", first.clone(), "//= Z1@0123456"),
        (readable, "src/a.rs", first.clone(), "//= Z1@0123456G"),
        (readable, "src/a.rs", first.clone(), "//= tests Z1@01234567"),
        (readable, "src/a.rs", first.clone(), "//=Z1@01234567"),
        (readable, "src/a.rs", first.clone(), "use a::b; //= Z1@01234567"),
        (readable, "tests/a.rs", "const FAULT: f64 = 0.9;\n".into(), ""),
        (unique, proofs, "### Z2".into(), "### Z1"),
        (chapters_are_in_the_reading_order, "proofs/README.md", "Z1–Z2".into(), "Z1–Z3"),
        (chapters_are_in_the_reading_order, "proofs/README.md", "(a.md)".into(), "(b.md)"),
        (uses_are_known, proofs, "Uses: Z1".into(), "Uses: Z1, Z3"),
        (uses_have_no_cycle, proofs, "Uses: \n".into(), "Uses: Z2\n"),
        (nothing_proved_rests_on_a_conjecture, proofs, "Status: proved".into(), "Status: conjectured"),
        (proofs_are_there, proofs, "By counting. ∎".into(), "By counting."),
        (proofs_are_there, proofs, "By counting. ∎".into(), "∎"),
        (proofs_use_what_they_name, proofs, "By counting.".into(), "By Z2, counting."),
        (marks_point_at_statements, "src/a.rs", first.clone(), "//= Z3@01234567"),
        (stamps_are_fresh, proofs, "One is one.".into(), "One is two."),
        (marks_are_not_repeated, "src/a.rs", "/// Documented.".into(), &first),
        (marks_stand_where_they_belong, "src/a.rs", "//= Z1".into(), "//= test Z1"),
        (marks_stand_where_they_belong, "src/a.rs", "//= Z1".into(), "#[cfg(test)]\n//= Z1"),
        (marks_stand_where_they_belong, "tests/a.rs", "//= test Z1".into(), "//= Z1"),
        (marks_stand_where_they_belong, "tests/a.rs", "FAULT".into(), "FACTOR"),
    ];
    for (rule, path, from, to) in bad {
        assert!(!rule(&changed(path, &from, to)).is_empty(), "a rule lets this pass: '{to}' for '{from}' in {path}");
    }
    let stale = &stamps_are_fresh(&changed(proofs, "One is one.", "One is two."))[0];
    let fresh = changed(proofs, "One is one.", "One is two.").statements[0].stamp();
    assert!(stale.contains(&format!("Z1@{fresh}")) && stale.contains("read the claim again"), "{stale}");
}

#[test]
fn incomplete_statements_are_listed_exactly() {
    let complaints = |path, from, to, not_yet: &[_]| complete(&changed(path, from, to), not_yet).len();
    let without = |path, from| [complaints(path, from, "// ", &[]), complaints(path, from, "// ", &[("Z2", "test")])];
    assert_eq!(without("src/a.rs", "//= Z2"), [1, 1]);
    assert_eq!(without("tests/a.rs", "//= test Z2"), [1, 0]);
    assert_eq!(without("tests/a.rs", "//= power Z2"), [1, 1]);
    assert_eq!(complaints("proofs/a.md", "`two`", "`four`", &[]), 1);
    assert_eq!(complaints("proofs/a.md", "`two`", "`four`", &[("Z1", "name")]), 0);
    // A complete statement may not stay on the list, nor may an id that does not exist.
    let project = Project::read(&example());
    assert_eq!((complete(&project, &[("Z2", "power")]).len(), complete(&project, &[("Z9", "code")]).len()), (1, 1));
    assert_eq!(project.statements[0].kind, Kind::Identity, "an identity needs no planted fault");
}
