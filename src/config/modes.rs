//! Looks at who else on this machine may read the files with secrets, and who may write those that decide.

use super::Config;
use crate::adapters::authority::PolicyFile;
use crate::secret::{check_private, check_unwritable};

/// A file that more people may read or write than should.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct LooseFile {
    /// The key that names the file.
    pub key: &'static str,
    /// What is wrong, and how to mend it.
    pub why: String,
    /// True for private keys and for what decides who may ask: a worker does not start. False for passwords, which
    /// platforms mount with modes that an operator cannot always choose.
    pub refused: bool,
}

impl Config {
    /// Returns every named file whose mode lets others read or write too much.
    pub fn loose_files(&self) -> Vec<LooseFile> {
        let security = &self.kafka.security;
        let keys = [("[signing] key_file", &self.signing.key_file), ("[kafka.security] key_file", &security.key_file)];
        let passwords = [
            ("[ledger] password_file", &self.ledger.password_file),
            ("[kafka.security] password_file", &security.password_file),
            ("[kafka.security] token_file", &security.token_file),
            ("[kafka.security] key_password_file", &security.key_password_file),
            ("[inputs.s3] secret_access_key_file", &self.inputs.s3.secret_access_key_file),
            ("[inputs.gcs] service_account_file", &self.inputs.gcs.service_account_file),
            ("[inputs.azure] access_key_file", &self.inputs.azure.access_key_file),
            ("[evidence.s3] secret_access_key_file", &self.evidence.s3.secret_access_key_file),
            ("[telemetry] otlp_headers_file", &self.telemetry.otlp_headers_file),
        ];
        let mut found = Vec::new();
        let mut add = |key, judged: Result<(), String>, refused| {
            if let Err(why) = judged {
                found.push(LooseFile { key, why, refused });
            }
        };
        for (key, path) in keys {
            add(key, path.as_deref().map_or(Ok(()), check_private), true);
        }
        for (key, path) in passwords {
            add(key, path.as_deref().map_or(Ok(()), check_private), false);
        }
        add("the configuration file", self.file.as_deref().map_or(Ok(()), check_unwritable), true);
        if let Some(policy) = &self.authority.policy {
            let mut policy = PolicyFile::new(policy.clone());
            // Finds the files with keys. A policy that cannot be read is reported by whoever needs it.
            let _ = policy.read();
            add("[authority] policy", policy.check_modes(), true);
        }
        found
    }
}
