//! Names the places in the code where a test lets this process die, return an error, or lose its database connections.
//!
//! Every place where a crash matters has a name, and the test suite goes through all of them. Never: acts in a release
//! build, or twice in one process.

#[cfg(debug_assertions)]
mod armed;
mod points;

#[cfg(debug_assertions)]
pub use armed::{FailpointAction, FailpointSettings, arm};
pub use points::{Injected, POINTS};

/// Acts as configured if a test armed this failpoint. Otherwise does nothing.
#[cfg_attr(not(debug_assertions), expect(clippy::unnecessary_wraps, reason = "a release has no armed points"))]
#[inline]
pub fn failpoint(point: &'static str) -> Result<(), Injected> {
    #[cfg(debug_assertions)]
    armed::fire(point)?;
    #[cfg(not(debug_assertions))]
    let _ = point;
    Ok(())
}
