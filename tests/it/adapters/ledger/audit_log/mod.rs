//! The audit log: which acts it holds, that nobody can change them, and that a change that was made all the same is found.

mod acts;
mod blocks;
mod concurrency;
mod offline;
mod operators;
mod reconciliation;
mod tampering;
