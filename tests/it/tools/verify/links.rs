//! The verdict, and the broken link that it names.

use super::contradictions::CONTRADICTIONS;
use super::forgeries::{FORGERIES, OUT_OF_REACH};
use super::signed::{Signed, Tampered, bundle, verifier};
use super::tampering::{TAMPERINGS, Tampering};
use futures::StreamExt as _;
use futures::stream;
use model_factory::adapters::signing::PrivateKey;
use model_factory::domain::identity::Digest;
use model_factory::tools::verify::{Expected, Link, Verdict};
use serde_json::Value;
use std::fs;
use std::path::Path;
use std::process::Command;

fn by(key: &PrivateKey) -> Expected {
    Expected { public_key: Some(key.public()), ..Expected::default() }
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn an_intact_bundle_is_verified_by_its_own_key_and_id_and_by_nothing_less() {
    let signed = bundle().await;
    let (folder, verifier) = (&signed.folder, verifier());
    let expected = by(&signed.key);
    let found = verifier.verify(folder, &expected).await;
    assert_eq!((found.verdict, found.intact), (Verdict::Verified, true), "{}", found.sentence);
    assert_eq!(found.checked.len(), 12, "{:?}", found.checked);
    assert!(found.checked.iter().map(|held| held.link).is_sorted(), "{:?}", found.checked);
    assert_eq!(found.signed_by, Some(signed.key.public().hint()));
    for part in ["VERIFIED: signed by the key ", ", made from 1 data file of 1 manifest with ", ", gate passed all "] {
        assert!(found.sentence.contains(part), "{}", found.sentence);
    }
    let right = Expected { bundle_id: found.bundle_id, ..expected.clone() };
    assert_eq!(verifier.verify(folder, &right).await.verdict, Verdict::Verified);
    let wrong = Expected { bundle_id: Some(Digest::of(b"another bundle")), ..expected };
    assert_eq!(verifier.verify(folder, &wrong).await.broken.unwrap().link, Link::Id);
    let other = verifier.verify(folder, &by(&PrivateKey::generate())).await;
    assert!(other.sentence.contains("it is false that the given key signed"), "{}", other.sentence);

    // Who signed is not known without a key. Then the bundle is consistent, and not verified.
    let nobody = verifier.verify(folder, &Expected::default()).await;
    assert_eq!((nobody.verdict, nobody.intact, nobody.signed_by), (Verdict::NotVerified, true, None));
    assert_eq!(nobody.open.iter().map(|open| open.link).collect::<Vec<_>>(), [Link::Signature]);
    assert!(nobody.checked.iter().all(|held| held.link != Link::Signature), "{:?}", nobody.checked);
    assert!(nobody.sentence.contains("no key was given; take the public key from"), "{}", nobody.sentence);
    let anybody = Expected { allow_unsigned: true, ..Expected::default() };
    assert_eq!(verifier.verify(folder, &anybody).await.verdict, Verdict::Unsigned);
}

/// Tampers with copies of one bundle. Lists the changes that break another link than they must.
async fn wrong(signed: &Signed, tamperings: &[&Tampering]) -> Vec<String> {
    let (verifier, expected) = (verifier(), by(&signed.key));
    let check = async |tampering: &&Tampering| {
        let copy = Tampered::copy(&signed.folder);
        (tampering.change)(&copy);
        match verifier.verify(copy.path(), &expected).await.broken {
            Some(broken) if broken.link == tampering.link && broken.why.contains(tampering.says) => None,
            other => Some(format!("{}: {other:?}", tampering.what)),
        }
    };
    stream::iter(tamperings).map(check).buffer_unordered(4).filter_map(std::future::ready).collect().await
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn every_tampering_breaks_the_link_that_it_touches() {
    let signed = bundle().await;
    assert!([TAMPERINGS, FORGERIES, CONTRADICTIONS].iter().all(|table| table.len() >= 25));
    let all: Vec<_> = TAMPERINGS.iter().chain(FORGERIES).chain(CONTRADICTIONS).collect();
    let wrong = wrong(signed, &all).await;
    assert!(wrong.is_empty(), "\n{}", wrong.join("\n"));
}

/// What a bundle by itself cannot show. The signature shows it.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn what_is_consistent_and_false_is_unsigned_and_never_verified() {
    let signed = bundle().await;
    let verifier = verifier();
    for (what, change) in OUT_OF_REACH {
        let copy = Tampered::copy(&signed.folder);
        change(&copy);
        let by_key = verifier.verify(copy.path(), &by(&signed.key)).await;
        let broken = by_key.broken.unwrap_or_else(|| panic!("{what}: {}", by_key.sentence));
        assert_eq!(broken.link, Link::Signature, "{what}: {}", broken.why);
        fs::remove_file(copy.file("model.sig")).unwrap();
        let found = verifier.verify(copy.path(), &Expected::default()).await;
        assert_eq!(found.sentence, "UNSIGNED: consistent, but anybody could have made it", "{what}");
    }
}

/// Without its mend, the signer's name was anything that the signer liked: a signature said nothing about which bundle.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_signature_by_the_right_key_under_the_name_of_another_bundle_is_none() {
    let signed = bundle().await;
    let copy = Tampered::copy(&signed.folder);
    copy.sign_as("v0-000000000000", &signed.key);
    let found = verifier().verify(copy.path(), &by(&signed.key)).await;
    assert!(found.sentence.contains("its statement is not the one about the bundle v0-"), "{}", found.sentence);
    copy.sign(&signed.key);
    assert_eq!(verifier().verify(copy.path(), &by(&signed.key)).await.verdict, Verdict::Verified);
}

fn run(bundle: &Path, more: &[&str]) -> (Option<i32>, String) {
    let mut command = Command::new(env!("CARGO_BIN_EXE_model-factory"));
    let output = command.arg("verify").arg(bundle).args(more).env_clear().output().unwrap();
    assert!(output.stderr.is_empty(), "{}", String::from_utf8_lossy(&output.stderr));
    (output.status.code(), String::from_utf8(output.stdout).unwrap())
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn the_last_line_is_the_verdict_and_the_status_follows_it() {
    let signed = bundle().await;
    let copy = Tampered::copy(&signed.folder);
    let keys = tempfile::tempdir().unwrap();
    let key = keys.path().join("signing.pub");
    fs::write(&key, signed.key.public().to_pem()).unwrap();
    let by_key = ["--public-key", key.to_str().unwrap()];
    let last = |said: &str| said.lines().last().unwrap_or_default().to_owned();

    let (status, said) = run(copy.path(), &by_key);
    assert_eq!(status, Some(0), "{said}");
    assert!(said.contains("scored again, equal bit for bit") && last(&said).starts_with("VERIFIED: "), "{said}");
    let (status, said) = run(copy.path(), &[]);
    assert_eq!(status, Some(1), "{said}");
    assert!(last(&said).starts_with("NOT VERIFIED: it is not shown who signed"), "{said}");

    fs::rename(copy.file("model.sig"), keys.path().join("model.sig")).unwrap();
    let unsigned = "UNSIGNED: consistent, but anybody could have made it";
    for (more, status) in [(&[][..], 3), (&["--allow-unsigned"], 0)] {
        let (found, said) = run(copy.path(), more);
        assert_eq!((found, last(&said).as_str()), (Some(status), unsigned), "{said}");
    }
    for (more, status, verdict) in [(&[][..], 3, "unsigned"), (&by_key, 1, "not_verified")] {
        let (found, said) = run(copy.path(), &[more, &["--output", "json"]].concat());
        let said: Value = serde_json::from_str(&said).unwrap();
        assert_eq!((found, said["verdict"].as_str()), (Some(status), Some(verdict)), "{said}");
    }

    fs::rename(keys.path().join("model.sig"), copy.file("model.sig")).unwrap();
    copy.flip("model.json");
    let (status, said) = run(copy.path(), &by_key);
    assert_eq!(status, Some(1));
    assert!(said.contains("files        BROKEN  model.json has digest"), "{said}");
    assert!(last(&said).starts_with("NOT VERIFIED: it is false that the folder holds the files"), "{said}");
    let (status, said) = run(copy.path(), &[&by_key[..], &["--output", "json"]].concat());
    let said: Value = serde_json::from_str(&said).unwrap();
    assert_eq!((status, &said["intact"], &said["broken"]["link"]), (Some(1), &false.into(), &"files".into()));
}
