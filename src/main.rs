//! The command line of Model Factory.
fn main() {}
