//! `audit verify` and `audit export`, and an export verified without a database.

use crate::support::{World, admit_one, bring, revision, sql};
use serde_json::{Value, json};
use std::path::Path;
use std::process::Output;

fn text(output: &Output) -> String {
    format!("{}{}", String::from_utf8_lossy(&output.stdout), String::from_utf8_lossy(&output.stderr))
}

/// The command must end with status 1 and print these words.
fn refuses(world: &World, arguments: &[&str], words: &[&str]) {
    let output = world.command(arguments).output().unwrap();
    let said = text(&output);
    assert_eq!(output.status.code(), Some(1), "{arguments:?}: {said}");
    for word in words {
        assert!(said.contains(word), "{arguments:?}: {word}: {said}");
    }
}

fn rewrite(path: &Path, change: impl FnOnce(&mut Vec<String>)) {
    let mut lines: Vec<String> = std::fs::read_to_string(path).unwrap().lines().map(str::to_owned).collect();
    change(&mut lines);
    std::fs::write(path, lines.join("\n") + "\n").unwrap();
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn an_export_is_checked_by_itself_and_every_change_of_it_is_found() {
    let world = World::new().await;
    let run_id = admit_one(&world.ledger, "a").await.to_string();
    for number in 0..3 {
        bring(&world.ledger, &revision(&format!("req-more-{number:04}"), &format!("c{number}"))).await;
    }
    world.stdout(&["runs", "cancel", &run_id, "--reason", "wrong manifest", "--actor", "ann"]);
    let head = world.ledger.audit_head().await.unwrap().to_string();
    let said = world.stdout(&["audit", "verify"]);
    assert!(said.contains("chain        ok      6 blocks, 7 acts") && said.contains(&head), "{said}");
    assert!(said.contains("agrees in 1 steps, 4 records, 1 commands"), "{said}");
    let json: Value =
        serde_json::from_str(&world.stdout(&["audit", "verify", "--head", &head, "--output", "json"])).unwrap();
    assert_eq!((&json["broken"], &json["disagreements"], &json["acts"]), (&json!(null), &json!([]), &json!(7)));

    let path = world.folder.path().join("audit.jsonl");
    let file = path.to_str().unwrap();
    world.stdout(&["audit", "export", "--output", file]);
    let whole = std::fs::read_to_string(&path).unwrap();
    assert_eq!(whole, world.stdout(&["audit", "export"]));
    assert_eq!(whole.lines().count(), 7);
    let offline = world.stdout(&["audit", "verify", "--file", file, "--head", &head]);
    assert!(offline.contains("6 blocks, from the first on") && offline.contains(&head), "{offline}");

    let check = ["audit", "verify", "--file", file];
    rewrite(&path, |lines| lines[2] = lines[2].replace("req-more-0000", "req-more-9999"));
    refuses(&world, &check, &["BROKEN", "block 3: its content comes to"]);
    std::fs::write(&path, &whole).unwrap();
    rewrite(&path, |lines| drop(lines.remove(3)));
    refuses(&world, &check, &["block 5: it follows block 3"]);
    std::fs::write(&path, &whole).unwrap();
    rewrite(&path, |lines| lines.swap(1, 2));
    refuses(&world, &check, &["block 3: it follows block 1"]);
    std::fs::write(&path, &whole).unwrap();
    rewrite(&path, |lines| drop(lines.remove(5)));
    refuses(&world, &check, &["5 blocks are there, 6 were written"]);
    rewrite(&path, |lines| drop(lines.pop()));
    refuses(&world, &check, &["the last line, which says where the chain stood, is not there"]);
    std::fs::write(&path, whole.clone() + whole.lines().next().unwrap()).unwrap();
    refuses(&world, &check, &["something stands behind the last line"]);

    // Exports from the middle on, and of one run.
    world.stdout(&["audit", "export", "--from", "4", "--output", file]);
    let offline = world.stdout(&["audit", "verify", "--file", file]);
    assert!(offline.contains("3 blocks, behind block 3, which is taken on trust"), "{offline}");
    world.stdout(&["audit", "export", "--run", &run_id, "--output", file]);
    let offline = world.stdout(&["audit", "verify", "--file", file]);
    assert!(offline.contains(&format!("2 blocks, each alone, picked for {run_id}")), "{offline}");
    rewrite(&path, |lines| lines[1] = lines[1].replace("wrong manifest", "right manifest"));
    refuses(&world, &check, &["block 6: its content comes to"]);
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn verify_says_what_is_broken_and_ends_with_1() {
    let world = World::new().await;
    admit_one(&world.ledger, "a").await;
    let before = world.ledger.audit_head().await.unwrap().to_string();
    admit_one(&world.ledger, "b").await;
    let later = world.ledger.audit_head().await.unwrap().to_string();
    let url = &world.config.ledger.url;
    sql(url, &["ALTER TABLE audit_log DISABLE TRIGGER ALL", "DELETE FROM audit_log WHERE seq = 3"]).await;
    refuses(&world, &["audit", "verify"], &["ledger       BROKEN  inbox holds record requests/0/"]);
    refuses(&world, &["audit", "verify", "--head", &later], &["BROKEN  block 3: the log ends before it", &before]);
    sql(url, &["DELETE FROM audit_log WHERE seq = 1"]).await;
    refuses(&world, &["audit", "verify"], &["BROKEN  block 2: it follows block 0; what belongs between is not there"]);
    refuses(&world, &["audit", "verify", "--file", "/nowhere"], &["cannot read /nowhere"]);
    let misread = world.command(&["audit", "verify", "--head", "7"]).output().unwrap();
    assert_eq!(misread.status.code(), Some(2), "{}", text(&misread));
}
