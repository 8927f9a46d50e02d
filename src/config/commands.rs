//! Judges registered trainer commands against the rest of the configuration: what a command may read holds nothing of
//! the worker's.

use super::Config;
use crate::training::{TrainerRegistration, readable_paths};
use std::path::{Path, PathBuf};

impl Config {
    /// Checks all registered commands, as every process must that may start one.
    pub fn check_commands(&self) -> Result<(), String> {
        self.trainer.commands.iter().try_for_each(|(name, registration)| self.check_command(name, registration))
    }

    /// Checks a registered command. The error says what is wrong and what to do. `file` is the configuration's file.
    pub fn check_command(&self, name: &str, registration: &TrainerRegistration) -> Result<(), String> {
        registration.check(name)?;
        let ours: Vec<(&str, PathBuf, PathBuf)> =
            self.own_paths().into_iter().map(|(key, path)| (key, resolved(&path), path)).collect();
        for readable in readable_paths(registration).into_iter().chain(registration.write.iter().cloned()) {
            let real = resolved(&readable);
            if real == Path::new("/") {
                return Err(format!(
                    "trainer command {name:?}: it could read the whole disk, since its program or a path of `read` or \
                     `write` lies at /; move it into a folder of its own"
                ));
            }
            let held = ours.iter().find(|(_, own, _)| own.starts_with(&real) || real.starts_with(own));
            if let Some((key, _, path)) = held {
                return Err(format!(
                    "trainer command {name:?}: it could read {} ({key}), since it may read {}; move the program into a \
                     folder of its own, or {key} out of there",
                    path.display(),
                    readable.display(),
                ));
            }
        }
        Ok(())
    }

    /// Returns the files and folders on this machine that no command may read, each with its key.
    fn own_paths(&self) -> Vec<(&'static str, PathBuf)> {
        let security = &self.kafka.security;
        let (s3, gcs, azure) = (&self.inputs.s3, &self.inputs.gcs, &self.inputs.azure);
        let files = [
            ("[signing] key_file", &self.signing.key_file),
            ("[authority] policy", &self.authority.policy),
            ("[ledger] password_file", &self.ledger.password_file),
            ("[kafka.security] password_file", &security.password_file),
            ("[kafka.security] token_file", &security.token_file),
            ("[kafka.security] key_file", &security.key_file),
            ("[kafka.security] key_password_file", &security.key_password_file),
            ("[inputs] root", &self.inputs.root),
            ("[inputs.s3] secret_access_key_file", &s3.secret_access_key_file),
            ("[inputs.gcs] service_account_file", &gcs.service_account_file),
            ("[inputs.azure] access_key_file", &azure.access_key_file),
            ("[evidence.s3] secret_access_key_file", &self.evidence.s3.secret_access_key_file),
            ("[telemetry] otlp_headers_file", &self.telemetry.otlp_headers_file),
            ("the configuration file", &self.file),
        ];
        let mut paths: Vec<_> = files.into_iter().filter_map(|(key, path)| Some((key, path.clone()?))).collect();
        paths.push(("[trainer] scratch", self.trainer.scratch.clone()));
        let on_disk = |url: &str| url.strip_prefix("file://").map(PathBuf::from);
        paths.extend(on_disk(&self.evidence.url).map(|folder| ("[evidence] url", folder)));
        paths.extend(self.inputs.allow.iter().filter_map(|url| on_disk(url)).map(|folder| ("[inputs] allow", folder)));
        paths
    }
}

/// Returns the path with all links resolved, as far as it exists.
fn resolved(path: &Path) -> PathBuf {
    let path = std::path::absolute(path).unwrap_or_else(|_| path.to_owned());
    for above in path.ancestors() {
        if let Ok(real) = above.canonicalize() {
            // The part that does not exist yet is below it.
            return path.strip_prefix(above).map_or(real.clone(), |rest| real.join(rest));
        }
    }
    path
}
