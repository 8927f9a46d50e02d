//! What the layout promises, checked: who may import whom, which library lives in which room, how long
//! a file gets, which names say nothing. Every rule is also shown to catch a violation.
#![expect(clippy::unwrap_used, reason = "a test may fail with a panic")]
#![expect(clippy::case_sensitive_file_extension_comparisons, reason = "our own names are in lower case")]

use std::collections::BTreeMap;
use std::fs;
use std::path::Path;

const MAX_LINES: usize = 500;

/// Rooms in the order of ARCHITECTURE.md, each with the rooms of ours that it may import.
const ROOMS: &[(&str, &str)] = &[
    ("main", "cli"),
    (
        "cli",
        "app audit bench child cli config contract dataset dev doctor evidence identity intake kafka ledger logbook pipeline \
         rebuild run runner scoring signing telemetry trainer version",
    ),
    (
        "app",
        "config console contract dataset evidence faults intake kafka ledger lineage meter ops pulse registry relay runner trainer version",
    ),
    ("config", "authority contract dataset evidence faults kafka ledger lineage signing telemetry trainer"),
    ("telemetry", "secret trace_context version"),
    ("trace_context", ""),
    ("retry", ""),
    ("pulse", ""),
    ("version", ""),
    ("secret", ""),
    ("faults", ""),
    ("contract", "identity run"),
    ("identity", ""),
    ("run", "identity"),
    ("pipeline", "contract identity run"),
    ("meter", "run version"),
    ("lineage", "contract identity pipeline run"),
    ("kafka", "meter secret"),
    ("ledger", "authority contract faults identity lineage logbook meter run secret trace_context"),
    ("logbook", "contract identity run"),
    ("evidence", "contract faults identity objects run"),
    ("dataset", "contract identity objects pipeline run"),
    ("objects", ""),
    ("signing", "contract identity secret"),
    ("authority", "contract identity run signing"),
    ("trainer", "contract identity meter pipeline run"),
    ("ops", "meter pulse version"),
    ("console", "contract evidence identity ledger ops pipeline run version"),
    ("intake", "authority contract dataset faults identity kafka ledger pulse retry run telemetry trace_context"),
    ("registry", "contract faults kafka ledger meter pulse retry"),
    (
        "runner",
        "contract dataset evidence faults identity ledger lineage meter pipeline pulse retry run signing telemetry trainer",
    ),
    ("relay", "contract faults identity kafka ledger meter pulse retry run telemetry trace_context"),
    ("audit", "contract identity pipeline signing trainer"),
    ("rebuild", "audit contract dataset evidence identity pipeline run trainer"),
    ("scoring", "audit contract identity pipeline run trainer"),
    ("child", "contract dataset identity pipeline run trainer"),
    ("dev", "config contract identity kafka ledger run signing"),
    ("doctor", "config contract dataset evidence kafka ledger telemetry trainer"),
    ("bench", "contract dataset dev identity intake kafka ledger pipeline relay run trainer"),
];

/// Libraries that stay behind one wall.
const WALLS: &[(&str, &[&str])] = &[
    ("rdkafka", &["kafka"]),
    ("sqlx", &["bench", "ledger"]),
    ("backoff", &["retry"]),
    ("object_store", &["objects", "evidence", "dataset"]),
    ("reqwest", &["objects", "telemetry"]),
    ("parquet", &["dataset", "dev"]),
    ("arrow_array", &["dataset", "dev"]),
    ("hessboost", &["trainer"]),
    ("p256", &["signing"]),
    ("ed25519_dalek", &["signing"]),
    ("base64", &["contract", "kafka", "signing"]),
    ("rustls", &["kafka", "ledger"]),
    ("landlock", &["trainer"]),
    ("procfs", &["ops", "trainer"]),
    ("rustix", &["trainer"]),
    ("maud", &["console", "pipeline"]),
    ("jsonschema", &["contract"]),
    ("sha2", &["identity"]),
    ("uuid", &["identity", "lineage"]),
    ("axum", &["console", "ops"]),
    ("metrics_exporter_prometheus", &["meter"]),
    ("counter!", &["meter"]),
    ("gauge!", &["meter"]),
    ("histogram!", &["meter"]),
    ("clap", &["app", "cli", "main"]),
    ("clap_complete", &["cli"]),
    ("clap_mangen", &["cli"]),
    ("console", &["cli", "telemetry"]),
    ("indicatif", &["cli"]),
    ("humantime", &["cli"]),
    ("strsim", &["config"]),
    ("opentelemetry", &["telemetry"]),
    ("opentelemetry_http", &["telemetry"]),
    ("opentelemetry_otlp", &["telemetry"]),
    ("opentelemetry_sdk", &["telemetry"]),
    ("tracing_opentelemetry", &["telemetry"]),
    ("tracing_subscriber", &["telemetry"]),
    ("anyhow", &["app", "cli", "dev", "ops", "telemetry"]),
    ("std::env::var", &["config"]),
    (
        "tokio",
        &[
            "app", "bench", "cli", "console", "dataset", "doctor", "evidence", "intake", "kafka", "ops", "rebuild",
            "registry", "relay", "runner", "trainer",
        ],
    ),
    (
        "std::fs",
        &[
            "app", "audit", "bench", "child", "cli", "config", "dataset", "dev", "doctor", "evidence", "faults",
            "kafka", "ledger", "objects", "rebuild", "runner", "scoring", "secret", "trainer",
        ],
    ),
];

const SAY_NOTHING: &[&str] = &["utils", "util", "common", "helper", "helpers", "misc", "manager", "phase"];

/// Path from the repository's root, and text.
type Files = BTreeMap<String, String>;

fn tree() -> Files {
    fn visit(root: &Path, folder: &Path, files: &mut Files) {
        for entry in fs::read_dir(folder).unwrap() {
            let path = entry.unwrap().path();
            let name = path.strip_prefix(root).unwrap().to_str().unwrap().to_owned();
            if path.is_dir() {
                visit(root, &path, files);
            } else if ["rs", "md", "sh", "py", "toml", "sql"]
                .iter()
                .any(|end| path.extension().is_some_and(|e| e == *end))
            {
                files.insert(name, fs::read_to_string(&path).unwrap());
            }
        }
    }
    let root = Path::new(env!("CARGO_MANIFEST_DIR"));
    let mut files = Files::new();
    for folder in ["src", "tests", "docs", "deploy", "schemas", "examples"] {
        if root.join(folder).exists() {
            visit(root, &root.join(folder), &mut files);
        }
    }
    for name in ["README.md", "ARCHITECTURE.md", "CHANGELOG.md", "CONTRIBUTING.md"] {
        files.insert(name.to_owned(), fs::read_to_string(root.join(name)).unwrap());
    }
    files
}

fn one(path: &str, text: &str) -> Files {
    Files::from([(path.to_owned(), text.to_owned())])
}

fn rust<'a>(files: &'a Files, under: &'a str) -> impl Iterator<Item = (&'a String, &'a String)> {
    files.iter().filter(move |(path, _)| path.starts_with(under) && path.ends_with(".rs"))
}

fn room(path: &str) -> &str {
    let inside = path.trim_start_matches("src/");
    inside.split('/').next().unwrap().trim_end_matches(".rs")
}

/// The lines of code, without comments and without the tests at the end of a file.
fn code(text: &str) -> impl Iterator<Item = (usize, &str)> {
    let end = text.find("#[cfg(test)]\nmod tests {").unwrap_or(text.len());
    text[..end].lines().enumerate().map(|(number, line)| (number + 1, line.split("//").next().unwrap_or_default()))
}

/// Whether `name` stands in `line` as a path or the head of one, not inside a longer name, path or text: a room may
/// have the name of a library.
fn names(line: &str, name: &str) -> bool {
    line.match_indices(name).any(|(at, _)| {
        let before = line[..at].chars().next_back();
        let after = &line[at + name.len()..];
        let alone = !before.is_some_and(|c| c.is_alphanumeric() || "_\"`.-:".contains(c));
        alone
            && (after.starts_with("::") || after.starts_with('(') || line.trim_start().starts_with("use "))
            && !after.starts_with(|c: char| c.is_alphanumeric() || c == '_')
    })
}

fn imports_go_one_way(files: &Files) -> Vec<String> {
    let mut found = Vec::new();
    for (path, text) in rust(files, "src/").filter(|(path, _)| *path != "src/lib.rs") {
        let here = room(path);
        let Some((_, allowed)) = ROOMS.iter().find(|(name, _)| *name == here) else {
            found.push(format!("{path}: the room {here} is not in the table of tests/tidy.rs"));
            continue;
        };
        for (number, line) in code(text) {
            for (at, prefix) in line.match_indices("crate::").chain(line.match_indices("model_factory::")) {
                let name: String =
                    line[at + prefix.len()..].chars().take_while(|c| c.is_alphanumeric() || *c == '_').collect();
                let known = name == here || allowed.split(' ').any(|room| room == name);
                if !known {
                    found.push(format!("{path}:{number}: {here} may not import {name:?}"));
                }
            }
        }
    }
    found
}

fn libraries_stay_in_their_room(files: &Files) -> Vec<String> {
    let mut found = Vec::new();
    for (path, text) in rust(files, "src/") {
        for (number, line) in code(text) {
            for (library, rooms) in WALLS {
                if names(line, library) && !rooms.contains(&room(path)) {
                    found.push(format!("{path}:{number}: {library} belongs to {rooms:?}"));
                }
            }
        }
    }
    found
}

fn files_are_short(files: &Files) -> Vec<String> {
    let long = files.iter().filter(|(path, _)| [".rs", ".py", ".sh"].iter().any(|end| path.ends_with(end)));
    long.map(|(path, text)| (path, text.lines().count()))
        .filter(|(_, lines)| *lines > MAX_LINES)
        .map(|(path, lines)| format!("{path}: {lines} lines, at most {MAX_LINES}"))
        .collect()
}

/// A file that no `mod` line names is never compiled.
fn no_file_is_dead(files: &Files) -> Vec<String> {
    let mut found = Vec::new();
    for (path, _) in rust(files, "src/").chain(rust(files, "tests/it/")) {
        let (folder, file) = path.rsplit_once('/').unwrap();
        let (folder, name) = match file {
            "lib.rs" | "main.rs" => continue,
            "mod.rs" => folder.rsplit_once('/').unwrap(),
            file => (folder, file.trim_end_matches(".rs")),
        };
        let parents = ["mod.rs", "lib.rs", "main.rs"].map(|parent| format!("{folder}/{parent}"));
        let declared = parents.iter().filter_map(|parent| files.get(parent)).any(|text| {
            text.lines().any(|line| {
                let line = line.trim_start_matches("pub ").trim_start_matches("pub(crate) ");
                line == format!("mod {name};")
            })
        });
        if !declared {
            found.push(format!("{path}: no `mod {name};` in {folder}"));
        }
    }
    found
}

fn words(name: &str) -> Vec<String> {
    let mut spaced = String::new();
    for c in name.chars() {
        if c.is_uppercase() {
            spaced.push(' ');
        }
        spaced.extend(c.to_lowercase());
    }
    spaced.split(|c: char| !c.is_alphanumeric()).map(str::to_owned).collect()
}

fn names_say_something(files: &Files) -> Vec<String> {
    let empty = |name: &str| words(name).iter().any(|word| SAY_NOTHING.contains(&word.as_str()));
    let mut found = Vec::new();
    for (path, text) in files {
        if empty(path) {
            found.push(format!("{path}: the name says nothing"));
        }
        if !path.ends_with(".rs") || path == "tests/tidy.rs" {
            continue;
        }
        for (number, line) in code(text) {
            for keyword in ["struct ", "enum ", "trait ", "mod ", "fn ", "type "] {
                if let Some((_, rest)) = line.split_once(keyword) {
                    let name: String = rest.chars().take_while(|c| c.is_alphanumeric() || *c == '_').collect();
                    if empty(&name) {
                        found.push(format!("{path}:{number}: the name {name} says nothing"));
                    }
                }
            }
        }
    }
    found
}

/// Rooms are the names at the start of a line in the one block of ARCHITECTURE.md that begins with
/// `lib.rs`.
fn the_map_shows_every_room(files: &Files) -> Vec<String> {
    let map = &files["ARCHITECTURE.md"];
    let block = map.split("```").find(|block| block.trim_start().starts_with("lib.rs")).unwrap_or_default();
    let mut shown: Vec<String> = block
        .lines()
        .filter_map(|line| line.split_whitespace().next())
        .filter(|name| name.ends_with('/') || name.ends_with(".rs"))
        .map(|name| name.trim_end_matches('/').trim_end_matches(".rs").to_owned())
        .collect();
    let mut there: Vec<String> = rust(files, "src/").map(|(path, _)| room(path).to_owned()).collect();
    shown.sort();
    there.sort();
    there.dedup();
    let missing = there.iter().filter(|name| !shown.contains(name)).map(|name| format!("ARCHITECTURE.md lacks {name}"));
    let gone = shown.iter().filter(|name| !there.contains(name)).map(|name| format!("ARCHITECTURE.md tells of {name}"));
    missing.chain(gone).collect()
}

fn links_lead_somewhere(files: &Files) -> Vec<String> {
    let root = Path::new(env!("CARGO_MANIFEST_DIR"));
    let mut found = Vec::new();
    for (path, text) in files.iter().filter(|(path, _)| path.ends_with(".md")) {
        let folder = Path::new(path).parent().unwrap();
        for (at, _) in text.match_indices("](") {
            let target = text[at + 2..].split([')', '#', ' ']).next().unwrap();
            if !target.is_empty() && !target.contains("://") && !root.join(folder).join(target).exists() {
                found.push(format!("{path}: the link to {target} leads nowhere"));
            }
        }
    }
    found
}

/// The release before this one works on while its workers are replaced one by one: after the first migration nothing
/// is taken away or made narrower, and what is new asks nothing of statements that do not know it.
fn migrations_only_add(files: &Files) -> Vec<String> {
    const ANYWHERE: [&str; 10] = [
        "DROP ",
        "ALTER TYPE",
        "ALTER COLUMN",
        "RENAME ",
        "TRUNCATE ",
        "SET NOT NULL",
        "ADD CONSTRAINT",
        "ADD CHECK",
        "ADD FOREIGN",
        "ADD UNIQUE",
    ];
    const AT_THE_START: [&str; 3] = ["UPDATE ", "DELETE ", "CREATE UNIQUE INDEX"];
    let later = |path: &str| {
        let name = path.strip_prefix("schemas/postgres/")?;
        (name > "0002" && name.starts_with(|c: char| c.is_ascii_digit())).then_some(())
    };
    let mut found = Vec::new();
    for (path, text) in files.iter().filter(|(path, _)| later(path).is_some()) {
        let code: Vec<&str> = text.lines().map(|line| line.split("--").next().unwrap_or_default()).collect();
        for statement in code.join(" ").to_uppercase().split(';') {
            // What a new trigger refuses is not done by the migration.
            let statement = statement.replace("OR TRUNCATE ON", "ON");
            let statement = statement.split_whitespace().collect::<Vec<_>>().join(" ");
            let begins = AT_THE_START.iter().find(|start| statement.starts_with(*start));
            let refused = ANYWHERE.iter().find(|word| statement.contains(*word)).or(begins);
            if let Some(word) = refused {
                found.push(format!("{path}: {word:?} would break workers of the release before: {statement}"));
            }
            for column in statement.split("ADD COLUMN").skip(1) {
                let column = column.split(", ADD").next().unwrap_or_default();
                if column.contains("NOT NULL") && !column.contains("DEFAULT") {
                    found.push(format!("{path}: a column that old statements do not fill: {statement}"));
                }
            }
        }
    }
    found
}

#[test]
fn the_tree_is_tidy() {
    let files = tree();
    assert!(rust(&files, "src/").count() > 50, "the tree was not found");
    let rules = [
        imports_go_one_way,
        libraries_stay_in_their_room,
        files_are_short,
        no_file_is_dead,
        names_say_something,
        the_map_shows_every_room,
        links_lead_somewhere,
        migrations_only_add,
    ];
    let found: Vec<String> = rules.iter().flat_map(|rule| rule(&files)).collect();
    assert!(found.is_empty(), "\n{}", found.join("\n"));
}

#[test]
fn every_rule_catches_its_violation() {
    let caught = |found: Vec<String>| assert_eq!(found.len(), 1, "{found:?}");
    caught(imports_go_one_way(&one("src/run/mod.rs", "use crate::ledger::Ledger;\n")));
    caught(imports_go_one_way(&one("src/kafka/inbox.rs", "fn f() { crate::ledger::admit() }\n")));
    caught(imports_go_one_way(&one("src/attic.rs", "\n")));
    caught(libraries_stay_in_their_room(&one("src/intake.rs", "use rdkafka::Message;\n")));
    caught(libraries_stay_in_their_room(&one("src/relay.rs", "let x = backoff::retry();\n")));
    caught(libraries_stay_in_their_room(&one("src/pipeline/gate.rs", "let x = std::env::var(\"X\");\n")));
    caught(libraries_stay_in_their_room(&one("src/contract/parse.rs", "use tokio::sync::watch;\n")));
    caught(libraries_stay_in_their_room(&one("src/console/mod.rs", "use console::Term;\n")));
    caught(files_are_short(&one("src/relay.rs", &"\n".repeat(MAX_LINES + 1))));
    caught(no_file_is_dead(&one("src/ledger/attic.rs", "")));
    caught(names_say_something(&one("src/ledger/utils.rs", "")));
    caught(names_say_something(&one("src/ledger/mod.rs", "pub struct LeaseManager;\n")));
    let mut map = one("ARCHITECTURE.md", "```\nlib.rs map\nattic/ dust\n```");
    map.extend(one("src/lib.rs", ""));
    caught(the_map_shows_every_room(&map));
    caught(links_lead_somewhere(&one("README.md", "[x](docs/nowhere.md)")));
    for statement in [
        "DROP INDEX runs_recent;",
        "ALTER TYPE run_state ADD VALUE 'LOST';",
        "-- why\nALTER TABLE runs ALTER COLUMN tenant\n SET DEFAULT 'x';",
        "ALTER TABLE runs RENAME COLUMN tenant TO owner;",
        "CREATE UNIQUE INDEX runs_key ON runs (run_key);",
        "ALTER TABLE runs ADD CONSTRAINT x CHECK (fence < 9);",
        "UPDATE runs SET state = 'FAIL';",
        "ALTER TABLE runs ADD COLUMN a text, ADD COLUMN b text NOT NULL;",
    ] {
        caught(migrations_only_add(&one("schemas/postgres/0004_x.sql", statement)));
    }
}

#[test]
fn what_is_allowed_is_let_through() {
    assert!(imports_go_one_way(&one("src/relay.rs", "use crate::ledger::Ledger; // not crate::dev\n")).is_empty());
    assert!(libraries_stay_in_their_room(&one("src/run/failure.rs", "    \"retried with backoff.\"\n")).is_empty());
    assert!(libraries_stay_in_their_room(&one("src/contract/profile.rs", "/// `hessboost` (built in).\n")).is_empty());
    assert!(libraries_stay_in_their_room(&one("src/app/mod.rs", "use crate::console::Console;\n")).is_empty());
    assert!(names_say_something(&one("src/ledger/admit.rs", "fn admit() {}\n")).is_empty());
    let adds = "-- never DROP\nCREATE INDEX i ON runs (fence);\nCREATE TABLE t (a text NOT NULL UNIQUE);\n\
                ALTER TABLE runs ADD COLUMN a text, ADD COLUMN b text NOT NULL DEFAULT '';\n";
    assert!(migrations_only_add(&one("schemas/postgres/0002_x.sql", adds)).is_empty());
    let first = one("schemas/postgres/0001_ledger.sql", "CREATE UNIQUE INDEX i ON outbox (event_id);");
    assert!(migrations_only_add(&first).is_empty());
}
