//! The corpus of probes: nothing is open behind all layers, and each layer closes what docs/sandbox.md says.

use super::setting::{As, LAYERS, ProbeResults, probe};
use futures::future::join_all;
use std::collections::BTreeMap;
use std::fmt::Write as _;
use std::fs;
use std::path::Path;

const PAGE: &str = "docs/sandbox.md";
const BEGIN: &str = "| probe | on this kernel without a sandbox | Landlock | seccomp | namespaces | no privileges |\n";

/// What only a `/proc` of its own closes, besides `proc.see_…`.
const SHOWN_BY_PROC: [&str; 2] = ["proc.list_fds", "net.connections_of_host"];

fn is_open(results: &ProbeResults, name: &str) -> bool {
    results[name] == "open"
}

/// The rows of the page: for each probe, which layer alone closes it for every user. `users` are the runs of each user,
/// root first.
fn table(users: &[Vec<ProbeResults>]) -> String {
    let mut text = format!("{BEGIN}|---|---|---|---|---|---|\n");
    for name in users[0][0].keys() {
        let without = if is_open(&users[0][0], name) { "open" } else { "closed" };
        let alone = (1..=LAYERS.len()).map(|layer| {
            let open = users.iter().any(|runs| is_open(&runs[layer], name));
            if open { "" } else { "closes" }
        });
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
    let mut users = Vec::new();
    for user in As::possible() {
        let alone = LAYERS.map(|layer| vec![layer]);
        let sets = [vec![]].into_iter().chain(alone).chain([LAYERS.to_vec()]);
        let mut runs = join_all(sets.map(async |layers| probe(user, &layers).await)).await;
        let all = runs.pop().unwrap();
        for (name, result) in all.iter().chain(&runs[0]) {
            assert!(!result.starts_with("broken"), "{user:?} {name}: {result}");
        }
        let mut open: Vec<_> = all.keys().filter(|name| is_open(&all, name)).collect();
        if is_open(&runs[3], "proc.see_status") {
            eprintln!("this host has no /proc of its own for a command: {open:?}");
            open.retain(|name| !(name.starts_with("proc.see_") || SHOWN_BY_PROC.contains(&name.as_str())));
        }
        assert!(open.is_empty(), "{user:?}: {open:?}");
        assert!(all.len() >= 100, "{}", all.len());
        let mut counts = BTreeMap::new();
        for (layer, run) in ["none", "Landlock", "seccomp", "namespaces", "no privileges"].iter().zip(&runs) {
            counts.insert(*layer, run.values().filter(|result| *result == "open").count());
        }
        eprintln!("{user:?}: open of {} with one layer alone: {counts:?}", all.len());
        assert!(counts["none"] >= 60, "{counts:?}");
        users.push(runs);
    }
    if std::env::var_os("MODEL_FACTORY_BLESS").is_some() {
        fs::write(&path, format!("{before}{}", table(&users))).unwrap();
        return;
    }
    for runs in &users {
        for row in old.lines().skip(1) {
            let cells: Vec<&str> = row.trim_matches(['|', ' ']).split('|').map(str::trim).collect();
            for (layer, run) in
                runs[1..].iter().enumerate().filter(|(layer, _)| cells.get(2 + layer) == Some(&"closes"))
            {
                assert!(!is_open(run, cells[0]), "{:?} alone does not close {}", LAYERS[layer], cells[0]);
            }
        }
    }
}
