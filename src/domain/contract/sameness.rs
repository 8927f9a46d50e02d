//! Why requests are one run, and why others that look the same are not, field by field: what `runs explain` prints
//! and the console shows.

use super::TrainBuildRequest;
use crate::domain::identity::{Likeness, likeness};
use serde::Serialize;
use serde_json::{Value, json};

/// Why a request belongs to a run.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
pub struct Joined {
    /// The request.
    pub request_id: String,
    /// In words.
    pub because: &'static str,
    /// Fields in which it differs from the run's first request without effect, as JSON pointers.
    pub ignored_differences: Vec<String>,
}

/// A field by which two runs are two that look the same.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
pub struct Apart {
    /// Where, as JSON pointer.
    pub pointer: String,
    /// What alone is different; none where the values do not look alike.
    pub only_in: Option<Vec<Likeness>>,
    /// The value of the run that is explained.
    pub here: Value,
    /// The other's.
    pub there: Value,
}

impl Joined {
    /// Why `request` belongs to the run that was made for `first`.
    pub fn to(first: &TrainBuildRequest, request: &TrainBuildRequest) -> Self {
        let is_first = request.request_id == first.request_id;
        Self {
            request_id: request.request_id.clone(),
            because: if is_first { "the run was made for it" } else { "same meaning" },
            ignored_differences: TrainBuildRequest::differences(&json!(first), &json!(request)),
        }
    }
}

impl Apart {
    /// Every field of their meaning in which two requests differ.
    pub fn between(here: &TrainBuildRequest, there: &TrainBuildRequest) -> Vec<Self> {
        let (here, there) = (json!(here.meaning()), json!(there.meaning()));
        let at = |value: &Value, pointer: &str| value.pointer(pointer).cloned().unwrap_or_default();
        TrainBuildRequest::differences(&here, &there)
            .into_iter()
            .map(|pointer| {
                let (here, there) = (at(&here, &pointer), at(&there, &pointer));
                Self { only_in: likeness(&here, &there), pointer, here, there }
            })
            .collect()
    }
}
