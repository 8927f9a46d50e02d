//! Ends resolving with a failure of the run.

use crate::domain::run::{Failure, FailureCode};

pub(super) fn fail<T>(code: FailureCode, message: impl Into<String>) -> Result<T, Failure> {
    Err(Failure::new(code, message))
}
