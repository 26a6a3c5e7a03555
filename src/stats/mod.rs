//! Statistics with stated error probabilities: exact binomial tails, intervals, rates, and the suite's error budget.

mod binomial;
pub mod budget;
mod moments;
mod permutation;
mod rate;
mod squares;

pub use binomial::{binomial_upper_tail, clopper_pearson, power, rejection_count};
pub use moments::{mean, mean_interval, median, quantile, variance};
pub use permutation::permutation_tails;
pub use rate::{RateFit, TwoPowers, fit_power_of_mean, fit_rate, fit_two_powers, student_quantile};
pub use squares::{Squares, mean_square_interval};
