//! Sets the database up and checks it: migrations, options of a connection, version of the schema, rights.

mod migrations;
mod survey;
mod transport;

pub use survey::{SchemaState, ServerState};
pub(super) use transport::connect_options;
