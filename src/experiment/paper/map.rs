//! Decision regions on the plane of the class means.
//!
//! Points of the plane are z = x·e₁ + y·e₂ with the normalised class means e₁ (label +1) and e₂ (label −1), which are not
//! perpendicular; samples are drawn at (⟨x_n,e₁⟩, ⟨x_n,e₂⟩), as in the paper. Shown are whether sgn f = sgn g, and the
//! zero contours of the authors' f̂ and ĝ and of the limits F and G, with Φ in closed form.
//!
//! Nothing is evaluated in d dimensions on the raster. A network on the plane is one with two inputs, and kernels need
//! inner products and norms only, so the training points are replaced by points of three dimensions with the same ones:
//! two coordinates in the plane and the distance from it. The factor √(3/d) makes ⟨·,·⟩/3 what ⟨·,·⟩/d was.

mod settings;

use nalgebra::DMatrix;
use serde::{Deserialize, Serialize};

use super::parameters::Parameters;
use super::pipeline::sign_agreement;
use crate::data::DataSet;
use crate::error::{Error, Result};
use crate::linalg::{dot, norm_squared};
use crate::network::{Weights, outputs};
use crate::problem::{Points, Scenario, Slope};
use crate::theory::{Kernel, Predictor, cross_gram, perturbations, perturbed_points};

pub use settings::settings;

/// Raster points at which kernels with all training points are formed at once.
const BLOCK: usize = 1024;
/// Samples kept for drawing, of each class.
pub const SAMPLES: usize = 150;

/// A map to make.
#[derive(Debug, Clone, PartialEq)]
pub struct Setting {
    /// Title of the panel.
    pub title: &'static str,
    /// The run whose networks are shown.
    pub run: Parameters,
    /// Ends of both axes.
    pub window: (f64, f64),
    /// Points per axis.
    pub resolution: usize,
}

/// What a map shows; arrays hold row after row, from the smallest y, each row from the smallest x.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct Map {
    /// Coordinates along one axis; both are the same.
    pub axis: Vec<f64>,
    /// f, the network's values.
    pub f: Vec<f64>,
    /// g.
    pub g: Vec<f64>,
    /// F, the limit of f per unit of time, less its start.
    pub limit_f: Vec<f64>,
    /// G, from perturbations along ∇F.
    pub limit_g: Vec<f64>,
    /// The authors' f̂.
    pub authors_f: Vec<f64>,
    /// The authors' ĝ, for the perturbed points of the trained f.
    pub authors_g: Vec<f64>,
    /// Samples (⟨x_n,e₁⟩, ⟨x_n,e₂⟩, y_n).
    pub samples: Vec<(f64, f64, f64)>,
    /// Agreement of f and g on the raster.
    pub agreement: f64,
    /// Agreement of F and G on the raster.
    pub limit_agreement: f64,
}

/// The plane of two directions.
struct Plane {
    directions: [Vec<f64>; 2],
    /// ⟨e₁, e₂⟩.
    cosine: f64,
    input_dim: usize,
}

impl Plane {
    /// Of the normalised class means.
    fn of(data: &DataSet) -> Result<Self> {
        let d = data.train.input_dim();
        let mean = |sign: f64| {
            let mut sum = vec![0.0; d];
            for (x, _) in data.train.points().iter().zip(data.train.labels()).filter(|(_, y)| **y == sign) {
                sum.iter_mut().zip(x).for_each(|(s, x)| *s += x);
            }
            let norm = norm_squared(&sum).sqrt();
            sum.iter_mut().for_each(|s| *s /= norm);
            sum
        };
        let directions = [mean(1.0), mean(-1.0)];
        let cosine = dot(&directions[0], &directions[1]);
        // One class alone, a class of mean 0, or parallel means: no plane.
        if cosine.is_nan() || 1.0 - cosine * cosine < 1e-12 {
            return Err(Error::Scalar { name: "|cosine| of the class means", value: cosine, expected: "below 1" });
        }
        Ok(Plane { directions, cosine, input_dim: d })
    }

    /// ⟨x,e₁⟩ and ⟨x,e₂⟩.
    fn project(&self, x: &[f64]) -> [f64; 2] {
        [dot(&self.directions[0], x), dot(&self.directions[1], x)]
    }

    /// The network as a function of the coordinates (x, y).
    fn restrict(&self, weights: &Weights) -> Result<Weights> {
        let d = self.input_dim;
        let hidden = weights.hidden().chunks_exact(d + 1).flat_map(|neuron| {
            let [x, y] = self.project(&neuron[..d]);
            [x, y, neuron[d]]
        });
        Weights::from_augmented(2, hidden.collect(), weights.readout().to_vec())
    }

    fn scale(&self) -> f64 {
        (3.0 / self.input_dim as f64).sqrt()
    }

    /// √(1 − ⟨e₁,e₂⟩²): the plane's second orthonormal direction is (e₂ − ⟨e₁,e₂⟩e₁)/this.
    fn sine(&self) -> f64 {
        (1.0 - self.cosine * self.cosine).sqrt()
    }

    /// Points in three dimensions with the same norms and products with the plane, scaled by √(3/d).
    fn reduce(&self, points: &Points) -> Result<Points> {
        let values = points.iter().flat_map(|x| {
            let [first, second] = self.project(x);
            let across = (second - self.cosine * first) / self.sine();
            let rest = norm_squared(x) - first * first - across * across;
            [first, across, rest.max(0.0).sqrt()].map(|v| v * self.scale())
        });
        Points::from_rows("reduced points", points.count(), 3, values.collect())
    }

    /// The point x·e₁ + y·e₂ in the same three dimensions.
    fn place(&self, [x, y]: [f64; 2]) -> [f64; 3] {
        [x + self.cosine * y, self.sine() * y, 0.0].map(|v| v * self.scale())
    }

    /// Σ_n Φ(p_n, z)(offset_n + ⟨e_n, z⟩) at raster coordinates z, for the products ⟨e_n, e₁⟩ and ⟨e_n, e₂⟩.
    fn sums(&self, points: &Points, slope: Slope, terms: &[Vec<[f64; 3]>], at: &[[f64; 2]]) -> Result<Vec<Vec<f64>>> {
        let reduced = self.reduce(points)?;
        let mut results = vec![Vec::with_capacity(at.len()); terms.len()];
        for block in at.chunks(BLOCK) {
            let places = block.iter().flat_map(|z| self.place(*z)).collect();
            let places = Points::from_rows("raster", block.len(), 3, places)?;
            let duals = cross_gram(Kernel::DerivativeDual, slope, &reduced, &places);
            for (result, terms) in results.iter_mut().zip(terms) {
                result.extend(duals.column_iter().zip(block).map(|(phi, [x, y])| {
                    let summands = phi.iter().zip(terms);
                    summands.map(|(phi, [offset, first, second])| phi * (offset + x * first + y * second)).sum::<f64>()
                }));
            }
        }
        Ok(results)
    }
}

impl Setting {
    /// Trains the run's networks and evaluates everything on the raster.
    ///
    /// # Errors
    /// As the pipeline; class means that do not span a plane.
    pub fn make(&self, data: &DataSet) -> Result<Map> {
        let recipe = self.run.recipe()?;
        let targets = self.run.draw_targets();
        let points = data.train.points();
        let f = recipe.train_f(&self.run.neurons("f/neurons")?, &data.train)?.trained.weights;
        let moved = recipe.perturb(&f, points, &targets)?;
        let g = recipe.train_g(&self.run.neurons("g/neurons")?, points, &moved, &targets)?.trained.weights;

        let plane = Plane::of(data)?;
        let axis = axis(self.window, self.resolution);
        let raster: Vec<[f64; 2]> = axis.iter().flat_map(|y| axis.iter().map(|x| [*x, *y])).collect();
        let flat = Points::from_rows("raster", raster.len(), 2, raster.concat())?;
        let values = |weights: &Weights| outputs(&plane.restrict(weights)?, recipe.slope, &flat);
        let (f_values, g_values) = (values(&f)?, values(&g)?);
        let limits = Fields::new(data, &targets, self.run.epsilon, recipe.scenario, recipe.slope, &moved)?;
        let [limit_f, limit_g, authors_f, authors_g] = limits.on(&plane, recipe.slope, &raster)?;
        let kept = |sign: f64| {
            let of_class = points.iter().zip(data.train.labels()).filter(move |(_, y)| **y == sign);
            of_class.take(SAMPLES).map(|(x, y)| (plane.project(x)[0], plane.project(x)[1], *y))
        };
        Ok(Map {
            agreement: sign_agreement(&f_values, &g_values),
            limit_agreement: sign_agreement(&limit_f, &limit_g),
            samples: kept(1.0).chain(kept(-1.0)).collect(),
            f: f_values,
            g: g_values,
            axis,
            limit_f,
            limit_g,
            authors_f,
            authors_g,
        })
    }
}

/// `count` evenly spaced numbers from end to end.
fn axis((low, high): (f64, f64), count: usize) -> Vec<f64> {
    (0..count).map(|k| low + (high - low) * k as f64 / (count.max(2) - 1) as f64).collect()
}

/// What the four limit functions need.
struct Fields<'a> {
    data: &'a DataSet,
    targets: &'a [f64],
    /// r_n^∞, from ∇F.
    limit_points: Points,
    /// r_n of the trained network.
    points: Points,
    /// v(x_n), d × N.
    weighted_sums: DMatrix<f64>,
}

impl<'a> Fields<'a> {
    fn new(
        data: &'a DataSet,
        targets: &'a [f64],
        epsilon: f64,
        scenario: Scenario,
        slope: Slope,
        moved: &DMatrix<f64>,
    ) -> Result<Self> {
        let points = data.train.points();
        let predictor = Predictor::identity(&data.train, slope, 1.0)?;
        let weighted_sums = predictor.weighted_sum(points)?;
        let gradients = predictor.boundary_term(points)? + &weighted_sums;
        let limit = perturbations(&gradients, targets, epsilon)?;
        Ok(Fields {
            data,
            targets,
            limit_points: perturbed_points(points, &limit, scenario)?,
            points: perturbed_points(points, moved, scenario)?,
            weighted_sums,
        })
    }

    /// F, G, f̂ and ĝ.
    fn on(&self, plane: &Plane, slope: Slope, raster: &[[f64; 2]]) -> Result<[Vec<f64>; 4]> {
        let scale = 1.0 / self.data.train.count() as f64;
        let terms = |points: &Points, signs: &[f64], offset: f64| -> Vec<[f64; 3]> {
            let signed = points.iter().zip(signs);
            signed
                .map(|(x, y)| {
                    let [first, second] = plane.project(x);
                    [offset, first, second].map(|v| v * y * scale)
                })
                .collect()
        };
        let (x, y) = (self.data.train.points(), self.data.train.labels());
        let mut of_f = plane.sums(x, slope, &[terms(x, y, 1.0), terms(x, y, 0.0)], raster)?;
        let limit_terms = terms(&self.limit_points, self.targets, 1.0);
        let limit_g = plane.sums(&self.limit_points, slope, &[limit_terms], raster)?.swap_remove(0);
        let along: Vec<[f64; 3]> = self
            .weighted_sums
            .as_slice()
            .chunks_exact(self.weighted_sums.nrows())
            .map(|v| {
                let [first, second] = plane.project(v);
                [0.0, scale * first, scale * second]
            })
            .collect();
        let authors_g = plane.sums(&self.points, slope, &[along], raster)?.swap_remove(0);
        let (authors_f, limit_f) = (of_f.swap_remove(1), of_f.swap_remove(0));
        Ok([limit_f, limit_g, authors_f, authors_g])
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::data::{Synthetic, synthetic};
    use crate::experiment::paper::parameters::DataName;
    use crate::experiment::paper::plan::Scale;
    use crate::network::Precision;
    use crate::theory::reference::{authors_f, authors_g};

    /// On a few points of the plane, everything again in d dimensions, by the library's own functions.
    #[test]
    fn fields_in_three_dimensions_are_those_in_d() {
        let data = synthetic(Synthetic::ShiftedGauss, 7, 30, 5, 2).unwrap();
        let images = |_: DataName| (String::new(), 0, 0);
        let mut setting = settings(Scale::Small, Precision::F64, &images).remove(0);
        for (scenario, slope) in [(Scenario::PerturbationOnly, 0.0), (Scenario::OnImage, 0.3)] {
            let sizes = Parameters { input_dim: 7, train_count: 30, width: 12, slope, scenario, ..setting.run.clone() };
            setting = Setting { run: Parameters { epsilon: 0.4, ..sizes }, resolution: 5, ..setting };
            let map = setting.make(&data).unwrap();
            let plane = Plane::of(&data).unwrap();
            let mut values = Vec::new();
            for y in &map.axis {
                for x in &map.axis {
                    values.extend((0..7).map(|i| x * plane.directions[0][i] + y * plane.directions[1][i]));
                }
            }
            let raster = Points::from_rows("raster", 25, 7, values).unwrap();

            let recipe = setting.run.recipe().unwrap();
            let targets = setting.run.draw_targets();
            let f = recipe.train_f(&setting.run.neurons("f/neurons").unwrap(), &data.train).unwrap().trained.weights;
            let moved = recipe.perturb(&f, data.train.points(), &targets).unwrap();
            let perturbed = perturbed_points(data.train.points(), &moved, scenario).unwrap();
            let g = setting.run.neurons("g/neurons").unwrap();
            let g = recipe.train_g(&g, data.train.points(), &moved, &targets).unwrap().trained.weights;
            let predictor = Predictor::identity(&data.train, recipe.slope, 1.0).unwrap();
            let limit_set =
                crate::theory::limit_training_set(&predictor, data.train.points(), &targets, 0.4, scenario, None);
            let limit_g = Predictor::identity(&limit_set.unwrap(), recipe.slope, 1.0).unwrap();
            let expected = [
                (&map.f, outputs(&f, recipe.slope, &raster).unwrap()),
                (&map.g, outputs(&g, recipe.slope, &raster).unwrap()),
                (&map.limit_f, predictor.values(&raster).unwrap()),
                (&map.limit_g, limit_g.values(&raster).unwrap()),
                (&map.authors_f, authors_f(&data.train, recipe.slope, &raster).unwrap()),
                (&map.authors_g, authors_g(&data.train, &perturbed, recipe.slope, &raster).unwrap()),
            ];
            for (index, (found, expected)) in expected.iter().enumerate() {
                let scale = expected.iter().fold(0.0_f64, |m, v| m.max(v.abs()));
                let error = found.iter().zip(expected).fold(0.0_f64, |m, (a, b)| m.max((a - b).abs()));
                // Sums of 30 terms with angles from inner products: 10⁻¹³ would be usual.
                assert!(error <= 1e-10 * scale, "{index}: {error:e} of {scale}");
            }
            let share = |[a, b]: [usize; 2]| {
                let pairs = expected[a].1.iter().zip(&expected[b].1);
                pairs.filter(|(a, b)| **a * **b > 0.0).count() as f64 / 25.0
            };
            assert_eq!((map.agreement, map.limit_agreement), (share([0, 1]), share([2, 3])));
            assert!(map.agreement != map.limit_agreement, "{scenario:?}: {}", map.agreement);
        }
    }

    /// A sample is shown at its products with the normalised class means, the first of each class, +1 before −1.
    #[test]
    fn samples_are_the_first_of_each_class_at_their_products_with_the_means() {
        let data = synthetic(Synthetic::ShiftedGauss, 3, 2 * SAMPLES + 7, 1, 5).unwrap();
        let images = |_: DataName| (String::new(), 0, 0);
        let setting = settings(Scale::Small, Precision::F64, &images).remove(0);
        let run = Parameters { input_dim: 3, train_count: 2 * SAMPLES + 7, width: 2, steps: 1, ..setting.run.clone() };
        let map = Setting { run, resolution: 2, ..setting }.make(&data).unwrap();
        let of_class = |sign: f64| {
            let all = data.train.points().iter().zip(data.train.labels());
            all.filter(|(_, y)| **y == sign).map(|(x, _)| x).collect::<Vec<_>>()
        };
        let direction = |sign: f64| {
            let sum = |i: usize| of_class(sign).iter().map(|x| x[i]).sum::<f64>();
            let sum = [0, 1, 2].map(sum);
            let norm = sum.iter().map(|s| s * s).sum::<f64>().sqrt();
            sum.map(|s| s / norm)
        };
        let product = |x: &[f64], e: [f64; 3]| x[0] * e[0] + x[1] * e[1] + x[2] * e[2];
        let mut expected = Vec::new();
        for sign in [1.0, -1.0] {
            let kept = of_class(sign).into_iter().take(SAMPLES);
            expected.extend(kept.map(|x| (product(x, direction(1.0)), product(x, direction(-1.0)), sign)));
        }
        assert_eq!(map.samples.len(), expected.len());
        for (found, expected) in map.samples.iter().zip(&expected) {
            // Sums of 154 numbers of size 1, then products of three: 154ε ≈ 3·10⁻¹⁴ of a coordinate up to 4.
            let error = (found.0 - expected.0).abs().max((found.1 - expected.1).abs());
            assert!(error < 1e-12 && found.2 == expected.2, "{found:?} {expected:?}");
        }
    }

    #[test]
    fn classes_without_a_plane_are_refused() {
        let points = Points::from_rows("x", 2, 2, vec![1.0, 0.0, -2.0, 0.0]).unwrap();
        let train = crate::problem::TrainingSet::new(points.clone(), vec![1.0, -1.0]).unwrap();
        let data = DataSet { name: "line".into(), train, test: points, test_labels: None };
        assert!(matches!(Plane::of(&data), Err(Error::Scalar { .. })));
    }
}
