//! Why requests share a run, and why requests that look alike do not, field by field. `runs explain` prints it, and the
//! console shows it.

use super::TrainBuildRequest;
use crate::domain::identity::{Likeness, likeness};
use serde::Serialize;
use serde_json::{Value, json};

/// Why a request belongs to a run.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
pub struct Joined {
    pub request_id: String,
    pub because: &'static str,
    /// JSON pointers to the fields in which it differs from the run's first request without effect.
    pub ignored_differences: Vec<String>,
}

/// A field in which two requests differ that look alike.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
pub struct Apart {
    /// JSON pointer.
    pub pointer: String,
    /// All that is different; none where the values do not look alike.
    pub only_in: Option<Vec<Likeness>>,
    /// In the run that is explained.
    pub here: Value,
    /// In the other run.
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
