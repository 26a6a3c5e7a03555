//! House rules as tests. A rule is a function from a file to complaints; beside each rule stands an input that must fail.

use std::path::Path;

/// A source file: its path from the project's root, and its text.
struct Source {
    path: String,
    text: String,
}

impl Source {
    fn new(path: &str, text: &str) -> Self {
        Source { path: path.into(), text: text.into() }
    }

    fn is_in(&self, directory: &str) -> bool {
        self.path.starts_with(directory)
    }

    /// Numbered lines of code that ships: comments are cut, and everything from `#[cfg(test)]` on, because the tests
    /// stand at the end of a file (a rule of its own keeps them there).
    fn code(&self) -> impl Iterator<Item = (usize, &str)> {
        let lines = self.text.lines().enumerate().take_while(|(_, line)| !line.starts_with("#[cfg(test)]"));
        lines.map(|(index, line)| (index + 1, without_comment(line)))
    }
}

/// The line up to `//`, unless that stands in a string.
fn without_comment(line: &str) -> &str {
    let comment = line.match_indices("//").find(|(at, _)| line[..*at].matches('"').count().is_multiple_of(2));
    comment.map_or(line, |(at, _)| &line[..at])
}

/// Whether a word occurs that is not part of a longer identifier.
fn has_word(line: &str, word: &str) -> bool {
    let inside = |c: Option<char>| c.is_some_and(|c| c.is_alphanumeric() || c == '_');
    line.match_indices(word)
        .any(|(at, _)| !inside(line[..at].chars().next_back()) && !inside(line[at + word.len()..].chars().next()))
}

/// Rust files under the directories, and the other texts named, in order.
fn sources(directories: &[&str]) -> Vec<Source> {
    let root = Path::new(env!("CARGO_MANIFEST_DIR"));
    let mut left: Vec<_> = directories.iter().map(|d| root.join(d)).filter(|p| p.exists()).collect();
    let mut found = Vec::new();
    while let Some(path) = left.pop() {
        if path.is_dir() {
            left.extend(std::fs::read_dir(path).unwrap().map(|entry| entry.unwrap().path()));
            continue;
        }
        let name = path.strip_prefix(root).unwrap().to_string_lossy().replace('\\', "/");
        let texts = ["rs", "md", "toml", "py", "yml", "cff", ""];
        if texts.contains(&path.extension().unwrap_or_default().to_string_lossy().as_ref()) {
            found.push(Source { path: name, text: std::fs::read_to_string(&path).unwrap() });
        }
    }
    found.sort_by(|a, b| a.path.cmp(&b.path));
    found
}

fn rust(directories: &[&str]) -> Vec<Source> {
    let mut found = sources(directories);
    found.retain(|source| source.path.ends_with(".rs"));
    found
}

/// No file breaks the rule; every bad example does, and no good one.
fn check(files: &[Source], rule: impl Fn(&Source) -> Vec<String>, bad: &[Source], good: &[Source]) {
    for example in bad {
        assert!(!rule(example).is_empty(), "the rule lets this pass:\n{}", example.text);
    }
    for example in good {
        assert!(rule(example).is_empty(), "the rule refuses this:\n{}", example.text);
    }
    assert!(!files.is_empty(), "no file to check");
    let complaints: Vec<String> = files.iter().flat_map(rule).collect();
    assert!(complaints.is_empty(), "\n{}", complaints.join("\n"));
}

fn complain(source: &Source, line: usize, problem: impl std::fmt::Display) -> String {
    format!("{}:{line}: {problem}", source.path)
}

/// Theory and network are two independent witnesses.
fn independent_witnesses(source: &Source) -> Vec<String> {
    let other = match (source.is_in("src/theory"), source.is_in("src/network")) {
        (true, _) => "network",
        (_, true) => "theory",
        _ => return Vec::new(),
    };
    let mut complaints = Vec::new();
    let mut in_use = false;
    // Tests inside these files are no exception: all lines count.
    for (index, line) in source.text.lines().map(without_comment).enumerate() {
        in_use |= line.trim_start().trim_start_matches("pub ").starts_with("use ");
        let path = line.contains(&format!("{other}::")) || line.contains(&format!("::{other}"));
        if path || (in_use && has_word(line, other)) {
            complaints.push(complain(source, index + 1, format!("mentions {other}")));
        }
        in_use &= !line.contains(';');
    }
    complaints
}

#[test]
fn theory_and_network_never_mention_each_other() {
    let bad = [
        Source::new("src/theory/dual.rs", "use crate::network::Neurons;"),
        Source::new("src/theory/dual.rs", "use crate::{\n    network,\n    loss,\n};"),
        Source::new("src/theory/dual.rs", "fn f() {\n    super::super::network::outputs();\n}"),
        Source::new("src/network/dense.rs", "#[cfg(test)]\nmod tests {\n    use crate::theory::Kernel;\n}"),
    ];
    let good = [
        Source::new("src/theory/dual.rs", "// as crate::network does\nlet network = \"limit\";\n"),
        Source::new("src/experiment/learn.rs", "use crate::network::Neurons;\nuse crate::theory::Kernel;"),
    ];
    check(&rust(&["src"]), independent_witnesses, &bad, &good);
}

/// What may stop the program, and why it never does on a user's input: (file, what the line contains, why).
const NEVER_HAPPENS: [(&str, &str, &str); 20] = [
    ("src/cli/learn.rs", "clap requires the time\"", "`--flow` has `requires = \"time\"`"),
    ("src/cli/learn.rs", "clap requires the time of g", "`--flow` has `requires = \"time_perturbed\"`"),
    ("src/cli/learn.rs", "clap requires the learning rates", "`--descent` has `requires_all`"),
    ("src/cli/learn.rs", "clap requires the steps", "`--descent` has `requires_all`"),
    ("src/cli/train.rs", "clap requires a width unless", "`--width` has `required_unless_present`"),
    ("src/cli/train.rs", "clap requires a time with", "`--flow` has `requires = \"time\"`"),
    ("src/cli/train.rs", "clap requires a learning rate with", "`--descent` has `requires`"),
    ("src/cli/train.rs", "clap requires steps with", "`--descent` has `requires`"),
    ("src/data/labels.rs", "both classes occur", "signs were made two lines above, from two classes"),
    ("src/data/mod.rs", "labels of a training set", "a selection of labels that are ±1 already, as long as the points"),
    ("src/experiment/learn.rs", "only called for descent", "private; its two callers match on descent"),
    (
        "src/network/descent/decoupled/block.rs",
        "samples that have just changed side are near",
        "`choose` takes them in before anything else",
    ),
    ("src/network/descent/decoupled/block.rs", "it was made", "`make_columns` has made all that are owed, just above"),
    ("src/linalg.rs", "a row for each column", "a panel's sums reach from its first column to the last row"),
    ("src/linalg.rs", "two is not zero", "a constant expression: it would fail to compile"),
    (
        "src/network/flow/mod.rs",
        "there is at least one lane",
        "a network has a neuron at least, hence a block and a lane",
    ),
    ("src/network/flow/neuron.rs", "the minimum is attained", "the minimum is one of the values searched"),
    ("src/network/neurons.rs", "a neuron has at least a bias", "rows have d + 1 entries"),
    (
        "src/stats/binomial.rs",
        "positive shapes",
        "counts of zero, which would make a shape zero, are set apart in the same line",
    ),
    (
        "src/stats/rate.rs",
        "positive degrees of freedom",
        "a documented panic; here a fit has three points and a mean two networks at least",
    ),
];

/// The test budget: a test that asks for no error probability of its own is a mistake in that test.
const TEST_ONLY: &str = "src/stats/budget.rs";

/// Bad input ends in an `Error`, never in a panic.
fn no_panics(source: &Source) -> Vec<String> {
    let justified = |line: &str| NEVER_HAPPENS.iter().any(|row| row.0 == source.path && line.contains(row.1));
    let mut complaints = Vec::new();
    for (number, line) in source.code() {
        for word in [".unwrap()", "panic!(", "todo!(", "unimplemented!(", "dbg!("] {
            if line.contains(word) && !(source.path == TEST_ONLY && word == "panic!(") {
                complaints.push(complain(source, number, format!("{word}; return an Error")));
            }
        }
        for word in [".expect(", "unreachable!("] {
            if line.contains(word) && !justified(line) {
                let problem = format!("{word} without a message listed in NEVER_HAPPENS, with the reason");
                complaints.push(complain(source, number, problem));
            }
        }
    }
    complaints
}

#[test]
fn code_that_ships_does_not_panic() {
    let bad = [
        Source::new("src/a.rs", "let x = y.unwrap();"),
        Source::new("src/a.rs", "let x = y.expect(\"both classes occur\");"),
        Source::new("src/data/labels.rs", "let x = y.expect(\"\");"),
        Source::new("src/a.rs", "/// Documented.\nfn f() { panic!(\"no\") } // panic"),
        Source::new("src/a.rs", "let url = \"https://x\"; todo!()"),
        Source::new("src/a.rs", "unreachable!()"),
        Source::new("src/a.rs", "dbg!(x);"),
        Source::new("src/a.rs", "unimplemented!()"),
    ];
    let good = [
        Source::new("src/a.rs", "/// x.unwrap()\nlet x = 1; // y.unwrap()\n#[cfg(test)]\nmod tests { y.unwrap() }"),
        Source::new("src/data/labels.rs", "let x = y.expect(\"both classes occur\");"),
    ];
    let files = rust(&["src"]);
    check(&files, no_panics, &bad, &good);
    // The list of justified places is not longer than the truth, so that it cannot cover anything new.
    for (path, part, reason) in NEVER_HAPPENS {
        let file = files.iter().find(|source| source.path == path);
        let lines = file.map_or(0, |source| source.code().filter(|(_, line)| line.contains(part)).count());
        assert_eq!(lines, 1, "{path}: '{part}' ({reason}) is to be found once");
    }
}

/// The inline tests of a file are its last item, so that `Source::code` is what it says.
fn tests_stand_last(source: &Source) -> Vec<String> {
    let Some((_, tests)) = source.text.split_once("#[cfg(test)]") else {
        return Vec::new();
    };
    let body = tests.trim_start_matches('\n');
    let ends = body.match_indices("\n}").map(|(at, _)| body[at + 2..].trim().is_empty()).next();
    if source.text.contains("\n#[cfg(test)]\nmod tests {\n") && ends == Some(true) {
        return Vec::new();
    }
    vec![complain(source, 1, "`#[cfg(test)]` is for `mod tests { … }` at the end of the file")]
}

#[test]
fn inline_tests_stand_at_the_end_of_their_file() {
    let bad = [
        Source::new("src/a.rs", "//! A.\n#[cfg(test)]\nmod tests {\n    fn f() {}\n}\n\nfn g() {\n}\n"),
        Source::new("src/a.rs", "//! A.\n#[cfg(test)]\nfn g() {}\n"),
        Source::new("src/a.rs", "//! A.\nmod b {\n    #[cfg(test)]\n    mod tests {\n    }\n}\n"),
    ];
    let good = [Source::new("src/a.rs", "//! A.\n#[cfg(test)]\nmod tests {\n    fn f() {}\n}\n")];
    check(&rust(&["src"]), tests_stand_last, &bad, &good);
}

/// A reader learns from the first line what a file is for.
fn begins_with_its_purpose(source: &Source) -> Vec<String> {
    let purpose = source.text.lines().next().and_then(|line| line.strip_prefix("//! "));
    if purpose.is_some_and(|line| !line.trim().is_empty()) {
        return Vec::new();
    }
    vec![complain(source, 1, "expected `//!` and the purpose of the file")]
}

#[test]
fn every_file_begins_with_its_purpose() {
    let bad = [
        Source::new("src/a.rs", "use std::path::Path;\n//! Late."),
        Source::new("src/a.rs", ""),
        Source::new("src/a.rs", "//!\n"),
        Source::new("src/a.rs", "// A.\n"),
    ];
    check(&rust(&["src", "tests", "benches"]), begins_with_its_purpose, &bad, &[Source::new("src/a.rs", "//! A.\n")]);
}

/// Paths of the machine on which something was written mean nothing to anybody else.
fn no_machine_paths(source: &Source) -> Vec<String> {
    // Put together here, so that this file does not contain them.
    let roots = ["work", "home", "root", "Users", "tmp"].map(|name| format!("/{name}/"));
    let lines = source.text.lines().enumerate();
    let found = lines.filter(|(_, line)| {
        roots.iter().any(|root| {
            // `target/tmp/…` is a relative path.
            line.match_indices(root.as_str())
                .any(|(at, _)| !line[..at].ends_with(|c: char| c.is_alphanumeric() || "._-}".contains(c)))
        }) || line.contains(concat!("C:", "\\"))
    });
    found.map(|(index, _)| complain(source, index + 1, "a path of one machine")).collect()
}

#[test]
fn nothing_names_a_machine() {
    let bad = ["work", "home", "root", "Users", "tmp"]
        .map(|name| Source::new("README.md", &format!("Look into `/{name}/data`.")))
        .into_iter()
        .chain([Source::new("src/a.rs", concat!("let path = \"C:", "\\\\data\";"))])
        .collect::<Vec<_>>();
    let good = [Source::new("README.md", "See src/work/data and https://example.org/home/page.")];
    let everywhere = [
        "src",
        "tests",
        "benches",
        "proofs",
        "docs",
        "README.md",
        "CHANGELOG.md",
        "CITATION.cff",
        "Cargo.toml",
        ".ci",
        "data",
    ];
    check(&sources(&everywhere), no_machine_paths, &bad, &good);
}

/// The one file that says why it needs it.
const NEEDED: &str = "src/memory.rs";

/// Also where the compiler would let itself be asked to allow it.
fn nothing_unsafe(source: &Source) -> Vec<String> {
    if source.path == NEEDED {
        return Vec::new();
    }
    let lines = source.text.lines().map(without_comment).enumerate();
    let words = [concat!("un", "safe"), concat!("un", "safe_code")];
    let found = lines.filter(|(_, line)| words.iter().any(|word| has_word(line, word)));
    found.map(|(index, _)| complain(source, index + 1, "not safe")).collect()
}

#[test]
fn nothing_is_unsafe() {
    let bad = [
        Source::new("src/a.rs", concat!("un", "safe { read() }")),
        Source::new("src/a.rs", concat!("#![allow(un", "safe_code)]")),
    ];
    let good = [Source::new("src/a.rs", concat!("// no un", "safe code"))];
    check(&rust(&["src", "tests", "benches"]), nothing_unsafe, &bad, &good);
}

/// Benches measure; a test that asserts time fails on a busy machine.
fn no_wall_time(source: &Source) -> Vec<String> {
    let tests_begin = if source.is_in("tests/") { 0 } else { source.code().count() };
    let lines = source.text.lines().map(without_comment).enumerate().skip(tests_begin);
    // Put together here, as all words below that this file would otherwise contain.
    let clock = [concat!("Inst", "ant"), concat!("System", "Time"), concat!("elap", "sed")];
    let found = lines.filter(|(_, line)| clock.iter().any(|word| has_word(line, word)));
    found.map(|(index, _)| complain(source, index + 1, "a test looks at the clock")).collect()
}

#[test]
fn no_test_looks_at_the_clock() {
    let bad = [
        Source::new("tests/a.rs", concat!("let start = std::time::Inst", "ant::now();")),
        Source::new("src/a.rs", concat!("#[cfg(test)]\nmod tests {\n    assert!(start.elap", "sed() < limit);\n}")),
    ];
    let good = [
        Source::new("src/a.rs", concat!("let start = Inst", "ant::now();\n#[cfg(test)]\nmod tests {}")),
        Source::new("tests/a.rs", concat!("// no Inst", "ant\nlet instantaneous = 1;")),
    ];
    check(&rust(&["src", "tests"]), no_wall_time, &bad, &good);
}

/// Every random number comes from a stream with a seed, a purpose and an index (`random::Streams`).
fn randomness_has_a_name(source: &Source) -> Vec<String> {
    let other = [
        ("rand::", "rng("),
        ("thread", "_rng"),
        ("from_os", "_rng"),
        ("from_", "entropy"),
        ("seed_from", "_u64"),
        ("from_", "seed("),
    ];
    let other = other.map(|(head, tail)| format!("{head}{tail}"));
    let lines = source.text.lines().map(without_comment).enumerate();
    let used = lines.filter(|(_, line)| other.iter().any(|word| line.contains(word)));
    let found = used.filter(|_| source.path != "src/random.rs");
    found.map(|(index, _)| complain(source, index + 1, "randomness without a named stream; use Streams")).collect()
}

#[test]
fn every_random_number_comes_from_a_named_stream() {
    let bad = [
        Source::new("src/a.rs", concat!("let mut rng = rand::", "rng();")),
        Source::new("tests/a.rs", concat!("let rng = ChaCha8Rng::seed_from", "_u64(1);")),
        Source::new("benches/a.rs", concat!("let rng = ChaCha8Rng::from_", "seed(key);")),
    ];
    let good = [
        Source::new("src/random.rs", concat!("ChaCha8Rng::from_", "seed(self.key)")),
        Source::new("tests/a.rs", "let mut rng = Streams::new(1, \"a\").stream(0);"),
    ];
    check(&rust(&["src", "tests", "benches"]), randomness_has_a_name, &bad, &good);
}

/// Theory's public functions that can fail say when.
fn errors_are_documented(source: &Source) -> Vec<String> {
    let lines: Vec<(usize, &str)> = source.code().collect();
    let mut complaints = Vec::new();
    let texts: Vec<&str> = source.text.lines().collect();
    for (index, (number, line)) in lines.iter().enumerate() {
        if !line.trim_start().starts_with("pub fn ") {
            continue;
        }
        // The signature reaches to the body; what it returns stands behind the last arrow.
        let end = lines[index..].iter().position(|(_, line)| line.contains('{')).unwrap_or(0);
        let signature: String = lines[index..=index + end].iter().map(|(_, line)| *line).collect();
        let fails = signature.rsplit_once("->").is_some_and(|(_, returned)| returned.contains("Result<"));
        let above = texts[..index].iter().rev().map(|line| line.trim());
        let mut documentation = above.take_while(|line| line.starts_with("//") || line.starts_with("#["));
        if fails && !documentation.any(|line| line == "/// # Errors") {
            complaints.push(complain(source, *number, "expected `# Errors` and the predicates that fail"));
        }
    }
    complaints
}

#[test]
fn theory_says_what_it_refuses() {
    let bad = [
        Source::new("src/theory/a.rs", "/// A.\npub fn a() -> Result<f64> {\n}"),
        Source::new(
            "src/theory/a.rs",
            "/// # Errors\n/// Never.\nfn b() {}\n/// A.\npub fn a(\n    x: f64,\n) -> Result<f64> {\n}",
        ),
    ];
    let good = [
        Source::new(
            "src/theory/a.rs",
            "/// A.\n///\n/// # Errors\n/// x < 0.\n#[inline]\npub fn a() -> Result<f64> {\n}",
        ),
        Source::new("src/theory/a.rs", "/// A.\npub fn a(f: impl Fn() -> Result<f64>) -> f64 {\n}"),
    ];
    check(&rust(&["src/theory"]), errors_are_documented, &bad, &good);
}

/// A row of the error budget that no test asks for is a test that was lost.
#[test]
fn every_row_of_the_error_budget_is_asked_for() {
    let unused = |rows: &[&str], tests: &[Source]| -> Vec<String> {
        let asked = |row: &&str| tests.iter().any(|test| test.text.contains(&format!("\"{row}\"")));
        rows.iter().filter(|row| !asked(row)).map(|row| row.to_string()).collect()
    };
    let example = [Source::new("tests/a.rs", "alpha(\"used\")")];
    assert_eq!(unused(&["used", "lost"], &example), ["lost"], "the rule lets a lost test pass");
    let rows: Vec<&str> = perturbation_learning::stats::budget::BUDGET.iter().map(|row| row.0).collect();
    let mut users = rust(&["src", "tests", "benches"]);
    users.retain(|source| source.path != TEST_ONLY);
    assert_eq!(unused(&rows, &users), Vec::<String>::new(), "remove these rows, or bring their tests back");
}
