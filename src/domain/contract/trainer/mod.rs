//! What Model Factory and a registered trainer command exchange, as files in the command's work folder.

mod trainer_job;
mod trainer_result;

pub use trainer_job::{JobFiles, JobRows, TrainerJob};
pub use trainer_result::{ModelFormat, SavedModel, TrainerResult};
