//! Trainer processes of this machine.

use std::path::Path;

/// Process ids of the trainer children that work on jobs below this folder.
pub fn children_in(folder: &Path) -> Vec<u32> {
    let processes = std::fs::read_dir("/proc").unwrap().flatten();
    let ids = processes.filter_map(|entry| entry.file_name().to_str()?.parse::<u32>().ok());
    ids.filter(|id| {
        let line = std::fs::read(format!("/proc/{id}/cmdline")).unwrap_or_default();
        let line = String::from_utf8_lossy(&line).into_owned();
        line.contains("trainer-child") && line.contains(folder.to_str().unwrap())
    })
    .collect()
}
