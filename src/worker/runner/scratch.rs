//! The scratch folder: each attempt that trains has a job folder in it, with labelled data.
//!
//! The attempt removes its job folder when it ends. A worker that is killed leaves its job folders. Any worker that uses
//! the same scratch folder removes those, at its start and every `SWEEP_EVERY`.
//!
//! A lock says whether an attempt lives: the worker holds the lock on a file in the job folder, and the kernel releases
//! it when the process ends, however it ends. A process id could not say so: ids are used again, and a container has
//! its own.
//!
//! Guarantees: a folder has the name of a job only while its lock is held or once its worker is gone, so a sweep never
//! removes the folder of a live attempt. Never: follows a link, or removes anything that is not named like a job folder.

use crate::clock;
use crate::domain::identity::RunId;
use crate::telemetry::metrics;
use std::fs::{self, File, TryLockError};
use std::io::{self, ErrorKind};
use std::os::unix::fs::{DirBuilderExt as _, MetadataExt as _, PermissionsExt as _};
use std::path::{Path, PathBuf};
use std::time::{Duration, SystemTime};
use tokio::sync::watch;
use tracing::{info, warn};

/// Pause between two sweeps. A sweep lists one folder and tries one lock for each job folder in it.
const SWEEP_EVERY: Duration = Duration::from_secs(10);
/// A job folder without a lock file, or one that never got its name, is removed at this age.
const UNLOCKED_AGE: Duration = Duration::from_hours(24);
/// The mode of a folder that only its owner may enter.
const PRIVATE: u32 = 0o700;
/// The bit of a folder in which users remove only their own files.
const STICKY: u32 = 0o1000;
const LOCK: &str = ".lock";
/// A job folder has this prefix until its lock is held.
const NEW: &str = ".new-";

#[derive(Debug, Clone)]
pub struct Scratch(PathBuf);

/// The job folder of one attempt. Dropping this value removes the folder.
#[derive(Debug)]
pub(super) struct JobFolder {
    path: PathBuf,
    /// Declared last, since fields are dropped in order after the folder is removed.
    _lock: File,
}

impl Scratch {
    /// Makes the folder if it is not there. Closes it to other users, unless it is shared with them, such as `/tmp`.
    pub(super) fn open(folder: &Path) -> io::Result<Self> {
        fs::DirBuilder::new().recursive(true).mode(PRIVATE).create(folder)?;
        let found = fs::metadata(folder)?;
        let shared = found.uid() != nix::unistd::geteuid().as_raw() || found.mode() & STICKY != 0;
        if !shared && found.mode() & 0o077 != 0 {
            fs::set_permissions(folder, fs::Permissions::from_mode(PRIVATE))?;
        }
        std::path::absolute(folder).map(Self)
    }

    pub(super) fn path(&self) -> &Path {
        &self.0
    }

    /// Makes the job folder of an attempt, and holds its lock until the returned value is dropped.
    pub(super) fn job_folder(&self, run_id: &RunId, fence: i64) -> io::Result<JobFolder> {
        let new = tempfile::Builder::new()
            .prefix(&format!("{NEW}{run_id}-{fence}-"))
            .permissions(fs::Permissions::from_mode(PRIVATE))
            .tempdir_in(&self.0)?;
        let lock = File::create_new(new.path().join(LOCK))?;
        match lock.try_lock() {
            Ok(()) => {}
            // Where the file system has no locks, no worker can take this one, and none removes the folder.
            Err(TryLockError::Error(error)) if error.kind() == ErrorKind::Unsupported => {}
            Err(error) => return Err(io::Error::from(error)),
        }
        let name = new.path().file_name().and_then(|name| name.to_str()?.strip_prefix(NEW));
        let path = self.0.join(name.ok_or(ErrorKind::InvalidFilename)?);
        fs::rename(new.path(), &path)?;
        let _renamed = new.keep();
        Ok(JobFolder { path, _lock: lock })
    }

    /// Sweeps at once and every `SWEEP_EVERY`, until `shutdown` turns true.
    pub async fn keep_clean(self, mut shutdown: watch::Receiver<bool>) {
        while !*shutdown.borrow() {
            let scratch = self.clone();
            // Removing gigabytes takes a while. The shutdown does not wait for it: the next sweep removes the rest.
            let sweeping = tokio::task::spawn_blocking(move || scratch.sweep());
            tokio::select! {
                swept = sweeping => match swept {
                    Ok(Ok(())) => {}
                    Ok(Err(error)) => {
                        warn!(folder = %self.0.display(), %error, "the scratch folder cannot be swept ([trainer] scratch)");
                    }
                    Err(error) => warn!(%error, "a sweep of the scratch folder failed"),
                },
                _ = shutdown.wait_for(|stop| *stop) => return,
            }
            let _ = tokio::time::timeout(SWEEP_EVERY, shutdown.wait_for(|stop| *stop)).await;
        }
    }

    fn sweep(&self) -> io::Result<()> {
        for entry in fs::read_dir(&self.0)? {
            let entry = entry?;
            let name = entry.file_name();
            if name.to_str().is_some_and(is_job) && entry.file_type()?.is_dir() {
                remove_abandoned(&entry.path());
            }
        }
        Ok(())
    }
}

impl JobFolder {
    pub(super) fn path(&self) -> &Path {
        &self.path
    }
}

impl Drop for JobFolder {
    fn drop(&mut self) {
        if let Err(error) = fs::remove_dir_all(&self.path) {
            // The lock is released next, so a later sweep removes the folder.
            warn!(folder = %self.path.display(), %error, "a job folder cannot be removed yet");
        }
    }
}

/// Returns whether a name is that of a job folder: run, fence and six random letters or digits, maybe after `NEW`.
fn is_job(name: &str) -> bool {
    let mut parts = name.strip_prefix(NEW).unwrap_or(name).rsplitn(3, '-');
    let (random, fence, run) = (parts.next(), parts.next(), parts.next());
    random.is_some_and(|random| random.len() == 6 && random.bytes().all(|byte| byte.is_ascii_alphanumeric()))
        && fence.is_some_and(|fence| fence.parse::<i64>().is_ok())
        && run.is_some_and(|run| run.parse::<RunId>().is_ok())
}

/// Removes a job folder if its worker is gone, and logs that.
fn remove_abandoned(folder: &Path) {
    let age = fs::metadata(folder).and_then(|found| found.modified()).map_or(Duration::ZERO, age_of);
    // The lock is held until the folder is removed, so that two workers do not remove one folder at the same time.
    let lock = File::open(folder.join(LOCK));
    let is_new = folder.file_name().is_some_and(|name| name.to_string_lossy().starts_with(NEW));
    let is_lost = match &lock {
        Ok(lock) => lock.try_lock().is_ok() && (!is_new || age > UNLOCKED_AGE),
        Err(error) => error.kind() == ErrorKind::NotFound && age > UNLOCKED_AGE,
    };
    if !is_lost {
        return;
    }
    match fs::remove_dir_all(folder) {
        Ok(()) => {
            metrics::SCRATCH_SWEPT.count(());
            info!(folder = %folder.display(), age_seconds = age.as_secs(), "removed what a lost attempt left in scratch");
        }
        // Another worker removed it.
        Err(error) if error.kind() == ErrorKind::NotFound => {}
        Err(error) => {
            warn!(folder = %folder.display(), %error, "what a lost attempt left in scratch cannot be removed");
        }
    }
}

fn age_of(modified: SystemTime) -> Duration {
    clock::system_time().duration_since(modified).unwrap_or_default()
}

#[cfg(test)]
mod tests {
    use super::*;

    fn scratch() -> (tempfile::TempDir, Scratch) {
        let folder = tempfile::tempdir().unwrap();
        let scratch = Scratch::open(&folder.path().join("scratch")).unwrap();
        (folder, scratch)
    }

    fn run_id() -> RunId {
        "tr_0123456789abcdef0123456789abcdef".parse().unwrap()
    }

    #[test]
    fn scratch_and_its_job_folders_are_closed_to_others() {
        let mode = |path: &Path| fs::metadata(path).unwrap().mode() & 0o7777;
        let (folder, new) = scratch();
        assert_eq!(mode(new.path()), PRIVATE);
        let job = new.job_folder(&run_id(), 1).unwrap();
        assert_eq!(mode(job.path()), PRIVATE);
        for (before, after) in [(0o755, PRIVATE), (0o1777, 0o1777)] {
            let path = folder.path().join(before.to_string());
            fs::create_dir(&path).unwrap();
            fs::set_permissions(&path, fs::Permissions::from_mode(before)).unwrap();
            let opened = Scratch::open(&path).unwrap();
            assert_eq!(mode(&path), after);
            assert_eq!(mode(opened.job_folder(&run_id(), 1).unwrap().path()), PRIVATE);
        }
    }

    #[test]
    fn a_sweep_removes_what_nobody_holds_and_nothing_else() {
        let (_folder, scratch) = scratch();
        let live = scratch.job_folder(&run_id(), 1).unwrap();
        fs::write(live.path().join("train.parquet"), "labels").unwrap();
        let lost = scratch.job_folder(&run_id(), 2).unwrap();
        fs::create_dir(lost.path().join("data")).unwrap();
        fs::write(lost.path().join("data/0.parquet"), "labels").unwrap();
        let lost_at = lost.path().to_owned();
        // Its worker ends without dropping it: only the lock is gone.
        let copy = scratch.path().join(format!("{}-3-abcdef", run_id()));
        fs::rename(&lost_at, &copy).unwrap();
        drop(lost);
        let others = ["notes-1-abcdef", "data", "tr_x-1-abcdef"].map(|name| scratch.path().join(name));
        for path in &others {
            fs::create_dir(path).unwrap();
        }
        let link = scratch.path().join(format!("{}-4-abcdef", run_id()));
        std::os::unix::fs::symlink(&others[1], &link).unwrap();
        let unlocked = scratch.path().join(format!("{}-5-abcdef", run_id()));
        fs::create_dir(&unlocked).unwrap();
        scratch.sweep().unwrap();
        assert!(!copy.exists());
        assert!(live.path().join("train.parquet").exists());
        assert!(link.is_symlink() && others.iter().all(|path| path.exists()));
        assert!(unlocked.exists(), "one without a lock is left for a day");
        File::open(&unlocked).unwrap().set_modified(clock::system_time() - UNLOCKED_AGE * 2).unwrap();
        scratch.sweep().unwrap();
        assert!(!unlocked.exists());
        let live_at = live.path().to_owned();
        drop(live);
        assert!(!live_at.exists());
    }
}
