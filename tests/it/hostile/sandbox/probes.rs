//! The corpus of probes: nothing is open behind all layers, and each layer closes what docs/sandbox.md says.

use super::setting::{As, LAYERS, ProbeResults, probe};
use futures::future::join_all;
use std::collections::BTreeMap;
use std::fmt::Write as _;
use std::fs;
use std::path::Path;

const PAGE: &str = "docs/sandbox.md";
const BEGIN: &str = "| probe | on this kernel without a sandbox | Landlock | seccomp | namespaces | no privileges |\n";

fn is_open(results: &ProbeResults, name: &str) -> bool {
    results[name] == "open"
}

/// The rows of the page: for each probe, which layer alone closes it. `as_root` are the runs of root.
fn table(as_root: &[ProbeResults]) -> String {
    let mut text = format!("{BEGIN}|---|---|---|---|---|---|\n");
    for name in as_root[0].keys() {
        let without = if is_open(&as_root[0], name) { "open" } else { "closed" };
        let alone = as_root[1..].iter().map(|run| if is_open(run, name) { "" } else { "closes" });
        let alone = if without == "open" { alone.collect::<Vec<_>>() } else { vec![""; LAYERS.len()] };
        writeln!(text, "| {name} | {without} | {} |", alone.join(" | ")).unwrap();
    }
    text
}

#[tokio::test]
async fn every_probe_is_closed_and_each_layer_closes_what_the_page_says() {
    if !(Path::new("/usr/bin/python3").exists() && cfg!(target_arch = "x86_64")) {
        eprintln!("no /usr/bin/python3, or not x86_64: the probes were not tried");
        return;
    }
    let path = Path::new(env!("CARGO_MANIFEST_DIR")).join(PAGE);
    let page = fs::read_to_string(&path).unwrap();
    let (before, old) = page.split_once(BEGIN).unwrap();
    for user in As::possible() {
        let alone = LAYERS.map(|layer| vec![layer]);
        let sets = [vec![]].into_iter().chain(alone).chain([LAYERS.to_vec()]);
        let mut runs = join_all(sets.map(async |layers| probe(user, &layers).await)).await;
        let all = runs.pop().unwrap();
        for (name, result) in all.iter().chain(&runs[0]) {
            assert!(!result.starts_with("broken"), "{user:?} {name}: {result}");
        }
        let open: Vec<_> = all.iter().filter(|(_, result)| *result == "open").collect();
        assert!(open.is_empty(), "{user:?}: {open:?}");
        assert!(all.len() >= 100, "{}", all.len());
        let mut counts = BTreeMap::new();
        for (layer, run) in ["none", "Landlock", "seccomp", "namespaces", "no privileges"].iter().zip(&runs) {
            counts.insert(*layer, run.values().filter(|result| *result == "open").count());
        }
        eprintln!("{user:?}: open of {} with one layer alone: {counts:?}", all.len());
        assert!(counts["none"] >= 60, "{counts:?}");
        if user == As::Self_ && std::env::var_os("MODEL_FACTORY_BLESS").is_some() {
            fs::write(&path, format!("{before}{}", table(&runs))).unwrap();
            continue;
        }
        for row in old.lines().skip(1) {
            let cells: Vec<&str> = row.trim_matches(['|', ' ']).split('|').map(str::trim).collect();
            for (layer, run) in
                runs[1..].iter().enumerate().filter(|(layer, _)| cells.get(2 + layer) == Some(&"closes"))
            {
                assert!(!is_open(run, cells[0]), "{user:?}: {:?} alone does not close {}", LAYERS[layer], cells[0]);
            }
        }
    }
}
