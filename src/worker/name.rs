//! The name of a worker in leases, events and metrics.

use crate::clock;
use anyhow::bail;

/// `host-pid-start`: no other worker, living or dead, has it.
pub fn unique_name() -> anyhow::Result<String> {
    let host = nix::unistd::gethostname()?.to_string_lossy().into_owned();
    let pid = std::process::id();
    // A restarted container has the same host and pid.
    let started = clock::since_epoch().as_millis();
    let name = format!("{host}-{pid}-{started}");
    if name.len() > 200 {
        bail!("the host name is too long for a worker's name");
    }
    Ok(name)
}
