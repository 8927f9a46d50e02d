//! The trainer's child process: job directory, limits, progress, kill; the built-in booster behind the same contract.
