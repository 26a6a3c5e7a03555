//! How a case is described for the optimiser: choices that a restart makes once, and numbers in [−1, 1] that it moves.

use rand::{Rng, RngExt};

use super::case::Case;
use crate::error::Result;
use crate::network::{Initialisation, Readout};
use crate::problem::{Points, Scenario, Slope, TrainingSet};

/// Numbers in front of the coordinates: slope, scale of the points, scale of the test point, time, ε, distance.
const SCALARS: usize = 6;

/// Where the test point stands.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Place {
    Free,
    /// A small step from the first training point.
    Near,
    /// A small step from its mirror image.
    Opposite,
    /// On it.
    On,
}

/// How a training point repeats another.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Copied {
    Exactly,
    Nearly,
}

/// The choices of a restart.
#[derive(Debug, Clone)]
pub(super) struct Shape {
    input_dim: usize,
    /// For each training point the earlier point that it repeats, if any, exactly or nearly.
    copy_of: Vec<Option<(usize, Copied)>>,
    labels: Vec<f64>,
    /// All points on one line through the origin.
    collinear: bool,
    place: Place,
    width: usize,
    readout: Readout,
    initialisation: Initialisation,
    failure_probability: f64,
    scenario: Scenario,
}

/// One entry, chosen uniformly.
fn choose<T: Copy>(rng: &mut impl Rng, from: &[T]) -> T {
    from[rng.random_range(0..from.len())]
}

impl Shape {
    /// Random choices; small sets are the most frequent, because bounds are tightest there. `width_limit` is a power of 2.
    pub fn draw(rng: &mut impl Rng, width_limit: usize) -> Self {
        let input_dim = choose(rng, &[1, 1, 2, 2, 3, 4, 6, 12]);
        let train_count: usize = choose(rng, &[1, 1, 2, 2, 3, 4, 6, 10]);
        let copy_of = (0..train_count)
            .map(|n| {
                let copies = n > 0 && rng.random_bool(0.25);
                copies.then(|| (rng.random_range(0..n), choose(rng, &[Copied::Exactly, Copied::Nearly])))
            })
            .collect();
        let labels = (0..train_count).map(|_| choose(rng, &[1.0, -1.0])).collect();
        let widths = width_limit.ilog2();
        Shape {
            input_dim,
            copy_of,
            labels,
            collinear: rng.random_bool(0.15),
            place: choose(rng, &[Place::Free, Place::Free, Place::Free, Place::Near, Place::Opposite, Place::On]),
            width: 1 << rng.random_range(1..=widths),
            readout: choose(rng, &[Readout::Gaussian, Readout::Rademacher]),
            initialisation: choose(rng, &[Initialisation::Standard, Initialisation::Antisymmetric]),
            failure_probability: choose(rng, &[0.3, 0.1, 0.05]),
            scenario: choose(rng, &[Scenario::PerturbationOnly, Scenario::OnImage]),
        }
    }

    /// How many numbers describe a case of this shape.
    pub fn len(&self) -> usize {
        SCALARS + (self.labels.len() + 1) * self.input_dim
    }

    /// The case; numbers outside [−1, 1] count as the nearer end.
    ///
    /// The time is measured in the units of the flow: a neuron of readout 1/√m crosses one standard deviation of its
    /// pre-activation at the fastest point in about √m s/κ.
    pub fn case(&self, numbers: &[f64]) -> Result<Case> {
        let number = |index: usize| numbers[index].clamp(-1.0, 1.0);
        let power = |index: usize, low: f64, high: f64| 10_f64.powf(low + (high - low) * 0.5 * (number(index) + 1.0));
        let (d, count) = (self.input_dim, self.labels.len());
        let scale = power(1, -1.5, 1.5);
        let coordinate = |point: usize, j: usize| number(SCALARS + point * d + j);
        let step = scale * power(5, -4.0, 0.0);
        let mut rows: Vec<Vec<f64>> = Vec::with_capacity(count);
        for n in 0..count {
            let row = match self.copy_of[n] {
                Some((earlier, Copied::Exactly)) => rows[earlier].clone(),
                Some((earlier, Copied::Nearly)) => {
                    (0..d).map(|j| rows[earlier][j] + step * coordinate(n + 1, j)).collect()
                }
                None if self.collinear && n > 0 => rows[0].iter().map(|x| 2.0 * coordinate(n + 1, 0) * x).collect(),
                None => (0..d).map(|j| scale * coordinate(n + 1, j)).collect(),
            };
            rows.push(row);
        }
        let test_scale = power(2, -1.5, 1.5);
        let shifted = |sign: f64| (0..d).map(|j| sign * rows[0][j] + step * coordinate(0, j)).collect();
        let test: Vec<f64> = match self.place {
            Place::Free if self.collinear => rows[0].iter().map(|x| test_scale * coordinate(0, 0) * x).collect(),
            Place::Free => (0..d).map(|j| test_scale * coordinate(0, j)).collect(),
            Place::Near => shifted(1.0),
            Place::Opposite => shifted(-1.0),
            Place::On => rows[0].clone(),
        };
        let train = TrainingSet::new(Points::from_rows("x", count, d, rows.concat())?, self.labels.clone())?;
        let test = Points::from_rows("z", 1, d, test)?;
        let mut case = Case {
            train,
            // A third of the range is the ReLU.
            slope: Slope::new(0.99 * (1.5 * number(0) - 0.5).max(0.0))?,
            test,
            time: 0.0,
            width: self.width,
            readout: self.readout,
            initialisation: self.initialisation,
            failure_probability: self.failure_probability,
            epsilon: power(4, -2.0, 1.0) * (d as f64).sqrt(),
            scenario: self.scenario,
        };
        case.time = power(3, -2.0, 1.5) * (self.width as f64).sqrt() / case.fastest_rate();
        Ok(case)
    }
}

impl Case {
    /// The largest κ/s over training and test points: how many standard deviations a pre-activation may move per |a| and
    /// unit of time.
    fn fastest_rate(&self) -> f64 {
        let rate = |x: &[f64]| {
            let kappa: f64 = self.signed_gram(x).iter().map(|c| c.abs()).sum();
            kappa / (1.0 + x.iter().map(|x| x * x).sum::<f64>() / x.len() as f64).sqrt()
        };
        self.train.points().iter().chain(self.test.iter()).map(rate).fold(f64::MIN_POSITIVE, f64::max).max(1e-30)
    }
}

/// A place in the search space.
#[derive(Debug, Clone)]
pub(super) struct Genome {
    pub shape: Shape,
    pub numbers: Vec<f64>,
}

impl Genome {
    pub fn draw(rng: &mut impl Rng, width_limit: usize) -> Self {
        let shape = Shape::draw(rng, width_limit);
        let numbers = (0..shape.len()).map(|_| rng.random_range(-1.0..1.0)).collect();
        Genome { shape, numbers }
    }

    pub fn case(&self) -> Result<Case> {
        self.shape.case(&self.numbers)
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::random::Streams;

    #[test]
    fn every_genome_is_a_case_and_all_kinds_of_data_occur() {
        let streams = Streams::new(1, "hunt/genome");
        let cases: Vec<Case> =
            (0..500).map(|index| Genome::draw(&mut streams.stream(index), 64).case().unwrap()).collect();
        let occurs = |what: &dyn Fn(&Case) -> bool| cases.iter().any(what);
        let repeats =
            |case: &Case| (1..case.train.count()).any(|n| case.train.points().point(n) == case.train.points().point(0));
        assert!(occurs(&repeats) && occurs(&|c| c.train.points().point(0) == c.test.point(0)));
        assert!(occurs(&|c| c.slope == Slope::RELU) && occurs(&|c| c.slope.value() > 0.9));
        assert!(
            occurs(&|c| c.train.count() > c.train.input_dim()) && occurs(&|c| c.train.count() < c.train.input_dim())
        );
        assert!(cases.iter().all(|c| c.time.is_finite() && c.time > 0.0 && c.width <= 64 && c.width.is_multiple_of(2)));
    }

    #[test]
    fn numbers_outside_the_box_count_as_its_ends() {
        let mut genome = Genome::draw(&mut Streams::new(1, "hunt/genome").stream(3), 64);
        genome.numbers.fill(7.0);
        let beyond = genome.case().unwrap();
        genome.numbers.fill(1.0);
        assert_eq!(beyond.train, genome.case().unwrap().train);
    }
}
