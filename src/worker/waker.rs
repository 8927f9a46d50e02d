//! Keeps the loops apart: one that blocks its thread must not stop the others.
//!
//! Only one thread of tokio's runtime waits for sockets and timers at a time. If exactly one task becomes ready there, that
//! thread runs the task itself and wakes no other. If the task then blocks, nobody waits for sockets and timers any
//! more: every loop stands still, and `/livez` does not answer. Any task that is spawned from outside wakes another
//! thread, which takes over.

use std::sync::mpsc::{RecvTimeoutError, Sender, channel};
use std::time::Duration;
use tokio::runtime::Handle;

/// How long the loops may stand still because of one that blocks its thread.
const EVERY: Duration = Duration::from_secs(1);

/// A thread that wakes the runtime once a second; it ends when this is dropped.
pub(super) struct RuntimeWaker {
    _end: Sender<()>,
}

impl RuntimeWaker {
    pub(super) fn start(runtime: Handle) -> std::io::Result<Self> {
        let (end, ended) = channel();
        std::thread::Builder::new().name("waker".to_owned()).spawn(move || {
            while ended.recv_timeout(EVERY) == Err(RecvTimeoutError::Timeout) {
                runtime.spawn(async {});
            }
        })?;
        Ok(Self { _end: end })
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_task_that_blocks_its_thread_does_not_stop_the_timers_of_the_others() {
        let runtime = tokio::runtime::Builder::new_multi_thread().worker_threads(2).enable_all().build().unwrap();
        let _waker = RuntimeWaker::start(runtime.handle().clone()).unwrap();
        runtime.spawn(async {
            tokio::time::sleep(Duration::from_millis(100)).await;
            loop {
                std::thread::park();
            }
        });
        let (sender, receiver) = channel();
        runtime.spawn(async move {
            tokio::time::sleep(Duration::from_millis(200)).await;
            sender.send(()).unwrap();
        });
        receiver.recv_timeout(Duration::from_secs(30)).expect("the second timer fires");
        runtime.shutdown_background();
    }
}
