//! The verdict names the broken link.

use super::signed::{Tampered, bundle};
use super::tampering::TAMPERINGS;
use model_factory::domain::identity::Digest;
use model_factory::tools::verify::{Expected, Link, verify};
use serde_json::Value;
use std::process::Command;

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn an_intact_bundle_holds_at_every_link_and_only_its_own_key_and_id_will_do() {
    let signed = bundle().await;
    let expected = Expected { public_key: Some(signed.key.public()), bundle_id: None };
    let found = verify(&signed.folder, &expected);
    assert!(found.intact, "{:?}", found.broken);
    assert_eq!(found.checked.len(), 12, "{:?}", found.checked);
    let right = Expected { bundle_id: found.bundle_id, ..expected.clone() };
    assert!(verify(&signed.folder, &right).intact);
    let wrong = Expected { bundle_id: Some(Digest::of(b"another bundle")), ..expected };
    assert_eq!(verify(&signed.folder, &wrong).broken.unwrap().link, Link::Bundle);
    assert!(verify(&signed.folder, &Expected::default()).intact, "without a key any signer will do");
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn every_tampering_breaks_the_link_that_it_touches() {
    let signed = bundle().await;
    let expected = Expected { public_key: Some(signed.key.public()), bundle_id: None };
    assert!(TAMPERINGS.len() >= 25);
    let mut wrong = Vec::new();
    for tampering in TAMPERINGS {
        let copy = Tampered::copy(&signed.folder);
        (tampering.change)(&copy);
        match verify(copy.path(), &expected).broken {
            Some(broken) if broken.link == tampering.link && broken.why.contains(tampering.says) => {}
            other => wrong.push(format!("{}: {other:?}", tampering.what)),
        }
    }
    assert!(wrong.is_empty(), "\n{}", wrong.join("\n"));
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn the_command_says_what_it_checked_and_its_status_says_whether_it_held() {
    let signed = bundle().await;
    let copy = Tampered::copy(&signed.folder);
    let keys = tempfile::tempdir().unwrap();
    let key = keys.path().join("signing.pub");
    std::fs::write(&key, signed.key.public().to_pem()).unwrap();
    let verify = |more: &[&str]| {
        let mut command = Command::new(env!("CARGO_BIN_EXE_model-factory"));
        command.arg("verify").arg(copy.path()).arg("--public-key").arg(&key).args(more).env_clear();
        let output = command.output().unwrap();
        (output.status.code(), String::from_utf8(output.stdout).unwrap())
    };
    let (status, said) = verify(&[]);
    assert_eq!(status, Some(0), "{said}");
    assert!(said.contains("signature    ok") && said.contains("scored again, equal bit for bit"), "{said}");
    copy.flip("model.json");
    let (status, said) = verify(&[]);
    assert_eq!(status, Some(1));
    assert!(said.ends_with('\n') && said.contains("files        BROKEN  model.json has digest"), "{said}");
    let (status, said) = verify(&["--output", "json"]);
    let said: Value = serde_json::from_str(&said).unwrap();
    assert_eq!((status, &said["intact"], &said["broken"]["link"]), (Some(1), &false.into(), &"files".into()));
}
