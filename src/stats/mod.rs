//! Statistics with stated error probabilities: exact binomial tails, intervals, rates, and the suite's error budget.

mod binomial;
pub mod budget;
mod moments;
mod rate;
mod squares;

pub use binomial::{binomial_upper_tail, clopper_pearson, power, rejection_count};
pub use moments::{difference_interval, mean, mean_interval, median, quantile, variance};
pub use rate::{RateFit, TwoPowers, fit_rate, fit_two_powers, student_quantile};
pub use squares::{Squares, fit_constant_of_squares, mean_square_interval};
