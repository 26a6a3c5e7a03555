//! Sums over many blocks of neurons.

/// A vector of sums with Neumaier's compensation: the error does not grow with the number of blocks.
#[derive(Clone)]
pub(super) struct CompensatedSums {
    value: Vec<f64>,
    correction: Vec<f64>,
}

impl CompensatedSums {
    pub fn new(len: usize) -> Self {
        CompensatedSums { value: vec![0.0; len], correction: vec![0.0; len] }
    }

    pub fn add(&mut self, index: usize, term: f64) {
        let sum = self.value[index] + term;
        let larger_first = if self.value[index].abs() >= term.abs() {
            (self.value[index] - sum) + term
        } else {
            (term - sum) + self.value[index]
        };
        self.correction[index] += larger_first;
        self.value[index] = sum;
    }

    pub fn merge(&mut self, later: &CompensatedSums) {
        for index in 0..self.value.len() {
            self.add(index, later.value[index]);
            self.correction[index] += later.correction[index];
        }
    }

    pub fn finish(&self) -> Vec<f64> {
        self.value.iter().zip(&self.correction).map(|(v, c)| v + c).collect()
    }
}
