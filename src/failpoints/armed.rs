//! Arms one failpoint of this process, and acts when the process reaches it. Debug builds only.

use super::{Injected, POINTS};
use nix::sys::signal::{Signal, kill};
use nix::sys::socket::{Shutdown, SockaddrIn, getpeername, shutdown};
use nix::unistd::Pid;
use serde::Deserialize;
use std::path::PathBuf;
use std::sync::OnceLock;
use std::sync::atomic::{AtomicBool, Ordering};

/// What the armed failpoint does when the process reaches it for the first time.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum FailpointAction {
    Kill,
    /// The failpoint returns an error.
    Error,
    /// Every connection to the database is closed.
    Cut,
    /// The thread sleeps for ever.
    Stall,
}

/// The section `[fault]` of the configuration.
#[derive(Debug, Clone, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct FailpointSettings {
    /// The name of the failpoint, one of [`POINTS`].
    pub point: String,
    pub action: FailpointAction,
    /// The file that the failpoint writes before it acts. A test sees by this file that the failpoint was reached.
    pub mark: PathBuf,
    /// The port of the database. The action `cut` closes the connections to this port.
    pub database_port: u16,
}

static ARMED: OnceLock<FailpointSettings> = OnceLock::new();
static FIRED: AtomicBool = AtomicBool::new(false);

/// Arms one failpoint. Returns an error for an unknown name, since the test would wait for it in vain, and for a second
/// call.
pub fn arm(settings: FailpointSettings) -> Result<(), String> {
    if !POINTS.contains(&settings.point.as_str()) {
        return Err(format!("[fault] there is no point {:?}", settings.point));
    }
    ARMED.set(settings).map_err(|_| "[fault] is armed already".to_owned())
}

pub(super) fn fire(point: &'static str) -> Result<(), Injected> {
    let Some(armed) = ARMED.get() else { return Ok(()) };
    if armed.point != point || FIRED.swap(true, Ordering::SeqCst) {
        return Ok(());
    }
    tracing::warn!(point, action = ?armed.action, "a fault is injected");
    let _ = std::fs::write(&armed.mark, point);
    match armed.action {
        FailpointAction::Kill => {
            let _ = kill(Pid::this(), Signal::SIGKILL);
        }
        FailpointAction::Error => return Err(Injected(point)),
        FailpointAction::Cut => cut(armed.database_port),
        FailpointAction::Stall => loop {
            std::thread::park();
        },
    }
    Ok(())
}

/// Shuts down every socket that is connected to this port.
fn cut(port: u16) {
    let folder = std::fs::read_dir("/proc/self/fd").into_iter().flatten().flatten();
    let open: Vec<i32> = folder.filter_map(|entry| entry.file_name().to_str()?.parse().ok()).collect();
    for descriptor in open {
        // A test's database listens on IPv4 loopback. Any other socket has no peer of the type `SockaddrIn`.
        if getpeername::<SockaddrIn>(descriptor).is_ok_and(|peer| peer.port() == port) {
            let _ = shutdown(descriptor, Shutdown::Both);
        }
    }
}
