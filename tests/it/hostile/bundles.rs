//! A stranger's bundle: what it may cost whoever reads it, and what nobody may take it for.

use crate::support::data;
use crate::tools::verify::{Tampered, bundle};
use model_factory::adapters::signing::PrivateKey;
use std::fs;
use std::path::Path;
use std::process::{Command, Output};

const MIB: u64 = 1 << 20;
/// Address space of a command that reads a bundle, in KiB. The program itself and its threads take most of it.
const SPACE_KIB: u64 = 1_500_000;

/// Runs a command of the binary within a bound on its address space.
fn bounded(arguments: &[&str], variables: &[(&str, &str)]) -> Output {
    let elsewhere = tempfile::tempdir().unwrap();
    let mut command = Command::new("bash");
    command.args(["-c", &format!("ulimit -v {SPACE_KIB}; exec \"$0\" \"$@\""), env!("CARGO_BIN_EXE_model-factory")]);
    command.args(arguments).current_dir(elsewhere.path()).env_clear().envs(variables.iter().copied());
    command.output().unwrap()
}

/// The exit status and the last line of `verify`.
fn verdict(bundle: &Path, more: &[&str]) -> (Option<i32>, String) {
    let output = bounded(&[&["verify", bundle.to_str().unwrap()], more].concat(), &[]);
    let said = String::from_utf8(output.stdout).unwrap();
    (output.status.code(), said.lines().last().unwrap_or_default().to_owned())
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_strangers_bundle_is_never_verified_and_costs_its_reader_no_more_than_a_good_one() {
    let good = bundle().await;
    let keys = tempfile::tempdir().unwrap();
    let key = keys.path().join("signing.pub");
    fs::write(&key, good.key.public().to_pem()).unwrap();
    let by_key = ["--public-key", key.to_str().unwrap()];
    let stranger = |change: &dyn Fn(&Tampered)| {
        let copy = Tampered::copy(&good.folder);
        change(&copy);
        copy
    };

    // MLflow would run the program that MLmodel names. Every digest is right.
    let evil = stranger(&|t| {
        t.rewrite("MLmodel", |text| text.replace("model_factory_pyfunc.py", "evil.py"));
        t.add("evil.py", "import os\n");
        fs::remove_file(t.file("model.sig")).unwrap();
    });
    for more in [&[][..], &["--allow-unsigned"], &by_key] {
        let (status, said) = verdict(evil.path(), more);
        assert_eq!(status, Some(1), "{said}");
        assert!(said.contains("NOT VERIFIED") && said.contains("\"evil.py\" is no file of a bundle"), "{said}");
    }
    let named_only = stranger(&|t| {
        t.rewrite("MLmodel", |text| text.replace("model_factory_pyfunc.py", "evil.py"));
        t.sign(&PrivateKey::generate());
    });
    let (status, said) = verdict(named_only.path(), &["--allow-unsigned"]);
    assert_eq!(status, Some(1));
    assert!(said.contains("MLmodel does not follow from the other files: in line "), "{said}");

    // Without a signature, and with one by a key of the stranger's, a consistent bundle is not verified.
    let unsigned = stranger(&|t| fs::remove_file(t.file("model.sig")).unwrap());
    let by_stranger = stranger(&|t| t.sign(&PrivateKey::generate()));
    for (copy, more, status, says) in [
        (&unsigned, &[][..], 3, "UNSIGNED: consistent, but anybody could have made it"),
        (&unsigned, &by_key, 1, "NOT VERIFIED: it is false that the given key signed"),
        (&by_stranger, &[], 1, "NOT VERIFIED: it is not shown who signed the bundle, since no key was given"),
        (&by_stranger, &by_key, 1, "NOT VERIFIED: it is false that the given key signed"),
    ] {
        let (found, said) = verdict(copy.path(), more);
        assert!(found == Some(status) && said.starts_with(says), "{says}: {found:?} {said}");
    }

    // A few hundred KiB on the disk that state 2.1 GB, and as much in many files.
    let holes = stranger(&|t| {
        fs::File::options().write(true).open(t.file("model.json")).unwrap().set_len(1_024 * MIB).unwrap();
        for number in 0..18 {
            fs::File::create(t.file(&format!("{number}.json"))).unwrap().set_len(64 * MIB).unwrap();
        }
    });
    let hole = stranger(&|t| {
        fs::File::options().write(true).open(t.file("model.json")).unwrap().set_len(1_024 * MIB).unwrap();
    });
    for (copy, says) in [(&holes, "the files have more than"), (&hole, "model.json has holes")] {
        let (status, said) = verdict(copy.path(), &by_key);
        assert_eq!(status, Some(1), "{said}");
        assert!(said.contains(says), "{said}");
    }

    let (status, said) = verdict(&good.folder, &by_key);
    assert_eq!(status, Some(0), "within the same bound: {said}");
    assert!(said.starts_with("VERIFIED: signed by the key "), "{said}");
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_bundle_that_is_built_again_has_the_limits_of_the_operator_and_not_its_own() {
    let good = bundle().await;
    let root = data().folder.to_str().unwrap();
    let reproduce = |variables: &[(&str, &str)]| {
        let variables = [&[("MODEL_FACTORY_INPUTS__ROOT", root)], variables].concat();
        let output = bounded(&["reproduce", good.folder.to_str().unwrap(), "--threads", "1"], &variables);
        (output.status.code(), String::from_utf8_lossy(&output.stderr).into_owned())
    };
    // The bundle's plan asks for gibibytes.
    for (variable, bound, says) in [
        ("MODEL_FACTORY_TRAINER__MAX_MEMORY_MIB", "64", "out of memory"),
        ("MODEL_FACTORY_INPUTS__MAX_DOCUMENT_BYTES", "100", "[inputs] max_document_bytes"),
        ("MODEL_FACTORY_INPUTS__MAX_DOCUMENTS_BYTES", "1000", "[inputs] max_documents_bytes"),
        ("MODEL_FACTORY_INPUTS__ROOT", "/dev", "was not found"),
    ] {
        let (status, said) = reproduce(&[(variable, bound)]);
        assert_eq!(status, Some(1), "{variable}: {said}");
        assert!(said.contains(says), "{variable}: {said}");
    }
    // A command that the bundle could have started, and that could read what is the operator's.
    let own = tempfile::tempdir().unwrap();
    fs::write(own.path().join("train.py"), "").unwrap();
    let config = own.path().join("worker.toml");
    let registered =
        format!("[inputs]\nroot = {root:?}\n[trainer.commands.evil]\nprogram = {:?}\n", own.path().join("train.py"));
    fs::write(&config, registered).unwrap();
    let output = bounded(&["--config", config.to_str().unwrap(), "reproduce", good.folder.to_str().unwrap()], &[]);
    let said = String::from_utf8_lossy(&output.stderr);
    assert!(!output.status.success() && said.contains("it could read") && said.contains("worker.toml"), "{said}");

    let (status, said) = reproduce(&[]);
    assert_eq!(status, Some(0), "{said}");
}
