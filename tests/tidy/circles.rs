//! No circle of files: whoever reads a file can read what it needs first.
//!
//! A path counts as an import of the file that declares the item: a folder's `pub use` only passes it on, and a
//! folder's `mod` lines import nothing.

use crate::files::{Files, code, module, rust};
use std::collections::{BTreeMap, BTreeSet};

/// A path in code, and whether it stands in a `pub use`.
struct Import {
    segments: Vec<String>,
    passes_on: bool,
}

/// Module by module: what it passes on under which name, from where.
type PassedOn = BTreeMap<String, BTreeMap<String, String>>;

pub fn no_circle_of_files(files: &Files) -> Vec<String> {
    let modules: BTreeMap<String, Vec<Import>> = rust(files, "src/")
        .filter(|(path, _)| !path.ends_with("lib.rs"))
        .map(|(path, text)| (module(path), imports(text)))
        .collect();
    let passed_on = modules.iter().map(|(name, imports)| (name.clone(), passes(name, imports, &modules))).collect();
    let mut edges: BTreeMap<&str, BTreeSet<String>> = BTreeMap::new();
    for (name, imports) in &modules {
        for import in imports.iter().filter(|import| !import.passes_on) {
            let Some((target, item)) = resolve(name, &import.segments, &modules) else { continue };
            let declared = declaring(target, item, &passed_on);
            if declared != *name && modules.contains_key(&declared) {
                edges.entry(name).or_default().insert(declared);
            }
        }
    }
    let reached: BTreeMap<&str, BTreeSet<&str>> = edges.keys().map(|name| (*name, reach(name, &edges))).collect();
    let mut found = BTreeSet::new();
    for (name, reached_from) in &reached {
        if reached_from.contains(name) {
            let circle: Vec<&str> = reached_from
                .iter()
                .filter(|other| reached.get(**other).is_some_and(|back| back.contains(name)))
                .copied()
                .collect();
            let within = |of: &str| {
                edges[of].iter().filter(|to| circle.contains(&to.as_str())).cloned().collect::<Vec<_>>().join(" ")
            };
            let shown: Vec<String> = circle.iter().map(|of| format!("{of} -> {}", within(of))).collect();
            found.insert(format!("a circle of {} files:\n    {}", circle.len(), shown.join("\n    ")));
        }
    }
    found.into_iter().collect()
}

fn reach<'a>(from: &str, edges: &'a BTreeMap<&str, BTreeSet<String>>) -> BTreeSet<&'a str> {
    let mut seen = BTreeSet::new();
    let mut next: Vec<&str> = edges.get(from).into_iter().flatten().map(String::as_str).collect();
    while let Some(name) = next.pop() {
        if seen.insert(name) {
            next.extend(edges.get(name).into_iter().flatten().map(String::as_str));
        }
    }
    seen
}

/// The module that `segments` lead to from `here`, and the item named in it.
fn resolve(
    here: &str,
    segments: &[String],
    modules: &BTreeMap<String, Vec<Import>>,
) -> Option<(String, Option<String>)> {
    let mut at: Vec<&str> = here.split("::").collect();
    let mut rest = segments;
    match rest.first()?.as_str() {
        "crate" => {
            at.clear();
            rest = &rest[1..];
        }
        "self" => rest = &rest[1..],
        "super" => {
            while rest.first().is_some_and(|segment| segment == "super") {
                at.pop();
                rest = &rest[1..];
            }
        }
        child => {
            let name = format!("{here}::{child}");
            if !modules.contains_key(&name) {
                return None;
            }
        }
    }
    let mut target = at.join("::");
    while let Some((segment, after)) = rest.split_first() {
        let longer = if target.is_empty() { segment.clone() } else { format!("{target}::{segment}") };
        if !modules.contains_key(&longer) {
            break;
        }
        target = longer;
        rest = after;
    }
    Some((target, rest.first().cloned()))
}

fn passes(name: &str, imports: &[Import], modules: &BTreeMap<String, Vec<Import>>) -> BTreeMap<String, String> {
    let passed = imports.iter().filter(|import| import.passes_on);
    passed
        .filter_map(|import| {
            let (target, item) = resolve(name, &import.segments, modules)?;
            Some((item?, target))
        })
        .collect()
}

fn declaring(mut target: String, item: Option<String>, passed_on: &PassedOn) -> String {
    let Some(item) = item else { return target };
    for _ in 0..8 {
        let passed = passed_on.get(&target);
        match passed.and_then(|names| names.get(&item).or_else(|| names.get("*"))) {
            Some(next) => target.clone_from(next),
            None => break,
        }
    }
    target
}

/// Every path of ours in the code of a file.
fn imports(text: &str) -> Vec<Import> {
    let mut found = Vec::new();
    let mut statement = String::new();
    for (_, line) in code(text) {
        let begins = line.trim();
        let visible = begins.strip_prefix("pub").map_or(begins, |rest| match rest.strip_prefix('(') {
            Some(scope) => scope.split_once(')').map_or("", |(_, rest)| rest).trim_start(),
            None => rest.trim_start(),
        });
        let is_use = !statement.is_empty() || visible.starts_with("use ");
        if is_use {
            statement.push_str(begins);
            statement.push(' ');
            if begins.ends_with(';') {
                let passes_on = statement.starts_with("pub");
                let tree = statement.split_once("use ").map_or("", |(_, tree)| tree).trim_end_matches([' ', ';']);
                expand(&[], tree, passes_on, &mut found);
                statement.clear();
            }
            continue;
        }
        for path in
            line.split(|c: char| !(c.is_alphanumeric() || c == '_' || c == ':')).filter(|path| path.contains("::"))
        {
            let segments = path.split("::").filter(|s| !s.is_empty()).map(str::to_owned).collect();
            found.push(Import { segments, passes_on: false });
        }
    }
    found
}

/// `a::{b, c::{d, e}}` as its paths.
fn expand(before: &[String], tree: &str, passes_on: bool, found: &mut Vec<Import>) {
    let tree = tree.trim();
    let head = tree.split('{').next().unwrap_or_default();
    let mut segments = before.to_vec();
    let alone = head.split(" as ").next().unwrap_or_default();
    segments.extend(alone.split("::").map(str::trim).filter(|s| !s.is_empty()).map(str::to_owned));
    let Some(group) = tree.strip_prefix(head).filter(|group| !group.is_empty()) else {
        found.push(Import { segments, passes_on });
        return;
    };
    let inner = group.strip_prefix('{').and_then(|group| group.strip_suffix('}')).unwrap_or_default();
    let (mut depth, mut start) = (0, 0);
    for (at, c) in inner.char_indices() {
        match c {
            '{' => depth += 1,
            '}' => depth -= 1,
            ',' if depth == 0 => {
                expand(&segments, &inner[start..at], passes_on, found);
                start = at + 1;
            }
            _ => {}
        }
    }
    if !inner[start..].trim().is_empty() {
        expand(&segments, &inner[start..], passes_on, found);
    }
}
