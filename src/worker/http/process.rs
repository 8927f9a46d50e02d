//! What the worker's own process takes of the machine, under the names that every Prometheus client gives it.

use crate::telemetry::metrics;
use procfs::ProcResult;
use procfs::process::Process;

/// Sets the metrics of the process, where this system tells of it.
pub(super) fn measure() {
    // Figures that are not there are missing on the page, and nothing else depends on them.
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
