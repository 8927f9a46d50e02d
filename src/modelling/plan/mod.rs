//! From a request and its documents to the resolved train plan.
//!
//! Guarantees: everything that decides what the model will be is in the plan; documents that do not fit together end
//! the run before a row is read.

mod checks;
mod documents;
mod earlier;
mod measurable;
mod planned_split;
mod resolve;

pub use documents::{Fetched, FetchedBundle, Sources};
pub use earlier::{EarlierRole, eval_report_of, named_bundles};
pub use resolve::resolve;
