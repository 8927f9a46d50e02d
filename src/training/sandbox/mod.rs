//! Confines child processes. Every child gets limits of the kernel. A registered command also gets Landlock, a control
//! group, and a watcher process between the command and the worker.
//!
//! ```text
//! worker ─ trainer-watch (watcher: counts, kills) ─ trainer-exec (confines itself) ═ exec ═ the command ─ what it starts
//! ```
//!
//! Guarantees: a child ends when its worker ends. When the watcher returns, no process of the command lives.

mod descendants;
mod exec;
mod landlock;
mod limits;
mod watcher;

pub use self::landlock::{Enforcement, check_confinement, enforcement};
pub(super) use descendants::living_below;
pub use exec::exec_command;
pub(super) use limits::limit_this_process;
pub(super) use watcher::watch_command;
