//! Defines the commands that an operator registers as `[trainer.commands.<name>]`, and the files about a command that
//! Model Factory's own processes exchange. A training profile only names a command. The operator sets its program,
//! arguments and rights.

use crate::domain::contract::{Limits, ModelFormat, PinnedCommand, ProcessAlgorithm, ResolvedAlgorithm};
use crate::domain::identity::{Digest, Hasher, canonical_json};
use crate::domain::run::{Failure, FailureCode};
use serde::{Deserialize, Serialize};
use std::collections::BTreeMap;
use std::fs::File;
use std::io::{self, Read as _};
use std::path::{Path, PathBuf};

#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct TrainerRegistration {
    /// The absolute path of the program.
    pub program: PathBuf,
    /// The program's arguments. Arguments that are absolute paths of files are pinned by digest, and the command may
    /// read these files.
    #[serde(default)]
    pub arguments: Vec<String>,
    /// The value of `PATH` in the command's environment.
    #[serde(default = "TrainerRegistration::default_path")]
    pub path: String,
    /// Files and folders that the command may read, in addition to the system's libraries and the program's own folder.
    #[serde(default)]
    pub read: Vec<PathBuf>,
    /// Folders that the command may write to, in addition to its work folder.
    #[serde(default)]
    pub write: Vec<PathBuf>,
    /// If true, the command may use TCP and UDP, and sees the host's network. The processes of a cluster need it to talk
    /// to each other.
    #[serde(default)]
    pub network: bool,
    /// If true, the command may make Unix sockets, and connect to every such socket that the worker's user may open. The
    /// start method `forkserver` of Python's multiprocessing needs it.
    // Left out where it is false, so that plans of earlier releases keep their digest of the registration.
    #[serde(default, skip_serializing_if = "std::ops::Not::not")]
    pub unix_sockets: bool,
    /// If true, the command's model may be a pickle, which runs code when it is loaded.
    #[serde(default)]
    pub allow_pickle: bool,
}

/// Registrations by the name of their command.
pub type TrainerRegistrations = BTreeMap<String, TrainerRegistration>;

impl TrainerRegistration {
    /// Registers a program with nothing but what is usual.
    pub fn of_program(program: PathBuf) -> Self {
        Self {
            program,
            arguments: Vec::new(),
            path: Self::default_path(),
            read: Vec::new(),
            write: Vec::new(),
            network: false,
            unix_sockets: false,
            allow_pickle: false,
        }
    }

    fn default_path() -> String {
        "/usr/local/bin:/usr/bin:/bin".to_owned()
    }

    /// Hashes the program and the scripts, so that a plan can state exactly what trained the model.
    pub fn pin(&self) -> io::Result<PinnedCommand> {
        let registration = serde_json::to_value(self).map_err(io::Error::other)?;
        let script = |path: &str| Ok((path.to_owned(), digest_of(Path::new(path))?));
        let files = self.scripts().map(script).collect::<io::Result<_>>()?;
        Ok(PinnedCommand {
            registration_sha256: Digest::of(canonical_json(&registration).as_bytes()),
            program_sha256: digest_of(&self.program)?,
            files,
        })
    }

    pub fn scripts(&self) -> impl Iterator<Item = &str> {
        self.arguments.iter().map(String::as_str).filter(|text| text.starts_with('/') && Path::new(text).is_file())
    }

    /// Checks the name and the registration. The error says why a worker cannot offer this command.
    pub fn check(&self, name: &str) -> Result<(), String> {
        let first = name.starts_with(|c: char| c.is_ascii_lowercase());
        let rest = name.chars().all(|c| c.is_ascii_lowercase() || c.is_ascii_digit() || "_-".contains(c));
        if !(first && rest && name.len() <= 64) {
            return Err(format!("trainer command {name:?}: a name is [a-z][a-z0-9_-]*, at most 64 characters"));
        }
        let folders = self.read.iter().chain(&self.write);
        if let Some(path) = folders.chain([&self.program]).find(|path| !path.is_absolute()) {
            return Err(format!("trainer command {name:?}: {} is not an absolute path", path.display()));
        }
        let unusable = |error| format!("trainer command {name:?}: {}: {error}", self.program.display());
        self.pin().map(drop).map_err(unusable)
    }
}

/// Returns the name and registration of the command that a plan names. Returns the failure `TRAINING_PROFILE_INVALID`
/// if this worker has no such command.
pub fn registered<'a>(
    algorithm: &'a ProcessAlgorithm,
    commands: &'a TrainerRegistrations,
) -> Result<(&'a str, &'a TrainerRegistration), Failure> {
    let name = algorithm.id.trim_start_matches(ResolvedAlgorithm::PROCESS);
    commands.get(name).map(|registration| (name, registration)).ok_or_else(|| {
        let message = format!("no trainer command {name:?} is registered here ([trainer.commands.{name}])");
        Failure::new(FailureCode::TrainingProfileInvalid, message)
    })
}

/// Hashes a file of any size in constant memory.
pub fn digest_of(path: &Path) -> io::Result<Digest> {
    let mut file = File::open(path)?;
    let mut hasher = Hasher::new();
    let mut buffer = vec![0; 256 * 1024];
    loop {
        match file.read(&mut buffer)? {
            0 => return Ok(hasher.finish()),
            read => hasher.update(&buffer[..read]),
        }
    }
}

/// The file `command.json` in the job directory. It says which command the watcher starts, and under which limits.
#[derive(Debug, Clone, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct CommandSpec {
    pub registration: TrainerRegistration,
    /// The digests that the program and the scripts must have when the watcher starts.
    pub pinned: PinnedCommand,
    pub limits: Limits,
    /// Layers of the sandbox that a test leaves out, to show what each of them closes. A release has no such field.
    #[cfg(debug_assertions)]
    #[serde(default)]
    pub without: Vec<Layer>,
}

/// One part of the sandbox around a registered command.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Layer {
    /// What files it may open.
    Landlock,
    /// Which system calls it may make.
    Seccomp,
    /// Its own process ids, `/proc`, network and shared memory.
    Namespaces,
    /// No privileges, even for root.
    Capabilities,
    /// Control groups, in which the kernel counts.
    Groups,
}

impl CommandSpec {
    pub const FILE: &'static str = "command.json";

    pub fn new(registration: TrainerRegistration, pinned: PinnedCommand, limits: Limits) -> Self {
        Self {
            registration,
            pinned,
            limits,
            #[cfg(debug_assertions)]
            without: Vec::new(),
        }
    }

    /// Returns true unless a test leaves this layer out.
    pub fn has(&self, layer: Layer) -> bool {
        #[cfg(debug_assertions)]
        let left_out = self.without.contains(&layer);
        #[cfg(not(debug_assertions))]
        let left_out = {
            let _ = layer;
            false
        };
        !left_out
    }

    pub fn read(job_dir: &Path) -> io::Result<Self> {
        Ok(serde_json::from_slice(&std::fs::read(job_dir.join(Self::FILE))?)?)
    }

    /// Returns the command's work folder, the only folder of the job that the command can reach.
    pub fn work(job_dir: &Path) -> PathBuf {
        job_dir.join("work")
    }
}

/// The file `accepted.json` in the job directory. It describes the command's model as Model Factory accepted it.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct AcceptedModel {
    /// The format of the model, which also determines the name of the model's file in the job directory.
    pub format: ModelFormat,
}

impl AcceptedModel {
    pub const FILE: &'static str = "accepted.json";
}
