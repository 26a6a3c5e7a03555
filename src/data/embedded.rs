//! Real images inside the program: MNIST digits 1 and 2, Fashion-MNIST T-shirts and ankle boots.
//!
//! Provenance, licences and checksums: `data/README.md`. Pixels become pixel/255 minus the mean pixel of the complete
//! data set, as in the reference experiments. File order is kept.

use std::fmt::Write;
use std::path::Path;

use sha2::{Digest, Sha256};

use super::DataSet;
use super::idx::{ClassPair, Split, assemble, in_file_order, parse_images, parse_labels};
use crate::error::{Error, Result};

/// An embedded file with the SHA-256 of its (packed) bytes.
struct Embedded {
    name: &'static str,
    content: &'static [u8],
    sha256: &'static str,
}

const MNIST_IMAGES: Embedded = Embedded {
    name: "data/mnist-1v2/mnist-1v2-train10k-images-idx3-ubyte.gz",
    content: include_bytes!("../../data/mnist-1v2/mnist-1v2-train10k-images-idx3-ubyte.gz"),
    sha256: "31b6b0a5cc06ae6bffa830db37939594aa308d91e7171b31f1d63c975f81c90c",
};
const MNIST_LABELS: Embedded = Embedded {
    name: "data/mnist-1v2/mnist-1v2-train10k-labels-idx1-ubyte.gz",
    content: include_bytes!("../../data/mnist-1v2/mnist-1v2-train10k-labels-idx1-ubyte.gz"),
    sha256: "239fc5d3c7e516fdd1e7535e83651ab5aad5402cccd1ced58cd3a501586add3d",
};
const FASHION_TRAIN_IMAGES: Embedded = Embedded {
    name: "data/fashion-0v9/fashion-0v9-train-images-idx3-ubyte.gz",
    content: include_bytes!("../../data/fashion-0v9/fashion-0v9-train-images-idx3-ubyte.gz"),
    sha256: "7025159cd3d7fd1cd26a84586ae74751dec6e7838ce3dc85a6de797a80a04889",
};
const FASHION_TRAIN_LABELS: Embedded = Embedded {
    name: "data/fashion-0v9/fashion-0v9-train-labels-idx1-ubyte.gz",
    content: include_bytes!("../../data/fashion-0v9/fashion-0v9-train-labels-idx1-ubyte.gz"),
    sha256: "99dd9d6e0f04c1786dc8579eec328e862bea2d874e48e97209c56aa74b15b42e",
};
const FASHION_TEST_IMAGES: Embedded = Embedded {
    name: "data/fashion-0v9/fashion-0v9-t10k-images-idx3-ubyte.gz",
    content: include_bytes!("../../data/fashion-0v9/fashion-0v9-t10k-images-idx3-ubyte.gz"),
    sha256: "5a70456124293d1c6d984d6a2f6e0db39c244872bb086d7aa780b3ed79e8dbdd",
};
const FASHION_TEST_LABELS: Embedded = Embedded {
    name: "data/fashion-0v9/fashion-0v9-t10k-labels-idx1-ubyte.gz",
    content: include_bytes!("../../data/fashion-0v9/fashion-0v9-t10k-labels-idx1-ubyte.gz"),
    sha256: "5c3b513d57b5968d630b0386b6e9ab5b780e9166f39d28f07802ea1cf3eb97ad",
};

impl Embedded {
    fn verified(&self) -> Result<&'static [u8]> {
        verify_checksum(Path::new(self.name), self.content, self.sha256)?;
        Ok(self.content)
    }
}

/// An error unless the bytes have the given SHA-256 (lower-case hexadecimal).
///
/// # Errors
/// Another checksum: names the file, the checksum found and the one expected.
pub fn verify_checksum(path: &Path, content: &[u8], expected: &str) -> Result<()> {
    let found = Sha256::digest(content).iter().fold(String::new(), |mut text, byte| {
        let _ = write!(text, "{byte:02x}");
        text
    });
    if found == expected {
        return Ok(());
    }
    Err(Error::Format { path: path.into(), problem: format!("SHA-256 {found}; expected {expected}") })
}

fn split(images: &Embedded, labels: &Embedded) -> Result<Split> {
    let parsed = parse_images(Path::new(images.name), images.verified()?)?;
    let path = Path::new(labels.name);
    Split::new(path, parsed, parse_labels(path, labels.verified()?)?)
}

/// Mean pixel of complete MNIST over 255.
pub const MNIST_MEAN: f64 = 0.1307;
/// Mean pixel of complete Fashion-MNIST over 255.
pub const FASHION_MEAN: f64 = 0.2860;
/// Training images per digit; the others of the 1127 ones and 991 twos are the test set.
pub const MNIST_TRAIN_PER_CLASS: usize = 800;

/// MNIST 1 (+1) against 2 (−1): 800 + 800 training images, the first of each digit in the file, and the remaining
/// 327 + 191 as a fixed held-out test set (the embedded subset has no test split). d = 784.
///
/// # Errors
/// A checksum that does not fit (a damaged build).
pub fn mnist() -> Result<DataSet> {
    let images = split(&MNIST_IMAGES, &MNIST_LABELS)?;
    let classes = ClassPair { positive: 1, negative: 2 };
    let path = Path::new(MNIST_LABELS.name);
    let (mut ones, mut twos) = (images.class(path, 1)?, images.class(path, 2)?);
    let (ones_left, twos_left) = (ones.split_off(MNIST_TRAIN_PER_CLASS), twos.split_off(MNIST_TRAIN_PER_CLASS));
    let (train, test) = (in_file_order(ones, twos), in_file_order(ones_left, twos_left));
    assemble("mnist", classes, MNIST_MEAN, (&images, &train), (&images, &test))
}

/// Fashion-MNIST T-shirt/top (+1) against ankle boot (−1): 500 + 500 training and 250 + 250 test images, each from its
/// own split of the original. d = 784.
///
/// # Errors
/// A checksum that does not fit (a damaged build).
pub fn fashion() -> Result<DataSet> {
    let train = split(&FASHION_TRAIN_IMAGES, &FASHION_TRAIN_LABELS)?;
    let test = split(&FASHION_TEST_IMAGES, &FASHION_TEST_LABELS)?;
    let classes = ClassPair { positive: 0, negative: 9 };
    let all = |split: &Split| (0..split.labels.len()).collect::<Vec<_>>();
    assemble("fashion", classes, FASHION_MEAN, (&train, &all(&train)), (&test, &all(&test)))
}
