//! Statements of `proofs/`: sections `### ID — Title` with kind, uses, status, claim and proof.

use sha2::{Digest, Sha256};

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Kind {
    Identity,
    Bound,
    Definition,
}

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Status {
    Proved,
    Cited,
    Conjectured,
}

impl Kind {
    pub const ALL: [Kind; 3] = [Kind::Identity, Kind::Bound, Kind::Definition];

    pub fn name(self) -> &'static str {
        match self {
            Kind::Identity => "identity",
            Kind::Bound => "bound",
            Kind::Definition => "definition",
        }
    }
}

impl Status {
    pub const ALL: [Status; 3] = [Status::Proved, Status::Cited, Status::Conjectured];

    pub fn name(self) -> &'static str {
        match self {
            Status::Proved => "proved",
            Status::Cited => "cited",
            Status::Conjectured => "conjectured",
        }
    }
}

/// One section. `claim` is the block quote on one line, `proof` what follows it.
#[derive(Debug, Clone)]
pub struct Statement {
    pub id: String,
    pub title: String,
    pub kind: Kind,
    pub uses: Vec<String>,
    pub status: Status,
    pub claim: String,
    pub proof: String,
    pub path: String,
    pub line: usize,
}

/// The statements of a chapter, and complaints about sections that are none.
pub fn parse(path: &str, text: &str) -> (Vec<Statement>, Vec<String>) {
    let lines: Vec<&str> = text.lines().collect();
    let (mut statements, mut complaints) = (Vec::new(), Vec::new());
    for (start, heading) in lines.iter().enumerate().filter_map(|(i, line)| Some((i, line.strip_prefix("### ")?))) {
        let body = &lines[start + 1..];
        let heading_of_any_rank = |line: &&str| line.starts_with('#') && line.trim_start_matches('#').starts_with(' ');
        let end = body.iter().position(heading_of_any_rank).unwrap_or(body.len());
        match section(path, start + 1, heading, &body[..end]) {
            Ok(statement) => statements.push(statement),
            Err(problem) => complaints.push(format!("{path}:{}: {problem}", start + 1)),
        }
    }
    (statements, complaints)
}

fn section(path: &str, line: usize, heading: &str, body: &[&str]) -> Result<Statement, String> {
    let (id, title) = heading.split_once(" — ").ok_or("expected a heading `### ID — Title`")?;
    if !is_id(id) {
        return Err(format!("'{id}' is no id: expected a capital letter and a number, as W4"));
    }
    let field = |name: &str| {
        let mut values = body.iter().filter_map(|line| line.strip_prefix(name)).map(str::trim);
        let first = values.next().ok_or(format!("{id}: expected a line `{name}`"))?;
        if values.next().is_some() { Err(format!("{id}: several lines `{name}`")) } else { Ok(first) }
    };
    let (kind, status) = (field("Kind:")?, field("Status:")?);
    let kind = Kind::ALL.into_iter().find(|k| k.name() == kind).ok_or(format!("{id}: unknown kind '{kind}'"))?;
    let status = Status::ALL.into_iter().find(|s| s.name() == status);
    let uses = field("Uses:")?.split(',').map(|used| used.trim().to_string()).filter(|used| !used.is_empty());
    let last = body.iter().rposition(|line| line.starts_with('>')).ok_or(format!("{id}: expected a claim, `> …`"))?;
    let claim: Vec<&str> = body.iter().filter_map(|line| line.strip_prefix('>')).collect();
    Ok(Statement {
        id: id.into(),
        title: title.trim().into(),
        kind,
        uses: uses.collect(),
        status: status.ok_or(format!("{id}: expected `Status: proved`, `cited` or `conjectured`"))?,
        claim: claim.join(" ").split_whitespace().collect::<Vec<_>>().join(" "),
        proof: body[last + 1..].join("\n"),
        path: path.into(),
        line,
    })
}

/// A capital letter and a number.
pub fn is_id(text: &str) -> bool {
    let number = text.strip_prefix(|c: char| c.is_ascii_uppercase());
    number.is_some_and(|number| !number.is_empty() && number.bytes().all(|b| b.is_ascii_digit()))
}

impl Statement {
    /// The first 8 hexadecimal digits of the claim's SHA-256: marks carry it, so that none outlives a change of the claim.
    pub fn stamp(&self) -> String {
        Sha256::digest(&self.claim).iter().take(4).map(|byte| format!("{byte:02x}")).collect()
    }

    /// The functions that the claim names after "Code:", without paths and arguments.
    pub fn code_names(&self) -> Vec<&str> {
        let mut names = Vec::new();
        for list in self.claim.split("Code:").skip(1) {
            // `a(…)`, `b(…)` and `c`: as long as nothing but a comma or "and" stands between.
            let mut rest = list;
            while let Some((between, quoted)) = rest.split_once('`') {
                let Some((code, after)) = quoted.split_once('`') else { break };
                if !["", ",", "and", ", and"].contains(&between.trim()) {
                    break;
                }
                let name = code.split('(').next().unwrap_or(code).trim();
                names.push(name.rsplit("::").next().unwrap_or(name));
                rest = after;
            }
        }
        names
    }

    /// The file's name: what `Uses:` and readers call the chapter.
    pub fn chapter(&self) -> &str {
        self.path.rsplit('/').next().unwrap_or(&self.path).trim_end_matches(".md")
    }

    /// The fragment that the usual renderers give the heading.
    pub fn anchor(&self) -> String {
        let heading = format!("{} — {}", self.id, self.title).to_lowercase();
        let kept = heading.chars().filter(|c| c.is_alphanumeric() || " -_".contains(*c));
        kept.map(|c| if c == ' ' { '-' } else { c }).collect()
    }
}
