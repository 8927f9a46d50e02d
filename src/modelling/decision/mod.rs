//! Turns scores into decisions: chooses the thresholds of operating points on the validation window, measures them on the
//! test window, and says what changes against the champion.
//!
//! Never: chooses a threshold, or fits a map, by a row of the test window.

mod champion;
mod choose;
mod point;
mod rows;
mod score_map;
mod swap;

pub use champion::{ChampionScores, against_champion};
pub use point::{DecisionBasis, operating_points};
pub use rows::DecisionRows;
pub use score_map::mapped;
