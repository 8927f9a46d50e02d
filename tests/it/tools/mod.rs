//! The commands that look at a bundle, or at a whole set-up, from outside.

mod doctor;
mod reproduce;
mod score;
pub mod verify;
