//! What the layout promises, checked: who may import whom, which library lives in which room, how long
//! a file gets, which names say nothing. Every rule is also shown to catch a violation.
#![expect(clippy::unwrap_used, reason = "a test may fail with a panic")]
#![expect(clippy::case_sensitive_file_extension_comparisons, reason = "our own names are in lower case")]

mod circles;
mod files;
mod words;

use circles::no_circle_of_files;
use files::{Files, code, one, rust, tree};
use std::path::Path;
use words::{a_type_is_declared_once, names_say_something, words_that_are_gone_stay_gone};

const MAX_LINES: usize = 500;

/// Wings in the order of ARCHITECTURE.md, each with what it may import besides its own.
const WINGS: &[(&str, &str)] = &[
    ("main", "cli"),
    ("cli", "tools worker config training adapters telemetry modelling domain failpoints secret version clock"),
    ("tools", "worker config training adapters telemetry modelling domain failpoints secret version clock"),
    ("worker", "config training adapters telemetry modelling domain failpoints guard secret version clock"),
    ("config", "training adapters telemetry modelling domain failpoints secret version"),
    ("training", "adapters telemetry modelling domain version clock"),
    ("adapters", "telemetry modelling domain failpoints guard secret version clock"),
    ("telemetry", "domain secret version clock"),
    ("modelling", "domain"),
    ("domain", ""),
    ("clock", ""),
    ("failpoints", ""),
    ("guard", "domain"),
    ("secret", ""),
    ("version", ""),
];

/// Adapters do not know each other, but for what they share.
const ADAPTERS: &[(&str, &str)] = &[("authority", "signing"), ("dataset", "objects"), ("evidence", "objects")];

/// Libraries that stay behind one wall.
const WALLS: &[(&str, &[&str])] = &[
    ("rdkafka", &["adapters/kafka"]),
    ("sqlx", &["adapters/ledger", "tools/bench"]),
    ("backoff", &["worker/backoff"]),
    ("object_store", &["adapters/objects", "adapters/evidence", "adapters/dataset"]),
    ("reqwest", &["adapters/objects", "telemetry"]),
    ("parquet", &["adapters/dataset", "tools/dev"]),
    ("arrow_array", &["adapters/dataset", "tools/dev"]),
    ("hessboost", &["training"]),
    ("p256", &["adapters/signing"]),
    ("ed25519_dalek", &["adapters/signing"]),
    ("base64", &["domain/contract", "adapters/kafka", "adapters/signing"]),
    ("rustls", &["adapters/kafka", "adapters/ledger"]),
    ("landlock", &["training"]),
    ("libc", &["training"]),
    ("procfs", &["training", "worker/http"]),
    ("rustix", &["training"]),
    ("seccompiler", &["training"]),
    ("maud", &["modelling/report_page", "worker/http/console"]),
    ("jsonschema", &["domain/contract"]),
    ("sha2", &["domain/identity"]),
    ("uuid", &["domain/identity", "modelling/lineage"]),
    ("axum", &["worker/http"]),
    ("metrics_exporter_prometheus", &["telemetry/metrics"]),
    ("counter!", &["telemetry/metrics"]),
    ("gauge!", &["telemetry/metrics"]),
    ("histogram!", &["telemetry/metrics"]),
    ("clap", &["cli", "main", "worker/run"]),
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
    (
        "anyhow",
        &[
            "cli",
            "telemetry",
            "tools/dev",
            "worker/assembly",
            "worker/drain",
            "worker/http",
            "worker/run",
            "worker/runner/open",
        ],
    ),
    ("std::env::var", &["config"]),
    ("Instant::now", &["clock"]),
    ("SystemTime::now", &["clock"]),
    ("Utc::now", &["clock"]),
    ("tokio", &["adapters", "cli", "tools", "training", "worker"]),
    ("std::fs", &["adapters", "cli", "config", "failpoints", "secret", "tools", "training", "worker/runner"]),
];

/// The entry of `src/` that a file belongs to.
fn wing(path: &str) -> &str {
    let inside = path.trim_start_matches("src/");
    inside.split('/').next().unwrap().trim_end_matches(".rs")
}

/// Whether a file is that of a room, or lies in it.
fn lies_in(path: &str, room: &str) -> bool {
    let inside = path.trim_start_matches("src/").trim_end_matches(".rs");
    inside.strip_prefix(room).is_some_and(|rest| rest.is_empty() || rest.starts_with('/'))
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

/// What stands behind `crate::` or `model_factory::` in a line: wing, and room where one is named.
fn imported(line: &str) -> impl Iterator<Item = (String, String)> {
    let heads = line.match_indices("crate::").chain(line.match_indices("model_factory::"));
    heads.map(|(at, prefix)| {
        let mut segments = line[at + prefix.len()..]
            .split("::")
            .map(|segment| segment.chars().take_while(|c| c.is_alphanumeric() || *c == '_').collect::<String>());
        (segments.next().unwrap_or_default(), segments.next().unwrap_or_default())
    })
}

fn imports_go_one_way(files: &Files) -> Vec<String> {
    let mut found = Vec::new();
    for (path, text) in rust(files, "src/").filter(|(path, _)| *path != "src/lib.rs") {
        let here = wing(path);
        let Some((_, allowed)) = WINGS.iter().find(|(name, _)| *name == here) else {
            found.push(format!("{path}: the wing {here} is not in the table of tests/tidy"));
            continue;
        };
        for (number, line) in code(text) {
            for (name, _) in imported(line) {
                if name != here && !allowed.split(' ').any(|wing| wing == name) {
                    found.push(format!("{path}:{number}: {here} may not import {name:?}"));
                }
            }
        }
    }
    found
}

fn adapters_do_not_know_each_other(files: &Files) -> Vec<String> {
    let mut found = Vec::new();
    for (path, text) in rust(files, "src/adapters/") {
        let here = path.trim_start_matches("src/adapters/").split('/').next().unwrap();
        let shared = ADAPTERS.iter().find(|(name, _)| *name == here).map_or("", |(_, shared)| shared);
        for (number, line) in code(text) {
            for (_, room) in imported(line).filter(|(wing, room)| wing == "adapters" && room != here) {
                if !shared.split(' ').any(|name| name == room) {
                    found.push(format!("{path}:{number}: the adapter {here} may not import {room:?}"));
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
                if names(line, library) && !rooms.iter().any(|room| lies_in(path, room)) {
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

/// Wings are the names at the very start of a line in the one block of ARCHITECTURE.md that begins with `lib.rs`.
fn the_map_shows_every_wing(files: &Files) -> Vec<String> {
    let map = &files["ARCHITECTURE.md"];
    let block = map.split("```").find(|block| block.trim_start().starts_with("lib.rs")).unwrap_or_default();
    let mut shown: Vec<String> = block
        .lines()
        .filter(|line| !line.starts_with(' '))
        .filter_map(|line| line.split_whitespace().next())
        .filter(|name| name.ends_with('/') || name.ends_with(".rs"))
        .map(|name| name.trim_end_matches('/').trim_end_matches(".rs").to_owned())
        .collect();
    let mut there: Vec<String> = rust(files, "src/").map(|(path, _)| wing(path).to_owned()).collect();
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
/// is taken away or made narrower, and what is new asks nothing of statements that do not know it. An index that is not
/// unique may go: without it a statement is slower, and its answer is the same.
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
    let is_plain_index = |statement: &str| {
        statement.strip_prefix("DROP INDEX ").is_some_and(|name| {
            let created = format!("\nCREATE INDEX {} ", name.to_lowercase());
            files.iter().any(|(path, text)| path.starts_with("schemas/postgres/0") && text.contains(&created))
        })
    };
    let mut found = Vec::new();
    for (path, text) in files.iter().filter(|(path, _)| later(path).is_some()) {
        let code: Vec<&str> = text.lines().map(|line| line.split("--").next().unwrap_or_default()).collect();
        // What a new function does, when it is called, is not done by the migration.
        let code = code.join(" ").to_uppercase();
        let mut parts = code.split(" AS $$");
        let mut outside = parts.next().unwrap_or_default().to_owned();
        outside.extend(parts.filter_map(|part| part.split_once("$$")).map(|(_, behind)| behind));
        for statement in outside.split(';') {
            // What a new trigger refuses is not done by the migration.
            let statement = statement.replace("OR TRUNCATE ON", "ON");
            let statement = statement.split_whitespace().collect::<Vec<_>>().join(" ");
            let begins = AT_THE_START.iter().find(|start| statement.starts_with(*start));
            let refused = ANYWHERE.iter().find(|word| statement.contains(*word)).or(begins);
            let refused = refused.filter(|_| !is_plain_index(&statement));
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
        adapters_do_not_know_each_other,
        no_circle_of_files,
        libraries_stay_in_their_room,
        files_are_short,
        no_file_is_dead,
        names_say_something,
        a_type_is_declared_once,
        words_that_are_gone_stay_gone,
        the_map_shows_every_wing,
        links_lead_somewhere,
        migrations_only_add,
    ];
    let found: Vec<String> = rules.iter().flat_map(|rule| rule(&files)).collect();
    assert!(found.is_empty(), "\n{}", found.join("\n"));
}

#[test]
fn every_rule_catches_its_violation() {
    let caught = |found: Vec<String>| assert_eq!(found.len(), 1, "{found:?}");
    caught(imports_go_one_way(&one("src/domain/run/mod.rs", "use crate::adapters::ledger::Ledger;\n")));
    caught(imports_go_one_way(&one("src/adapters/kafka/inbox.rs", "fn f() { crate::worker::relay::send() }\n")));
    caught(imports_go_one_way(&one("src/attic.rs", "\n")));
    caught(adapters_do_not_know_each_other(&one(
        "src/adapters/kafka/inbox.rs",
        "use crate::adapters::ledger::Ledger;\n",
    )));
    caught(libraries_stay_in_their_room(&one("src/worker/intake.rs", "use rdkafka::Message;\n")));
    caught(libraries_stay_in_their_room(&one("src/worker/relay.rs", "let x = backoff::retry();\n")));
    caught(libraries_stay_in_their_room(&one("src/modelling/gate.rs", "let x = std::env::var(\"X\");\n")));
    caught(libraries_stay_in_their_room(&one("src/domain/contract/parse.rs", "use tokio::sync::watch;\n")));
    caught(libraries_stay_in_their_room(&one("src/worker/http/console/mod.rs", "use console::Term;\n")));
    let circle = [
        ("src/run/mod.rs", "mod state;\nmod code;\npub use code::Code;\n"),
        ("src/run/code.rs", "use super::state::{\n    State,\n};\npub struct Code;\n"),
        ("src/run/state.rs", "use super::Code;\npub struct State;\n"),
    ];
    caught(no_circle_of_files(&circle.map(|(path, text)| (path.to_owned(), text.to_owned())).into()));
    caught(files_are_short(&one("src/worker/relay.rs", &"\n".repeat(MAX_LINES + 1))));
    caught(no_file_is_dead(&one("src/adapters/ledger/attic.rs", "")));
    caught(names_say_something(&one("src/adapters/ledger/utils.rs", "")));
    caught(names_say_something(&one("src/adapters/ledger/mod.rs", "pub struct LeaseManager;\n")));
    caught(a_type_is_declared_once(&one("src/worker/relay.rs", "struct Pace;\nfn f() {}\npub enum Pace {}\n")));
    caught(words_that_are_gone_stay_gone(&one("src/worker/relay.rs", "pub struct Pulse;\n")));
    let mut map = one("ARCHITECTURE.md", "```\nlib.rs map\nattic/ dust\n```");
    map.extend(one("src/lib.rs", ""));
    caught(the_map_shows_every_wing(&map));
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
    let downwards = "use crate::adapters::ledger::Ledger; // not crate::tools\n";
    assert!(imports_go_one_way(&one("src/worker/relay.rs", downwards)).is_empty());
    assert!(
        adapters_do_not_know_each_other(&one("src/adapters/evidence/store.rs", "use crate::adapters::objects::S3;"))
            .is_empty()
    );
    assert!(
        libraries_stay_in_their_room(&one("src/domain/run/failure.rs", "    \"retried with backoff.\"\n")).is_empty()
    );
    let comment = "/// `hessboost` (built in).\n";
    assert!(libraries_stay_in_their_room(&one("src/domain/contract/profile.rs", comment)).is_empty());
    let ours = "use crate::worker::http::console::Console;\n";
    assert!(libraries_stay_in_their_room(&one("src/worker/mod.rs", ours)).is_empty());
    let passed_on = [
        ("src/run/mod.rs", "mod state;\nmod code;\npub use code::Code;\npub use state::State;\n"),
        ("src/run/code.rs", "pub struct Code;\n"),
        ("src/run/state.rs", "use super::Code;\npub struct State;\n"),
    ];
    assert!(no_circle_of_files(&passed_on.map(|(path, text)| (path.to_owned(), text.to_owned())).into()).is_empty());
    assert!(names_say_something(&one("src/adapters/ledger/admit.rs", "fn admit() {}\n")).is_empty());
    let behind_their_room = "pub enum Error {}\nimpl X {\n    type Error = Y;\n}\nstruct Error;\n";
    assert!(a_type_is_declared_once(&one("src/worker/relay.rs", behind_their_room)).is_empty());
    assert!(words_that_are_gone_stay_gone(&one("src/worker/relay.rs", "fn heartbeat() { told }\n")).is_empty());
    let adds = "-- never DROP\nCREATE INDEX i ON runs (fence);\nCREATE TABLE t (a text NOT NULL UNIQUE);\n\
                ALTER TABLE runs ADD COLUMN a text, ADD COLUMN b text NOT NULL DEFAULT '';\n\
                DROP INDEX i;\n";
    assert!(migrations_only_add(&one("schemas/postgres/0002_x.sql", adds)).is_empty());
    let first = one("schemas/postgres/0001_ledger.sql", "CREATE UNIQUE INDEX i ON outbox (event_id);");
    assert!(migrations_only_add(&first).is_empty());
}
