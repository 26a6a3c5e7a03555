//! A fresh directory with small data in it, where `pertlearn` runs.

use std::path::PathBuf;
use std::process::{Command, Output};

use perturbation_learning::data::{
    DataSet, Synthetic, read_points, read_vector, synthetic, write_point_columns, write_vector,
};
use perturbation_learning::problem::Points;
use serde_json::Value;
use tempfile::TempDir;

/// A temporary directory, removed at the end of the test.
pub struct Place {
    directory: TempDir,
}

impl Place {
    /// An empty directory.
    pub fn empty() -> Self {
        Place { directory: tempfile::tempdir().unwrap() }
    }

    /// A directory with `x.npy` (12×3), `y.npy` (±1), `z.npy` (7×3) and `yz.npy`: the set that [`data`] returns.
    pub fn with_data() -> Self {
        let (place, data) = (Place::empty(), data());
        write_point_columns(&place.path("x.npy"), data.train.points().as_columns()).unwrap();
        place.vector("y.npy", data.train.labels());
        write_point_columns(&place.path("z.npy"), data.test.as_columns()).unwrap();
        place.vector("yz.npy", &data.test_labels.unwrap());
        place
    }

    /// The path of a file in the directory.
    pub fn path(&self, name: &str) -> PathBuf {
        self.directory.path().join(name)
    }

    /// Writes a vector.
    pub fn vector(&self, name: &str, values: &[f64]) {
        write_vector(&self.path(name), values).unwrap();
    }

    /// Runs the program there with words separated by white space.
    pub fn run(&self, words: &str) -> Output {
        self.command(words).output().unwrap()
    }

    /// The command of [`Place::run`], not yet started.
    pub fn command(&self, words: &str) -> Command {
        let mut command = Command::new(env!("CARGO_BIN_EXE_pertlearn"));
        command.args(words.split_whitespace()).current_dir(self.directory.path());
        command
    }

    /// Runs and expects exit status 0; returns standard output.
    pub fn succeed(&self, words: &str) -> String {
        let output = self.run(words);
        assert_eq!(output.status.code(), Some(0), "{words}\n{}", text(&output.stderr));
        text(&output.stdout)
    }

    /// Runs with `--json -`, and expects nothing but a JSON document on standard output.
    pub fn json(&self, words: &str) -> Value {
        let stdout = self.succeed(&format!("{words} --json -"));
        serde_json::from_str(&stdout).unwrap_or_else(|e| panic!("{words}: {e}\n{stdout}"))
    }

    /// Reads a written matrix as points.
    pub fn matrix(&self, name: &str) -> Points {
        read_points(&self.path(name)).unwrap()
    }

    /// Reads a written vector.
    pub fn values(&self, name: &str) -> Vec<f64> {
        read_vector(&self.path(name)).unwrap()
    }

    /// The bytes of a file.
    pub fn bytes(&self, name: &str) -> Vec<u8> {
        std::fs::read(self.path(name)).unwrap()
    }
}

/// The data of [`Place::with_data`].
pub fn data() -> DataSet {
    synthetic(Synthetic::ShiftedGauss, 3, 12, 7, 1).unwrap()
}

/// Bytes as text.
pub fn text(bytes: &[u8]) -> String {
    String::from_utf8_lossy(bytes).into_owned()
}

/// An IDX file of `count` square images.
pub fn idx_images(count: u32, side: u32, bytes: &[u8]) -> Vec<u8> {
    let header = [0x803, count, side, side].map(u32::to_be_bytes).concat();
    [header.as_slice(), bytes].concat()
}

/// An IDX file of labels.
pub fn idx_labels(labels: &[u8]) -> Vec<u8> {
    let header = [0x801, labels.len() as u32].map(u32::to_be_bytes).concat();
    [header.as_slice(), labels].concat()
}
