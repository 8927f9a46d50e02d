//! What a trainer gets on this worker: what its profile asks for, under the operator's and the machine's bounds.
//!
//! Never: part of the plan or of any other document that is to be the same on another machine.

use crate::domain::contract::Limits;
use crate::domain::run::{Failure, FailureCode};
use serde::Serialize;
use std::fmt::Write as _;

/// Upper bounds on a profile's limits.
#[derive(Debug, Clone, Copy)]
pub struct Ceiling {
    /// Wall time of the trainer.
    pub wall_seconds: u32,
    /// Memory of the trainer: the operator's bound, or what the machine has where that is less.
    pub memory_mib: u32,
    /// Processor time of the trainer.
    pub cpu_seconds: u32,
    /// What the trainer may write.
    pub file_mib: u32,
    /// Processes of the trainer.
    pub processes: u32,
}

impl Ceiling {
    /// A profile's limits under this ceiling.
    pub(super) fn over(&self, asked: &Limits) -> Limits {
        Limits {
            wall_seconds: asked.wall_seconds.min(self.wall_seconds),
            memory_mib: asked.memory_mib.min(self.memory_mib),
            cpu_seconds: asked.cpu_seconds.min(self.cpu_seconds),
            file_mib: asked.file_mib.min(self.file_mib),
            processes: asked.processes.min(self.processes),
            max_rows: asked.max_rows,
            max_categories: asked.max_categories,
        }
    }
}

/// What an attempt's trainer was given; its record tells.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
pub(super) struct Given {
    pub(super) limits: Limits,
    pub(super) threads: u32,
}

impl Given {
    /// The same failure, saying so where the trainer had less than its profile asks for: then the profile is
    /// not what has to change.
    pub(super) fn explain(&self, asked: &Limits, mut failure: Failure) -> Failure {
        let given = &self.limits;
        let wall = ("wall_seconds", given.wall_seconds, asked.wall_seconds);
        let processor = ("cpu_seconds", given.cpu_seconds, asked.cpu_seconds);
        let memory = ("memory_mib", given.memory_mib, asked.memory_mib);
        let files = ("file_mib", given.file_mib, asked.file_mib);
        let processes = ("processes", given.processes, asked.processes);
        let of_concern = match failure.code {
            FailureCode::TrainerTimeout => vec![wall, processor],
            FailureCode::TrainerOutOfMemory => vec![memory],
            FailureCode::TrainerFailed => vec![files, processes],
            _ => vec![],
        };
        for (name, given, asked) in of_concern.into_iter().filter(|(_, given, asked)| given < asked) {
            // Writing into text cannot fail.
            let _ = write!(failure.message, "; this worker gives {name} {given}, the profile asks for {asked}");
        }
        failure
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn whoever_had_less_than_was_asked_for_is_told_and_nobody_else() {
        let asked = Limits::default();
        let ceiling = Ceiling { wall_seconds: 5, memory_mib: u32::MAX, cpu_seconds: 9, file_mib: 1, processes: 2 };
        let given = Given { limits: ceiling.over(&asked), threads: 1 };
        assert_eq!((given.limits.wall_seconds, given.limits.memory_mib), (5, asked.memory_mib));
        let told = |code| given.explain(&asked, Failure::new(code, "it ended")).message;
        assert!(told(FailureCode::TrainerTimeout).contains("gives wall_seconds 5, the profile asks for 3600"));
        assert_eq!(told(FailureCode::TrainerOutOfMemory), "it ended");
        assert_eq!(told(FailureCode::DatasetInvalid), "it ended");
    }
}
