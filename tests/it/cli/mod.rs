//! What commands say to people.

mod dead_letters;
mod failure_codes;
mod next_steps;
mod readme;
