//! What the rules report.

/// A guarantee that does not hold, and what shows it.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Violation {
    pub guarantee: &'static str,
    pub witness: String,
}

pub type Found<'a> = &'a mut Vec<Violation>;

pub fn broken(found: Found<'_>, guarantee: &'static str, witness: impl Into<String>) {
    found.push(Violation { guarantee, witness: witness.into() });
}
