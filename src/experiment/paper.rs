//! The paper's experiments, rerun with seeds and error bars.
//!
//! - [`pipeline`]: one run, step by step as the authors' code does it;
//! - [`parameters`]: what defines a run, and the id made from it;
//! - [`plan`]: the figures' panels as lists of runs;
//! - [`limit`]: what the infinite-width theory says about a run, [`certified`]: what its bounds prove;
//! - [`sweep`]: many runs, on all cores, within bounded memory;
//! - [`store`]: finished runs in a line-delimited JSON file that survives being killed; merging of shards;
//! - [`chart`]: runs as figures, [`table`] as CSV;
//! - [`map`]: decision regions on the plane of the class means.

pub mod certified;
pub mod chart;
pub mod limit;
pub mod map;
pub mod parameters;
pub mod pipeline;
pub mod plan;
pub mod store;
pub mod sweep;
pub mod table;

#[cfg(test)]
mod tests {
    //! Made-up requests and runs that the tests of this module share.

    use super::parameters::{DataName, PIPELINE, Parameters, Targets};
    use super::pipeline::Merits;
    use super::plan::{FigureName, ImageSet, Plan, Request, Scale};
    use super::store::Record;
    use crate::loss::StandardLoss;
    use crate::network::{Initialisation, Precision};
    use crate::problem::Scenario;

    /// A small run.
    pub fn example() -> Parameters {
        Parameters {
            pipeline: PIPELINE,
            data: DataName::ShiftedGauss,
            data_digest: None,
            input_dim: 5,
            train_count: 20,
            scenario: Scenario::PerturbationOnly,
            loss: StandardLoss::Identity,
            slope: 0.25,
            width: 8,
            initialisation: Initialisation::Standard,
            epsilon: 0.1,
            steps: 3,
            steps_perturbed: 4,
            learning_rate: 0.1,
            learning_rate_perturbed: 1.0,
            targets: Targets::Random,
            precision: Precision::F32,
            seed: 7,
        }
    }

    /// Both image sets, as if embedded.
    pub fn images() -> Vec<ImageSet> {
        [(DataName::Mnist, 1600), (DataName::Fashion, 1000)]
            .map(|(name, train_count)| ImageSet { name, digest: "d".into(), input_dim: 784, train_count })
            .into()
    }

    pub fn request(figures: &[FigureName], scale: Scale) -> Request {
        let (panels, precision) = (Vec::new(), Precision::F32);
        let (limits, images) = (true, images());
        Request { figures: figures.into(), panels, first_seed: 0, seeds: 2, scale, precision, limits, images }
    }

    /// A finished run with made-up figures of merit.
    pub fn record(parameters: &Parameters) -> Record {
        let merits = Merits {
            accuracy_f: 0.1,
            accuracy_g: 1.0 / 3.0,
            accuracy_f_test: None,
            accuracy_g_test: Some(0.5),
            agreement: 0.25,
            accuracy_g_centred: 0.75,
            agreement_centred: 0.5,
            cosine: 0.9,
            zero_gradients: 1,
            target_sum: -4.0,
            mean_g: 1e-3,
            limit_offset: Some(2e-3),
            spread_g: 2.0,
            time: 100.0,
            time_perturbed: 10.0,
            last_learning_rate: 0.1,
            last_learning_rate_perturbed: 0.01,
            last_loss: -1.0,
            last_loss_perturbed: -2.0,
            flip_share_f: 0.1,
            flip_share_g: 0.2,
            kernel_change_f: 0.3,
            kernel_change_g: 0.4,
            limit_agreement: None,
            limit_cosine: Some(0.99),
            certified_share: Some(0.125),
        };
        Record::new(parameters.clone(), Ok(merits)).unwrap()
    }

    pub fn setting() -> (Request, Plan) {
        let request = request(&[FigureName::Width], Scale::Small);
        let plan = Plan::new(&request).unwrap();
        (request, plan)
    }
}
