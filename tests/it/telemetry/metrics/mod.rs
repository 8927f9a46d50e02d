//! Metrics: what is counted, the page of a real worker, and its documentation.
#![expect(clippy::float_cmp, reason = "counts are whole numbers, and come through text unchanged")]

mod catalogue;
mod counted;
mod document;
mod scraped;
mod worker;
