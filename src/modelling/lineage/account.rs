//! What a run read and wrote, as far as it is known at a step of it.

use super::event::{DatasetFacets, InputDataset, InputFacets, OutputDataset, OutputFacets};
use super::facets::{
    Content, DataQualityAssertions, DatasetType, InputStatistics, Omitted, OutputStatistics, Schema, Version,
};
use super::gate::assertions;
use super::naming::{DatasetName, Places};
use crate::domain::contract::{EvidenceRef, GateReceipt, Location, PinnedBundle, PinnedManifest, Reference, TrainPlan};
use crate::domain::identity::Digest;
use crate::modelling::FileColumn;

/// Inputs and outputs; both grow as a run goes on.
#[derive(Debug, Clone, Default)]
pub struct Account {
    pub(super) inputs: Vec<InputDataset>,
    pub(super) outputs: Vec<OutputDataset>,
    pub(super) manifests: Vec<PinnedManifest>,
    pub(super) omitted: Option<Omitted>,
}

/// Something that a run left.
#[derive(Debug, Clone)]
pub struct Written<'a> {
    /// Where: a file, or the folder of a bundle.
    pub path: &'a str,
    /// Of a file its digest, of a bundle its id.
    pub sha256: Digest,
    /// Its version, where it has a name besides its digest.
    pub version: Option<&'a str>,
    /// What it is for the run.
    pub role: &'static str,
    /// Rows, of a table.
    pub rows: Option<u64>,
    /// Its size, where that is at hand.
    pub bytes: Option<u64>,
    /// Files.
    pub files: u64,
}

impl Account {
    /// What a plan reads: the data files, and bundles of earlier runs. `columns` are those that were found in
    /// each file, in the plan's order; empty before any was opened.
    pub fn of(plan: &TrainPlan, columns: &[Vec<FileColumn>], places: &Places) -> Self {
        let data = plan.files.iter().enumerate().map(|(index, file)| {
            let schema = columns.get(index).map(|columns| Schema::of(columns).into());
            let statistics = InputStatistics { row_count: Some(file.rows), size: Some(file.bytes), file_count: 1 };
            let content = Content { sha256: file.sha256, role: "data" };
            input(input_name(&file.reference, places), content, DatasetType::PARQUET, statistics, schema)
        });
        let champion = plan.champion.as_ref().map(|champion| &champion.bundle);
        let earlier = [("baseline", plan.baseline.as_ref()), ("champion", champion)];
        let models = earlier.into_iter().filter_map(|(role, bundle)| Some(model(role, bundle?, places)));
        Self {
            inputs: data.chain(models).collect(),
            outputs: Vec::new(),
            manifests: plan.manifests.clone(),
            omitted: None,
        }
    }

    /// Of a plan whose files have more columns than can be told.
    pub fn without_columns(plan: &TrainPlan, places: &Places) -> Self {
        let omitted = Some(Omitted { schemas: plan.files.len() as u64, ..Omitted::default() });
        Self { omitted, ..Self::of(plan, &[], places) }
    }

    /// With what the gate found. It judges the scores of the test window, so its verdicts are on them.
    #[must_use]
    pub fn judged(mut self, scores: &EvidenceRef, rows: u64, receipt: &GateReceipt, places: &Places) -> Self {
        let statistics = InputStatistics { row_count: Some(rows), size: None, file_count: 1 };
        let name = places.evidence(&scores.reference);
        let schema = Some(Schema::of_scores().into());
        let mut scores = input(name, Content::of(scores, "scores"), DatasetType::PARQUET, statistics, schema);
        scores.input_facets.data_quality_assertions =
            Some(DataQualityAssertions { assertions: assertions(receipt) }.into());
        self.inputs.push(scores);
        self
    }

    /// With something that the run wrote.
    #[must_use]
    pub fn wrote(mut self, written: &Written<'_>, places: &Places) -> Self {
        let Written { path, sha256, version, role, rows, bytes, files } = *written;
        let dataset_type = match role {
            "model" | "bundle" => DatasetType::MODEL,
            "scores" => DatasetType::PARQUET,
            _ => DatasetType::FILE,
        };
        let schema = (role == "scores").then(|| Schema::of_scores().into());
        let mut facets = facets(Content { sha256, role }, dataset_type, schema);
        if let Some(version) = version {
            facets.version = Version { dataset_version: version.to_owned() }.into();
        }
        let statistics = OutputStatistics { row_count: rows, size: bytes, file_count: files };
        let output_facets = OutputFacets { output_statistics: statistics.into() };
        self.outputs.push(OutputDataset { name: places.evidence(path), facets, output_facets });
        self
    }
}

impl DatasetType {
    const FILE: Self = Self { dataset_type: "FILE", sub_type: None };
    const PARQUET: Self = Self { dataset_type: "FILE", sub_type: Some("PARQUET") };
    const MODEL: Self = Self { dataset_type: "MODEL", sub_type: None };
}

/// References of a plan were read once before; one that is none is shown as it stands.
fn input_name(reference: &str, places: &Places) -> DatasetName {
    let as_it_stands = || Location::Relative(reference.to_owned());
    places.input(&Reference::parse(reference).map_or_else(|_| as_it_stands(), |parsed| parsed.location().clone()))
}

fn model(role: &'static str, bundle: &PinnedBundle, places: &Places) -> InputDataset {
    let model = &bundle.model;
    let statistics = InputStatistics { row_count: None, size: Some(model.bytes), file_count: 1 };
    let content = Content { sha256: model.sha256, role };
    input(input_name(&model.reference, places), content, DatasetType::MODEL, statistics, None)
}

fn input(
    name: DatasetName,
    content: Content,
    dataset_type: DatasetType,
    statistics: InputStatistics,
    schema: Option<super::facets::Facet<Schema>>,
) -> InputDataset {
    let input_facets = InputFacets { input_statistics: statistics.into(), data_quality_assertions: None };
    InputDataset { name, facets: facets(content, dataset_type, schema), input_facets }
}

fn facets(content: Content, dataset_type: DatasetType, schema: Option<super::facets::Facet<Schema>>) -> DatasetFacets {
    let version = Version { dataset_version: format!("sha256:{}", content.sha256) };
    DatasetFacets { version: version.into(), dataset_type: dataset_type.into(), content: content.into(), schema }
}
