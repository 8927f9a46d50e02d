//! Documents in the evidence store, one file a document, named as its schema.
//!
//! Three documents are read by Model Factory alone and have no schema: the records of an attempt and of its
//! training, and the evidence pack. The parts of OpenLineage events stand in `modelling::lineage`, beside the
//! official facets that they are written with.

mod attempt_record;
mod audit_acts;
mod bundle;
mod dataset_manifest;
mod eval_report;
mod evidence_pack;
mod gate_receipt;
mod leakage_report;
mod parity_vectors;
mod publish_eligibility;
mod publish_receipt;
mod reconciliation;
mod resolved_train_plan;
mod training_record;

pub use attempt_record::{AttemptRecord, GrantedLimits};
pub use audit_acts::{
    ActKind, ActReason, ActSubject, Actor, ActorKind, AuditAct, AuditActs, Head, InvalidHead, PrunedRows, StateChange,
};
pub use bundle::{BundleLineage, BundleManifest};
pub use dataset_manifest::{
    ColumnRoles, DatasetManifest, ExpectedLabels, FeatureSet, LabelBasis, ManifestProvenance, Materialization,
    ReplayBasis,
};
pub use eval_report::{
    CalibrationBin, Confusion, Curves, DatasetSummary, Decision, Difference, Differences, EvalMetrics, EvalProvenance,
    EvalReport, FeatureEffect, HistogramBin, Interval, MetricValue, Metrics, PrecisionRecallPoint, RocPoint,
    SettledSplit, Slice, SlicedBy, WindowSummary,
};
pub use evidence_pack::{CompleteMarker, EvidencePack};
pub use gate_receipt::{
    ChampionVerdict, DifferenceVerdict, Direction, GateReceipt, PositivesVerdict, ThresholdVerdict,
};
pub use leakage_report::{LeakageReport, LeakageRule};
pub use parity_vectors::{
    CategoryValue, FeatureCategories, ParityCase, ParityOrigin, ParityValue, ParityVector, ParityVectors,
};
pub use publish_eligibility::{Eligibility, PublishEligibility};
pub use publish_receipt::{AnnouncedRecord, Confirmation, PublishReceipt};
pub use reconciliation::{Anomaly, AnomalyCode, ReconciledRun, Reconciliation, ReconciliationCounters};
pub use resolved_train_plan::{
    BoostEvalMetric, BoostObjective, BoostParameters, BoostTreeMethod, BuiltInAlgorithm, PinnedBundle, PinnedCommand,
    PinnedDocument, PinnedFile, PinnedManifest, PinnedModel, PlannedChampion, PlannedSplit, ProcessAlgorithm,
    ResolvedAlgorithm, Revisions, Shares, TimeShares, TimeWindow, TrainPlan, WindowDays, Windows,
};
pub use training_record::{Evaluation, TrainingRecord};
