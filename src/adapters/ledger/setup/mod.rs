//! Checks before the first transaction: connection, schema, rights.

mod migrations;
mod survey;
mod transport;

pub use survey::{SchemaState, ServerState};
pub(super) use transport::connect_options;
