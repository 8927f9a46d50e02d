//! Documents that people write for Model Factory, as YAML or JSON. Each file is named after its schema. Unknown keys
//! are errors.

mod data_expectation;
mod governance_profile;
mod ownership_boundaries;
mod training_profile;

pub use data_expectation::{ColumnExpectation, DataExpectation, DaysExpectation, WindowName};
pub use governance_profile::{
    BundleRef, ChampionSpec, Controls, GovernanceProfile, JudgedBound, ProfileRef, RatioCondition, SliceCondition,
    ThresholdBasis, ThresholdSpec, UnknownSlices,
};
pub use ownership_boundaries::OwnershipBoundaries;
pub use training_profile::{
    Algorithm, Anchor, AucLimit, CanarySpec, CandidateSpec, ClusterRule, CostSpec, DaysSpec, DrawnFrom, DrawnRange,
    DrawnScale, EvaluationSpec, Feature, FeatureKind, IntervalSpec, LeakageSpec, Limits, Monotone, OperatingPointSpec,
    PointTarget, SearchSpec, SeedPolicy, ShareSpec, SliceSpec, SplitSpec, SwitchedOff, TimeWindow, TrainingProfile,
    WindowSpec,
};
