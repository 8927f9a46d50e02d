//! Describes the datasets that a run reads and writes, as far as they are known at a step, and the gate's verdict on
//! each condition.

use super::event::{DatasetFacets, InputDataset, InputFacets, OutputDataset, OutputFacets};
use super::facets::{
    Assertion, ContentFacet, DataQualityAssertions, DatasetType, Facet, InputStatistics, Omitted, OutputStatistics,
    Schema, Version,
};
use super::naming::{DatasetLocations, DatasetName};
use crate::domain::contract::{
    Direction, EvidenceRef, GateReceipt, Location, PinnedBundle, PinnedManifest, Reference, ThresholdBasis, TrainPlan,
};
use crate::domain::identity::Digest;
use crate::modelling::data::FileColumn;

/// The input and output datasets of a run. Both lists grow as the run goes on.
#[derive(Debug, Clone, Default)]
pub struct DatasetIo {
    pub(super) inputs: Vec<InputDataset>,
    pub(super) outputs: Vec<OutputDataset>,
    pub(super) manifests: Vec<PinnedManifest>,
    pub(super) omitted: Option<Omitted>,
}

/// A file or bundle that a run wrote into the evidence store.
#[derive(Debug, Clone)]
pub struct WrittenDataset<'a> {
    /// The path relative to the evidence store, of a file or of a bundle's folder.
    pub path: &'a str,
    /// SHA-256 of the file. For a bundle, this is the bundle's id.
    pub sha256: Digest,
    /// The dataset's version. `None` if the digest alone identifies the version.
    pub version: Option<&'a str>,
    /// The dataset's role: `model`, `scores`, `eval_report` or `bundle`.
    pub role: &'static str,
    /// The number of rows. `None` for a dataset that is not a table.
    pub rows: Option<u64>,
    /// The size of the dataset. `None` if the size is not known at this step.
    pub bytes: Option<u64>,
    pub files: u64,
}

impl DatasetIo {
    /// Collects what a plan reads: the data files, and the models of earlier bundles. `columns` holds the columns of
    /// each file, in the plan's order. The slice is empty before any file was opened.
    pub fn of(plan: &TrainPlan, columns: &[Vec<FileColumn>], locations: &DatasetLocations) -> Self {
        let data = plan.files.iter().enumerate().map(|(index, file)| {
            let schema = columns.get(index).map(|columns| Schema::of(columns).into());
            let statistics = InputStatistics { row_count: Some(file.rows), size: Some(file.bytes), file_count: 1 };
            let content = ContentFacet { sha256: file.sha256, role: "data" };
            input(input_name(&file.reference, locations), content, DatasetType::PARQUET, statistics, schema)
        });
        let champion = plan.champion.as_ref().map(|champion| &champion.bundle);
        let earlier = [("baseline", plan.baseline.as_ref()), ("champion", champion)];
        let models = earlier.into_iter().filter_map(|(role, bundle)| Some(model(role, bundle?, locations)));
        Self {
            inputs: data.chain(models).collect(),
            outputs: Vec::new(),
            manifests: plan.manifests.clone(),
            omitted: None,
        }
    }

    /// Collects what a plan reads, without the files' columns, for files with more columns than an event can hold. The
    /// event gives the number of files whose columns are left out.
    pub fn without_columns(plan: &TrainPlan, locations: &DatasetLocations) -> Self {
        let omitted = Some(Omitted { schemas: plan.files.len() as u64, ..Omitted::default() });
        Self { omitted, ..Self::of(plan, &[], locations) }
    }

    /// Adds the scores of the test window as an input, with the gate's verdict on each condition.
    #[must_use]
    pub fn judged(
        mut self,
        scores: &EvidenceRef,
        rows: u64,
        receipt: &GateReceipt,
        locations: &DatasetLocations,
    ) -> Self {
        let statistics = InputStatistics { row_count: Some(rows), size: None, file_count: 1 };
        let name = locations.evidence(&scores.reference);
        let schema = Some(Schema::of_scores().into());
        let content = ContentFacet { sha256: scores.sha256, role: "scores" };
        let mut scores = input(name, content, DatasetType::PARQUET, statistics, schema);
        scores.input_facets.data_quality_assertions =
            Some(DataQualityAssertions { assertions: assertions(receipt) }.into());
        self.inputs.push(scores);
        self
    }

    #[must_use]
    pub fn wrote(mut self, written: &WrittenDataset<'_>, locations: &DatasetLocations) -> Self {
        let WrittenDataset { path, sha256, version, role, rows, bytes, files } = *written;
        let dataset_type = match role {
            "model" | "bundle" => DatasetType::MODEL,
            "scores" => DatasetType::PARQUET,
            _ => DatasetType::FILE,
        };
        let schema = (role == "scores").then(|| Schema::of_scores().into());
        let mut facets = facets(ContentFacet { sha256, role }, dataset_type, schema);
        if let Some(version) = version {
            facets.version = Version { dataset_version: version.to_owned() }.into();
        }
        let statistics = OutputStatistics { row_count: rows, size: bytes, file_count: files };
        let output_facets = OutputFacets { output_statistics: statistics.into() };
        self.outputs.push(OutputDataset { name: locations.evidence(path), facets, output_facets });
        self
    }
}

impl DatasetType {
    const FILE: Self = Self { dataset_type: "FILE", sub_type: None };
    const PARQUET: Self = Self { dataset_type: "FILE", sub_type: Some("PARQUET") };
    const MODEL: Self = Self { dataset_type: "MODEL", sub_type: None };
}

/// Names an input by its reference. A reference that cannot be parsed is taken as a relative path. This does not occur
/// with a plan's references, which were parsed before.
fn input_name(reference: &str, locations: &DatasetLocations) -> DatasetName {
    let as_text = || Location::Relative(reference.to_owned());
    locations.input(&Reference::parse(reference).map_or_else(|_| as_text(), |parsed| parsed.location().clone()))
}

fn model(role: &'static str, bundle: &PinnedBundle, locations: &DatasetLocations) -> InputDataset {
    let model = &bundle.model;
    let statistics = InputStatistics { row_count: None, size: Some(model.bytes), file_count: 1 };
    let content = ContentFacet { sha256: model.sha256, role };
    input(input_name(&model.reference, locations), content, DatasetType::MODEL, statistics, None)
}

fn input(
    name: DatasetName,
    content: ContentFacet,
    dataset_type: DatasetType,
    statistics: InputStatistics,
    schema: Option<Facet<Schema>>,
) -> InputDataset {
    let input_facets = InputFacets { input_statistics: statistics.into(), data_quality_assertions: None };
    InputDataset { name, facets: facets(content, dataset_type, schema), input_facets }
}

fn facets(content: ContentFacet, dataset_type: DatasetType, schema: Option<Facet<Schema>>) -> DatasetFacets {
    let version = Version { dataset_version: format!("sha256:{}", content.sha256) };
    DatasetFacets { version: version.into(), dataset_type: dataset_type.into(), content: content.into(), schema }
}

/// Builds one assertion for each condition of the receipt, under the same name as in the receipt's list `failed`.
pub(super) fn assertions(receipt: &GateReceipt) -> Vec<Assertion> {
    let thresholds = receipt.thresholds.iter().map(|verdict| {
        let bound = Bound { direction: verdict.direction, on: verdict.on, limit: verdict.bound };
        let found = (verdict.compared, verdict.holds, verdict.reason.as_str());
        bound.assertion(&verdict.metric, verdict.threshold.clone(), found)
    });
    let positives = &receipt.min_positives;
    let enough = Assertion {
        assertion: "positives_min".to_owned(),
        success: positives.holds,
        column: Some("label"),
        severity: BLOCKS,
        name: "min_positives".to_owned(),
        description: format!("the test window holds {} frauds, required are {}", positives.found, positives.required),
        expected: positives.required.to_string(),
        actual: Some(positives.found.to_string()),
    };
    let champion = receipt.champion.iter().flat_map(|champion| &champion.differences).map(|verdict| {
        let bound = Bound { direction: verdict.direction, on: verdict.on, limit: verdict.bound };
        let found = (verdict.compared, verdict.holds, verdict.reason.as_str());
        bound.assertion(&format!("champion.{}", verdict.metric), verdict.name(), found)
    });
    let slices = receipt.slices.iter().map(|verdict| {
        let bound = Bound { direction: verdict.direction, on: ThresholdBasis::Point, limit: verdict.bound };
        let worst = verdict.worst.as_ref().map(|worst| worst.value);
        let found = (worst, verdict.holds, verdict.reason.as_str());
        bound.assertion(&format!("slices.{}.{}", verdict.column, verdict.metric), verdict.name(), found)
    });
    let ratio = receipt.ratio.iter().map(|verdict| {
        let bound = Bound { direction: Direction::Max, on: ThresholdBasis::Point, limit: verdict.bound };
        let found = (verdict.ratio, verdict.holds, verdict.reason.as_str());
        bound.assertion(&format!("ratio.{}.{}", verdict.column, verdict.metric), verdict.name(), found)
    });
    thresholds.chain([enough]).chain(champion).chain(slices).chain(ratio).collect()
}

/// OpenLineage's severity of a condition of the gate. If such a condition does not hold, no bundle is built.
const BLOCKS: &str = "error";

struct Bound {
    direction: Direction,
    on: ThresholdBasis,
    limit: f64,
}

impl Bound {
    fn assertion(&self, metric: &str, name: String, found: (Option<f64>, bool, &str)) -> Assertion {
        let (compared, success, reason) = found;
        let side = match self.direction {
            Direction::Min => "min",
            Direction::Max => "max",
        };
        let on = match self.on {
            ThresholdBasis::Point => "",
            ThresholdBasis::ConfidenceBound => "_confidence_bound",
        };
        Assertion {
            assertion: format!("{metric}{on}_{side}"),
            success,
            column: Some("score"),
            severity: BLOCKS,
            name,
            description: reason.to_owned(),
            expected: self.limit.to_string(),
            actual: compared.map(|value| value.to_string()),
        }
    }
}
