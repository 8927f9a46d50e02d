//! Confines child processes. Every child gets limits of the kernel. A registered command also gets Landlock, seccomp,
//! namespaces, a control group, and a watcher process between the command and the worker.
//!
//! ```text
//! worker ─ trainer-watch (counts, kills) ─ trainer-init ─ trainer-exec (confines itself) ═ exec ═ the command ─ …
//!                                          (process 1; only where the host allows namespaces)
//! ```
//!
//! Guarantees: a child ends when its worker ends. When the watcher returns, no process of the command lives.

mod calls;
mod descendants;
mod exec;
mod groups;
mod held;
mod host;
mod init;
mod landlock;
mod limits;
mod namespaces;
mod seccomp;
mod watcher;

pub use self::landlock::{Enforcement, check_confinement, enforcement, readable_paths};
pub(super) use descendants::living_below;
pub use exec::exec_command;
pub use host::{HostLayers, try_host};
pub use init::init_command;
pub(super) use limits::limit_this_process;
pub(super) use watcher::watch_command;
