//! What one sender may do to others: nothing. Each test sends an attack beside a good request of somebody else, and
//! asserts that the good one is admitted, run, announced and published in the usual time, that memory stays bounded,
//! and what the attacker gets. docs/security.md has the same table for readers.

mod batches;
mod bundles;
mod callers;
mod claims;
mod connections;
mod documents;
mod generator;
mod ids;
mod objects;
mod outbox;
mod positions;
mod records;
mod roles;
mod runs;
mod sandbox;
mod scratch;
