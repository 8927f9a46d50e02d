//! A guard around foreign bytes: a panic while one record is read, judged or stored becomes an error of that record.
//!
//! Guarantees: the caller goes on; a guarded panic prints nothing, so that a flood of hostile records is no flood of
//! backtraces; what it said is bounded and harmless. Never: hides a panic outside of a guard.

use crate::domain::harmless::line;
use std::any::Any;
use std::cell::{Cell, RefCell};
use std::future::poll_fn;
use std::panic::{AssertUnwindSafe, catch_unwind, set_hook, take_hook};
use std::pin::pin;
use std::sync::Once;
use std::task::Poll;

/// What a guarded panic said, and where.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[error("{0}")]
pub struct Panicked(String);

/// Upper bound on what is kept of a panic's message, in bytes.
const CAP: usize = 400;

thread_local! {
    static IS_GUARDED: Cell<bool> = const { Cell::new(false) };
    static PANICKED_AT: RefCell<String> = const { RefCell::new(String::new()) };
}

/// Does the work; a panic in it is an error. What the work had borrowed may be half changed: the caller drops it, or
/// knows that a half change does no harm.
pub fn guarded<T>(work: impl FnOnce() -> T) -> Result<T, Panicked> {
    install_quiet_hook();
    let outer = IS_GUARDED.replace(true);
    let done = catch_unwind(AssertUnwindSafe(work));
    IS_GUARDED.set(outer);
    done.map_err(|payload| {
        let place = PANICKED_AT.take();
        Panicked(line(&format!("{} at {place}", said(payload.as_ref())), CAP))
    })
}

/// Like [`guarded`] for a future. A future that panicked is dropped.
pub async fn guarded_future<F: Future>(work: F) -> Result<F::Output, Panicked> {
    let mut work = pin!(work);
    poll_fn(|context| match guarded(|| work.as_mut().poll(context)) {
        Ok(Poll::Pending) => Poll::Pending,
        Ok(Poll::Ready(output)) => Poll::Ready(Ok(output)),
        Err(panicked) => Poll::Ready(Err(panicked)),
    })
    .await
}

fn said(payload: &(dyn Any + Send)) -> &str {
    let text = payload.downcast_ref::<String>().map(String::as_str);
    text.or_else(|| payload.downcast_ref::<&str>().copied()).unwrap_or("a panic without words")
}

/// Installs a panic hook that prints nothing of a guarded panic, and leaves every other panic to the hook before it.
fn install_quiet_hook() {
    static INSTALLED: Once = Once::new();
    INSTALLED.call_once(|| {
        let others = take_hook();
        set_hook(Box::new(move |panic| {
            if IS_GUARDED.get() {
                PANICKED_AT.set(panic.location().map(ToString::to_string).unwrap_or_default());
            } else {
                others(panic);
            }
        }));
    });
}

#[cfg(test)]
mod tests {
    use super::*;
    use futures::FutureExt as _;
    use std::future::ready;

    #[test]
    fn a_panic_is_an_error_that_says_what_and_where() {
        assert_eq!(guarded(|| 7), Ok(7));
        let Panicked(said) = guarded(|| panic!("header \u{1b}[31m{}", "x".repeat(10_000))).unwrap_err();
        assert!(said.starts_with("header \\u{1b}[31mxx") && said.len() <= CAP, "{said}");
        let Panicked(said) = guarded(|| panic!("nothing there")).unwrap_err();
        assert!(said.starts_with("nothing there at src/guard.rs:"), "{said}");
    }

    #[test]
    fn a_guard_within_a_guard_leaves_the_outer_one_up() {
        let both = guarded(|| {
            assert!(guarded(|| panic!("inner")).is_err());
            assert!(IS_GUARDED.get());
        });
        assert_eq!(both, Ok(()));
        assert!(!IS_GUARDED.get());
    }

    #[test]
    fn a_future_that_panics_is_an_error() {
        assert_eq!(guarded_future(ready(1)).now_or_never(), Some(Ok(1)));
        assert!(guarded_future(async { panic!("late") }).now_or_never().unwrap().is_err());
    }
}
