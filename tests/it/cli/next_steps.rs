//! What goes wrong first in a new set-up: each error names the next step.

use crate::support::{World, fresh_database};
use std::time::Duration;

/// Arguments, changed settings, and the parts that the error must have.
type Case<'a> = (&'a [&'a str], &'a [(&'a str, &'a str)], &'a [&'a str]);

/// What the binary prints on standard error with these settings; fails the test if it succeeds or goes on.
async fn printed_error(world: &World, arguments: &[&str], changed: &[(&str, &str)]) -> String {
    const BOUND: Duration = Duration::from_mins(2);
    let mut command = tokio::process::Command::from(world.command(arguments));
    command.kill_on_drop(true).env("MODEL_FACTORY_WORKER__LOG", "off");
    for (name, value) in changed {
        command.env(format!("MODEL_FACTORY_{name}"), value);
    }
    let ended = tokio::time::timeout(BOUND, command.output()).await;
    let output = ended.unwrap_or_else(|_| panic!("{arguments:?} {changed:?} still works")).unwrap();
    assert!(!output.status.success(), "{arguments:?} {changed:?} succeeded");
    String::from_utf8(output.stderr).unwrap()
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn every_first_error_names_the_next_step() {
    let world = World::new().await;
    let empty = fresh_database().await;
    let gone = "postgres://postgres@127.0.0.1:1/mf";
    let absent = world.config.ledger.url.rsplit_once('/').map(|(server, _)| format!("{server}/absent")).unwrap();
    let missing = format!("{}-missing", world.config.kafka.topics.requests);
    let create = format!("--create --topic {missing}");
    let worker = ["worker", "--from", "earliest"];
    let request = world.folder.path().join("request.json");
    std::fs::write(&request, crate::support::request("req-next-0001").to_string()).unwrap();
    let submit = ["submit", request.to_str().unwrap(), "--wait"];
    let no_broker = [("KAFKA__BROKERS", "127.0.0.1:1")];
    let send = ["submit", request.to_str().unwrap()];
    let cases: [Case<'_>; 12] = [
        (&worker, &no_broker, &["no broker answers at 127.0.0.1:1", "[kafka] brokers"]),
        (&submit, &no_broker, &["no broker answers at 127.0.0.1:1", "[kafka] brokers"]),
        (&send, &no_broker, &["no broker took the request ([kafka] brokers = 127.0.0.1:1)", "`model-factory doctor`"]),
        (&worker, &[("KAFKA__TOPICS__REQUESTS", &missing)], &["topics are missing", &create]),
        (&worker, &[("LEDGER__URL", gone)], &["no Postgres answers at 127.0.0.1:1", "[ledger] url"]),
        (&["runs", "list"], &[("LEDGER__URL", gone)], &["no Postgres answers at 127.0.0.1:1", "[ledger] url"]),
        (&["migrate"], &[("LEDGER__URL", &absent)], &["\"absent\" does not exist", "create it"]),
        (&worker, &[("LEDGER__URL", &empty)], &["has no schema", "`model-factory migrate`"]),
        (&["runs", "list"], &[("LEDGER__URL", &empty)], &["`model-factory migrate`"]),
        (&["dead-letters", "list"], &[("LEDGER__URL", &empty)], &["`model-factory migrate`"]),
        (&["worker"], &[], &["has never committed", "--from earliest", "--from latest"]),
        (&["worker", "--config", "absent.toml"], &[], &["cannot read absent.toml"]),
    ];
    for (arguments, changed, parts) in cases {
        let said = printed_error(&world, arguments, changed).await;
        for part in parts {
            assert!(said.contains(part), "{arguments:?} {changed:?} should say {part:?}: {said}");
        }
    }
}
