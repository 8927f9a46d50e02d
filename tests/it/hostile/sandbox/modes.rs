//! Keys, policies and passwords that others on the machine could read or change.

use model_factory::config::{Loaded, LooseFile};
use std::fs;
use std::os::unix::fs::PermissionsExt as _;
use std::path::Path;
use std::process::Command;

fn run(arguments: &[&str]) -> (Option<i32>, String) {
    let run = Command::new(env!("CARGO_BIN_EXE_model-factory")).args(arguments).env_clear().output().unwrap();
    let text = format!("{}{}", String::from_utf8_lossy(&run.stdout), String::from_utf8_lossy(&run.stderr));
    (run.status.code(), text)
}

fn set_mode(path: &Path, mode: u32) {
    fs::set_permissions(path, fs::Permissions::from_mode(mode)).unwrap();
}

#[test]
fn a_worker_does_not_start_with_a_key_that_others_read_or_a_policy_that_others_write() {
    let folder = tempfile::tempdir().unwrap();
    let path = |name: &str| folder.path().join(name);
    for name in ["sign.pem", "policy.yaml", "password"] {
        fs::write(path(name), "x").unwrap();
        set_mode(&path(name), 0o600);
    }
    let text = format!(
        "[signing]\nkey_file = '{0}/sign.pem'\n[authority]\npolicy = '{0}/policy.yaml'\n[ledger]\nurl = \
         'postgres://mf@127.0.0.1:1/mf'\npassword_file = '{0}/password'\n[kafka]\nbrokers = '127.0.0.1:1'\n",
        folder.path().display()
    );
    let file = path("worker.toml");
    fs::write(&file, text).unwrap();
    let config = file.to_str().unwrap();
    for (name, mode, advice) in [
        ("sign.pem", 0o644, "chmod 600"),
        ("sign.pem", 0o660, "chmod 600"),
        ("policy.yaml", 0o602, "chmod o-w"),
        ("worker.toml", 0o666, "chmod o-w"),
    ] {
        set_mode(&path(name), mode);
        let (code, text) = run(&["--config", config, "worker"]);
        assert_eq!(code, Some(1), "{text}");
        assert!(text.contains(advice) && text.contains(name), "{name}: {text}");
        set_mode(&path(name), 0o600);
    }
    // A password that a platform mounts for all to read is told, and stops nobody.
    set_mode(&path("password"), 0o644);
    let loose = Loaded::read(Some(&file), &[]).unwrap().config.loose_files();
    let [LooseFile { key: "[ledger] password_file", why, refused: false }] = &loose[..] else { panic!("{loose:?}") };
    assert!(why.contains("chmod 600"), "{why}");
}

#[test]
fn a_password_on_the_command_line_is_refused_and_not_repeated() {
    for setting in [
        "ledger.url=postgres://mf:hush-hush@db/mf",
        "kafka.security.password=hush-hush",
        "kafka.properties.sasl.password=hush-hush",
        "signing.key=hush-hush",
    ] {
        let (code, text) = run(&["--set", setting, "config", "show"]);
        assert_eq!(code, Some(1), "{text}");
        assert!(text.contains("no password stands there") && !text.contains("hush-hush"), "{text}");
    }
    let (code, text) = run(&["--set", "ledger.url=postgres://mf@db/mf", "config", "show"]);
    assert_eq!(code, Some(0), "{text}");
}
