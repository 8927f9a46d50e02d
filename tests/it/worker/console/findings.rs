//! The section of a run's page about features that say nothing, or not what the file says.

use super::{HOSTILE, Site, named};
use crate::support::{admit_one, claim};
use crate::training::findings::one_of_each_kind;
use bytes::Bytes;
use model_factory::adapters::evidence::EvidencePath;
use model_factory::adapters::ledger::{Guarded, Step};
use model_factory::domain::contract::{FeatureFinding, SchemaName, check, schema_text};
use model_factory::domain::run::Transition;
use model_factory::modelling::thousands;
use serde_json::{Value, json};

/// The section of a run's page whose report has these findings.
async fn features_to_look_at(site: &Site, revision: &str, findings: &Value) -> String {
    let run_id = admit_one(&site.ledger, revision).await;
    let lease = claim(&site.ledger).await;
    let schema: Value = serde_json::from_str(schema_text(SchemaName::EvalReport)).unwrap();
    let mut report = schema["examples"][0].clone();
    report["metrics"]["feature_findings"] = findings.clone();
    check(SchemaName::EvalReport, &report).unwrap();
    let bytes = report.to_string().into_bytes();
    let path = EvidencePath::of([revision, "eval_report.json"]).unwrap();
    site.store.put(&path, Bytes::copy_from_slice(&bytes)).await.unwrap();
    let refs = [("eval_report".to_owned(), named(path.as_str(), &bytes))].into();
    let step = Step::to(Transition::FinishEvaluation, refs);
    assert!(matches!(site.ledger.advance(&lease, &[step]).await, Ok(Guarded::Won(_))));
    let page = site.page(&format!("/runs/{run_id}")).await;
    let (_, section) = page.split_once("Features to look at").unwrap();
    section.split_once("</section>").unwrap().0.to_owned()
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_runs_page_names_features_that_say_nothing_with_what_was_found_and_in_how_many_rows() {
    let site = Site::new().await;
    let findings = one_of_each_kind().await;
    let section = features_to_look_at(&site, "findings", &json!(findings)).await;
    for FeatureFinding { feature, finding, rows } in &findings {
        let row = format!("{feature}</th><td>{}</td><td class=\"right\">{}</td>", finding.meaning(), thousands(*rows));
        assert!(section.contains(&row), "{row} is not in {section}");
    }
    let hostile = json!([{"feature": HOSTILE, "finding": "constant", "rows": 7}]);
    assert!(features_to_look_at(&site, "hostile", &hostile).await.contains("&lt;script&gt;alert(1)"));
    let section = features_to_look_at(&site, "nothing", &json!([])).await;
    assert!(section.contains("Nothing was found"), "{section}");
}
