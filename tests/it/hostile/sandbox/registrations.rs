//! A registration that would open what is the worker's: its key, evidence, scratch, inputs, policy or configuration.

use model_factory::config::Loaded;
use std::fs;
use std::path::Path;

/// What the check of the command `mine` says, with `program` and other lines of the registration.
fn judged(folder: &Path, program: &Path, more: &str) -> Result<(), String> {
    let file = folder.join("conf/worker.toml");
    let text = format!(
        "[signing]\nkey_file = '{0}/keys/sign.pem'\n[evidence]\nurl = 'file://{0}/evidence'\n[authority]\npolicy = \
         '{0}/policy/policy.yaml'\n[inputs]\nroot = '{0}/inputs'\nallow = ['file://{0}/lake']\n[ledger]\n\
         password_file = '{0}/secrets/ledger'\n[trainer]\nscratch = '{0}/scratch'\n[trainer.commands.mine]\nprogram \
         = '{1}'\n{more}\n",
        folder.display(),
        program.display()
    );
    fs::write(&file, text).unwrap();
    let config = Loaded::read(Some(&file), &[]).unwrap().config;
    config.check_command("mine", &config.trainer.commands["mine"])
}

#[test]
fn a_command_that_could_read_anything_of_the_workers_is_refused_and_says_what() {
    let folder = tempfile::tempdir().unwrap();
    let folder = folder.path().canonicalize().unwrap();
    for name in ["conf", "keys", "evidence/deep", "policy", "inputs", "lake", "secrets", "scratch", "own/bin"] {
        fs::create_dir_all(folder.join(name)).unwrap();
    }
    let program = |name: &str| {
        let path = folder.join(name);
        fs::write(&path, "#!/bin/sh\n").unwrap();
        path
    };
    let good = program("own/bin/train");
    judged(&folder, &good, "").unwrap();
    // A prefix with `lib` is readable as a whole: what lies in it counts.
    fs::create_dir(folder.join("own/lib")).unwrap();
    judged(&folder, &good, "").unwrap();
    for (name, key) in [
        ("conf/train", "the configuration file"),
        ("keys/train", "[signing] key_file"),
        ("evidence/train", "[evidence] url"),
        ("evidence/deep/train", "[evidence] url"),
        ("policy/train", "[authority] policy"),
        ("inputs/train", "[inputs] root"),
        ("lake/train", "[inputs] allow"),
        ("secrets/train", "[ledger] password_file"),
        ("scratch/train", "[trainer] scratch"),
    ] {
        let why = judged(&folder, &program(name), "").unwrap_err();
        assert!(why.contains(key) && why.contains("move the program"), "{name}: {why}");
        let linked = folder.join("own/bin/linked");
        let _ = fs::remove_file(&linked);
        std::os::unix::fs::symlink(folder.join(name), &linked).unwrap();
        let why = judged(&folder, &linked, "").unwrap_err();
        assert!(why.contains(key), "a link to {name}: {why}");
    }
    assert!(judged(&folder, &program("train"), "").unwrap_err().contains("it could read"));
    for more in ["read = ['/']", "write = ['/']", "read = ['/usr/../']"] {
        assert!(judged(&folder, &good, more).unwrap_err().contains("the whole disk"), "{more}");
    }
    let why = judged(&folder, &good, &format!("write = ['{}']", folder.join("evidence").display())).unwrap_err();
    assert!(why.contains("[evidence] url"), "{why}");
    // What every command may read holds nothing of the worker's either.
    let key = "/usr/local/model-factory.pem";
    let set = [format!("signing.key_file={key}")];
    let config = Loaded::read(Some(&folder.join("conf/worker.toml")), &set).unwrap().config;
    let mut registration = config.trainer.commands["mine"].clone();
    registration.write.clear();
    let why = config.check_command("mine", &registration).unwrap_err();
    assert!(why.contains(key) && why.contains("/usr"), "{why}");
}

#[test]
fn a_program_at_the_root_of_the_disk_is_refused() {
    // Whatever lies there: a file that is not there is refused for that.
    let Some(program) = fs::read_dir("/").unwrap().flatten().find(|entry| entry.path().is_file()) else { return };
    let folder = tempfile::tempdir().unwrap();
    fs::create_dir(folder.path().join("conf")).unwrap();
    let why = judged(folder.path(), &program.path(), "").unwrap_err();
    assert!(why.contains("the whole disk") || why.contains("denied"), "{why}");
}
