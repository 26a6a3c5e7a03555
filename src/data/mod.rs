//! Data: real images embedded in the program, IDX directories, the user's own arrays, and synthetic sets.
//!
//! - [`embedded`]: MNIST 1 against 2 and Fashion-MNIST T-shirt against ankle boot, always at hand;
//! - [`idx`]: directories with the usual IDX files, gzipped or not, any two classes;
//! - [`arrays`]: NPY, NPZ and CSV files of points, labels and vectors;
//! - [`mod@synthetic`]: the two Gaussian sets of the paper;
//! - [`labels`]: any two label values become ±1.

pub mod arrays;
mod atomic;
mod csv_file;
pub mod embedded;
pub mod idx;
pub mod labels;
mod npy;
pub mod synthetic;

use crate::problem::{Points, TrainingSet};

pub use arrays::{
    ArrayFiles, array_file, check_output, read_labels, read_points, read_rows, read_vector, write_matrix,
    write_point_columns, write_vector,
};
pub use atomic::{check_writable, check_writable_directory, write_text};
pub use embedded::{fashion, mnist};
pub use idx::{ClassPair, idx_files, load_idx_directory};
pub use labels::{classes_to_signs, labels_like};
pub use synthetic::{Synthetic, synthetic};

pub(crate) use atomic::write_atomically;

/// Training points with labels ±1, and test points.
#[derive(Debug, Clone)]
pub struct DataSet {
    /// A short name for tables and random streams.
    pub name: String,
    /// The training set; both classes occur.
    pub train: TrainingSet,
    /// The test points.
    pub test: Points,
    /// Their labels ±1, if known.
    pub test_labels: Option<Vec<f64>>,
}

impl DataSet {
    /// The same set with the first `per_class` training points of each class, in order, or all where there are fewer; the first one
    /// also for `per_class` = 0, because a training set has both classes.
    #[must_use]
    pub fn shortened(&self, per_class: usize) -> Self {
        let mut left = [per_class.max(1); 2];
        let kept: Vec<usize> = (0..self.train.count())
            .filter(|&n| {
                let slot = &mut left[usize::from(self.train.labels()[n] > 0.0)];
                let keep = *slot > 0;
                *slot = slot.saturating_sub(1);
                keep
            })
            .collect();
        let labels = kept.iter().map(|&n| self.train.labels()[n]).collect();
        let train = TrainingSet::new(self.train.points().select(&kept), labels).expect("labels of a training set");
        DataSet { train, ..self.clone() }
    }
}
