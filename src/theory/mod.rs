//! Closed forms of the infinite-width limit; knows nothing of simulation.
