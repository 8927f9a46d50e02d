//! Documents in the evidence store. Each file is named after its schema.
//!
//! The parts of OpenLineage events are in `modelling::lineage`, beside OpenLineage's own facets.

mod audit_acts;
mod bundle;
mod dataset_manifest;
mod decision_report;
mod eval_report;
mod gate_receipt;
mod internal;
mod publish;
mod reconciliation;
mod reference_histograms;
mod resolved_train_plan;

pub use audit_acts::{
    ActKind, ActReason, ActSubject, Actor, ActorKind, AuditAct, AuditActs, Head, InvalidHead, PrunedRows, StateChange,
};
pub use bundle::{
    BundleLineage, BundleManifest, FeatureCategories, ParityCase, ParityOrigin, ParityValue, ParityVector,
    ParityVectors,
};
pub use dataset_manifest::{
    AmountColumn, ColumnRoles, DatasetManifest, ExpectedLabels, FeatureSet, LabelBasis, ManifestProvenance,
    Materialization, ReplayBasis,
};
pub use decision_report::{
    AgainstChampion, DecisionReport, DecisionWindow, DecisionWindows, MapKnot, MappedVolume, OperatingPoint,
    PointInWindow, ScoreMap, SwapPart, SwapSet,
};
pub use eval_report::{
    CalibrationBin, Choice, Confusion, Curves, DatasetSummary, Decision, Difference, Differences, EvalMetrics,
    EvalProvenance, EvalReport, FeatureEffect, FeatureFinding, FindingKind, HistogramBin, Interval, IntervalMethod,
    LeakageReport, LeakageRule, MetricValue, Metrics, PrecisionRecallPoint, RocPoint, SettledSplit, Slice, SlicedBy,
    StandsFor, TriedCandidate, UnaskedRule, WindowSummary,
};
pub use gate_receipt::{
    ChampionVerdict, DifferenceVerdict, Direction, GateReceipt, PositivesVerdict, RatioVerdict, SliceFinding,
    SliceOutcome, SliceVerdict, ThresholdVerdict,
};
pub use internal::{AttemptRecord, CompleteMarker, Evaluation, EvidencePack, GrantedLimits, TrainingRecord};
pub use publish::{AnnouncedRecord, Confirmation, Eligibility, PublishEligibility, PublishReceipt};
pub use reconciliation::{Anomaly, AnomalyCode, ReconciledRun, Reconciliation, ReconciliationCounters};
pub use reference_histograms::{
    ByWindow, CategoricalHistogram, CategoryCounts, FeatureHistogram, NumericCounts, NumericHistogram, ValueHistogram,
};
pub use resolved_train_plan::{
    BoostEvalMetric, BoostGrowPolicy, BoostObjective, BoostParameters, BoostTreeMethod, BuiltInAlgorithm, PinnedBundle,
    PinnedCommand, PinnedDocument, PinnedFile, PinnedManifest, PinnedModel, PlannedCandidate, PlannedChampion,
    PlannedChoice, PlannedSplit, ProcessAlgorithm, ResolvedAlgorithm, Shares, TimeShares, TrainPlan, WindowDays,
    Windows,
};
