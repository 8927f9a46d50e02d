//! Memory and disk that no counter of a process and no folder shows.

use crate::training::commands::Trial;
use futures::future::join_all;
use model_factory::domain::run::FailureCode;
use model_factory::training::Layer;
use std::path::Path;

/// A trial that runs this Python, with room in everything but what is tried.
fn python(script: &str) -> Trial {
    let head = "import os, mmap, time\nMIB = 1 << 20\n\
                def fill(file, size):\n    for _ in range(size):\n        os.write(file, bytes(MIB))\n";
    Trial::of(&format!("/usr/bin/python3 - <<'END'\n{head}{script}\nEND\nfinish"))
        .with_limits(|limits| (limits.memory_mib, limits.file_mib) = (256, 2_048))
}

fn has_python() -> bool {
    let found = Path::new("/usr/bin/python3").exists();
    if !found {
        eprintln!("no /usr/bin/python3: accounting was not tried");
    }
    found
}

#[tokio::test]
async fn memory_in_files_and_mappings_counts_with_and_without_a_control_group() {
    if !has_python() {
        return;
    }
    let wait = "time.sleep(120)";
    let memfd = format!("file = os.memfd_create('x')\nfill(file, 700)\n{wait}");
    // Ten, each below the limit.
    let many = format!("files = [os.memfd_create('x') for _ in range(10)]\nfor file in files: fill(file, 70)\n{wait}");
    let closed = format!(
        "file = os.memfd_create('x')\nfill(file, 700)\nkept = mmap.mmap(file, 700 * MIB)\nos.close(file)\n{wait}"
    );
    let untouched = format!(
        "kept = mmap.mmap(-1, 700 * MIB)\nfor at in range(700): kept[at * MIB:(at + 1) * MIB] = bytes(MIB)\n\
         kept.madvise(mmap.MADV_DONTNEED)\n{wait}"
    );
    let attacks = [&memfd, &many, &closed, &untouched].into_iter().flat_map(|script| {
        [vec![], vec![Layer::Groups]].map(|without| async move {
            let mut trial = python(script);
            trial.without.clone_from(&without);
            let (code, message) = trial.fails().await;
            assert_eq!(code, FailureCode::TrainerOutOfMemory, "{script} {without:?}: {message}");
            assert!(message.contains("more than 256 MiB of memory"), "{message}");
        })
    });
    // Beside them one that shares 150 MiB between four processes, which is no more than 150.
    let honest = async {
        let script = "file = os.memfd_create('x')\nfill(file, 150)\nkept = mmap.mmap(file, 150 * MIB)\n\
                      children = [os.fork() for _ in range(2)]\nsum(kept[at] for at in range(0, 150 * MIB, 4096))\n\
                      time.sleep(1)\nif 0 in children: os._exit(0)\n[os.wait() for _ in children]";
        let mut trial = python(script);
        trial.without.push(Layer::Groups);
        trial.run(|_, _| {}).await.unwrap();
    };
    tokio::join!(join_all(attacks), honest);
}

#[tokio::test]
async fn files_that_were_removed_count_while_they_are_in_use() {
    if !has_python() {
        return;
    }
    let open = "files = []\nfor at in range(5):\n    files.append(os.open(f'f{at}', os.O_RDWR | os.O_CREAT))\n    \
                os.unlink(f'f{at}')\n    fill(files[-1], 60)\ntime.sleep(120)";
    let mapped = "kept = []\nfor at in range(5):\n    file = os.open(f'f{at}', os.O_RDWR | os.O_CREAT)\n    \
                  os.unlink(f'f{at}')\n    fill(file, 60)\n    kept.append(mmap.mmap(file, 60 * MIB))\n    \
                  os.close(file)\ntime.sleep(120)";
    let attacks = [open, mapped].map(|script| async move {
        let trial = python(script).with_limits(|limits| (limits.memory_mib, limits.file_mib) = (1_024, 64));
        let (code, message) = trial.fails().await;
        assert_eq!(code, FailureCode::TrainerFailed, "{message}");
        assert!(message.contains("more than 64 MiB into its folder, with files that it has removed"), "{message}");
    });
    let honest = async {
        let script = "file = os.open('f', os.O_RDWR | os.O_CREAT)\nos.unlink('f')\nfill(file, 40)\ntime.sleep(1)";
        let trial = python(script).with_limits(|limits| limits.file_mib = 64);
        trial.run(|_, _| {}).await.unwrap();
    };
    tokio::join!(join_all(attacks), honest);
}
