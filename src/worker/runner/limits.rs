//! Limits of a trainer on this worker: what its profile asks for, under the operator's and the machine's bounds.
//!
//! These limits differ between machines, so no document that must be the same everywhere, such as the plan, has them.

use crate::config::TrainerSettings;
use crate::domain::contract::{GrantedLimits, Limits};
use crate::domain::run::{Failure, FailureCode};
use std::fmt::Write as _;

/// Upper bounds that this worker sets on the limits of a training profile.
#[derive(Debug, Clone, Copy)]
pub struct Ceiling {
    pub wall_seconds: u32,
    /// The operator's bound, or the machine's memory if that is less.
    pub memory_mib: u32,
    pub cpu_seconds: u32,
    /// Largest file that the trainer may write.
    pub file_mib: u32,
    pub processes: u32,
}

impl Ceiling {
    pub fn of(settings: &TrainerSettings) -> Self {
        Self {
            wall_seconds: settings.max_wall_seconds,
            memory_mib: settings.memory_mib(),
            cpu_seconds: settings.max_cpu_seconds,
            file_mib: settings.max_file_mib,
            processes: settings.max_processes,
        }
    }

    pub fn over(&self, profile: &Limits) -> Limits {
        Limits {
            wall_seconds: profile.wall_seconds.min(self.wall_seconds),
            memory_mib: profile.memory_mib.min(self.memory_mib),
            cpu_seconds: profile.cpu_seconds.min(self.cpu_seconds),
            file_mib: profile.file_mib.min(self.file_mib),
            processes: profile.processes.min(self.processes),
            max_rows: profile.max_rows,
            max_categories: profile.max_categories,
        }
    }
}

impl GrantedLimits {
    /// Adds to the failure's message each limit that may have caused it and that this worker granted below the
    /// profile's: a higher limit in the profile would not help.
    pub fn explain(&self, profile: &Limits, mut failure: Failure) -> Failure {
        let granted = &self.limits;
        let wall = ("wall_seconds", granted.wall_seconds, profile.wall_seconds);
        let processor = ("cpu_seconds", granted.cpu_seconds, profile.cpu_seconds);
        let memory = ("memory_mib", granted.memory_mib, profile.memory_mib);
        let files = ("file_mib", granted.file_mib, profile.file_mib);
        let processes = ("processes", granted.processes, profile.processes);
        let of_concern = match failure.code {
            FailureCode::TrainerTimeout => vec![wall, processor],
            FailureCode::TrainerOutOfMemory => vec![memory],
            FailureCode::TrainerFailed => vec![files, processes],
            _ => vec![],
        };
        for (name, granted, wanted) in of_concern.into_iter().filter(|(_, granted, wanted)| granted < wanted) {
            // Writing into text cannot fail.
            let _ = write!(failure.message, "; this worker gives {name} {granted}, the profile asks for {wanted}");
        }
        failure
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_failure_names_the_limit_that_was_lower_than_the_profile_asks_for_and_no_other() {
        let profile = Limits::default();
        let ceiling = Ceiling { wall_seconds: 5, memory_mib: u32::MAX, cpu_seconds: 9, file_mib: 1, processes: 2 };
        let granted = GrantedLimits { limits: ceiling.over(&profile), threads: 1 };
        assert_eq!((granted.limits.wall_seconds, granted.limits.memory_mib), (5, profile.memory_mib));
        let message = |code| granted.explain(&profile, Failure::new(code, "it ended")).message;
        assert!(message(FailureCode::TrainerTimeout).contains("gives wall_seconds 5, the profile asks for 3600"));
        assert_eq!(message(FailureCode::TrainerOutOfMemory), "it ended");
        assert_eq!(message(FailureCode::DatasetInvalid), "it ended");
    }
}
