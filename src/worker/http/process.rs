//! CPU, memory and file descriptors of the worker's own process, under the names that Prometheus clients use.

use crate::telemetry::metrics;
use procfs::ProcResult;
use procfs::process::Process;

/// Sets the metrics of the process, where the system has procfs.
pub(super) fn measure() {
    // Nothing depends on these metrics: where they cannot be read, they are missing on the page.
    let _ = read();
}

fn read() -> ProcResult<()> {
    let process = Process::myself()?;
    let stat = process.stat()?;
    let ticks = procfs::ticks_per_second().max(1);
    metrics::PROCESS_CPU.set_total((), (stat.utime + stat.stime) / ticks);
    metrics::PROCESS_MEMORY.set((), (stat.rss * procfs::page_size()) as f64);
    metrics::PROCESS_OPEN_FDS.set((), process.fd_count()? as f64);
    metrics::PROCESS_START.set((), procfs::boot_time_secs()? as f64 + stat.starttime as f64 / ticks as f64);
    Ok(())
}
