//! The files that a command names: results keep clear of what is read, and of each other.

use std::collections::HashSet;
use std::path::{Path, PathBuf};

use anyhow::bail;
use perturbation_learning::data;

use super::arguments::Common;

/// What a command reads and writes, but for its JSON document.
#[derive(Default)]
pub struct Files<'a> {
    /// Arrays that it writes.
    pub arrays: Vec<&'a PathBuf>,
    /// A table that it writes, as text.
    pub table: Option<&'a PathBuf>,
    /// What it writes into a directory that it is given.
    pub inside: Vec<PathBuf>,
    /// What it reads: files, also as members of archives.
    pub inputs: Vec<PathBuf>,
}

impl Files<'_> {
    /// An error unless these files and the JSON document can be written, each to a place of its own where no input lies.
    pub fn check(&self, common: &Common) -> anyhow::Result<()> {
        for path in &self.arrays {
            data::check_output(path)?;
        }
        if let Some(path) = self.table {
            if !path.extension().is_some_and(|extension| extension.eq_ignore_ascii_case("csv")) {
                bail!("{}: a table is written as text; expected a path that ends in .csv", path.display());
            }
            data::check_writable(path)?;
        }
        let json = common.json.as_ref().filter(|_| !common.json_on_stdout());
        if let Some(path) = json {
            data::check_writable(path)?;
        }
        let named = self.arrays.iter().copied().chain(self.table).chain(json);
        let all: Vec<&PathBuf> = self.inside.iter().chain(named).collect();
        let mut places = HashSet::new();
        for path in &all {
            // A pipe or a device takes whatever comes.
            let shared = path.exists() && !path.is_file();
            if !places.insert(place(path)) && !shared {
                bail!("{}: named for two results; expected a file for each", path.display());
            }
        }
        check_not_read(&all, &self.inputs)
    }
}

/// An error if a result would be written over an input, by whatever name it goes.
pub fn check_not_read(results: &[&PathBuf], inputs: &[PathBuf]) -> anyhow::Result<()> {
    let inputs: Vec<PathBuf> = inputs.iter().map(|input| place(&data::array_file(input))).collect();
    match results.iter().find(|path| inputs.contains(&place(path))) {
        Some(path) => bail!("{}: read and to be written; expected another place for the result", path.display()),
        None => Ok(()),
    }
}

/// Where a path leads, links followed, also if its last parts are still to be made.
fn place(path: &Path) -> PathBuf {
    if let Ok(found) = path.canonicalize() {
        return found;
    }
    match (path.parent(), path.file_name()) {
        (Some(parent), Some(name)) if parent.as_os_str().is_empty() => place(Path::new(".")).join(name),
        (Some(parent), Some(name)) => place(parent).join(name),
        // `..` of a directory that is still to be made.
        (Some(parent), None) => place(parent).parent().map(Into::into).unwrap_or_default(),
        _ => path.into(),
    }
}

/// Makes a directory, with those that it lies in, if it does not exist.
pub fn make_directory(directory: &Path) -> anyhow::Result<()> {
    std::fs::create_dir_all(directory)
        .map_err(|source| perturbation_learning::Error::Io { path: directory.into(), source })?;
    Ok(())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_place_does_not_depend_on_spelling() {
        let directory = tempfile::tempdir().unwrap();
        let at = |name: &str| place(&directory.path().join(name));
        assert_eq!(at("./new/x"), at("new/x"));
        assert_eq!(at("new/../x"), at("x"));
        assert_ne!(at("new/x"), at("x"));
        assert_eq!(place(Path::new("new.csv")), place(Path::new("./src/../new.csv")));
    }
}
