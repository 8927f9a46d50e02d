//! Every command of README.md does what the README says, in a fresh folder and in the README's order.

use crate::support::eventually;
use nix::sys::signal::{Signal, kill};
use nix::unistd::Pid;
use std::collections::BTreeMap;
use std::fs;
use std::path::{Path, PathBuf};
use std::process::{Child, Command, Output, Stdio};
use std::time::Duration;

/// Beginnings of commands that are not run here, and why.
const NOT_RUN: [(&str, &str); 5] = [
    ("make test", "runs all tests, this one among them"),
    ("B=", "a variable for kcat"),
    ("kcat ", "another project's client, which may not be installed"),
    ("model_signing ", "Python; `make test-interop` verifies a bundle with it"),
    ("docker ", "needs Docker"),
];

/// A command of the README, with the output that the README shows.
#[derive(Debug, PartialEq, Eq)]
struct Step {
    command: String,
    shown: Vec<String>,
}

/// The commands of the `console` blocks, in order.
fn steps(readme: &str) -> Vec<Step> {
    let mut steps: Vec<Step> = Vec::new();
    for block in readme.split("```console\n").skip(1) {
        for line in block.split_once("```").unwrap().0.lines() {
            match line.strip_prefix("$ ") {
                Some(command) => steps.push(Step { command: command.to_owned(), shown: Vec::new() }),
                None => steps.last_mut().unwrap().shown.push(line.to_owned()),
            }
        }
    }
    steps
}

/// Whether the text is what is shown, where `…` stands for anything.
fn fits(shown: &str, text: &str) -> bool {
    let mut parts = shown.split('…');
    let Some(mut rest) = text.strip_prefix(parts.next().unwrap()) else { return false };
    let mut parts = parts.peekable();
    if parts.peek().is_none() {
        return rest.is_empty();
    }
    while let Some(part) = parts.next() {
        if parts.peek().is_none() {
            return rest.ends_with(part);
        }
        let Some(at) = rest.find(part) else { return false };
        rest = &rest[at + part.len()..];
    }
    true
}

/// `make dev`, ended with the test.
struct Dev(Child);

impl Drop for Dev {
    fn drop(&mut self) {
        // An interrupt ends its Postgres, too.
        let _ = kill(Pid::from_raw(self.0.id() as i32), Signal::SIGINT);
        let _ = self.0.wait();
    }
}

/// A newcomer's checkout: the binary, the examples, and a home of its own.
struct Checkout {
    folder: tempfile::TempDir,
    /// Variables that the README exports, with the values of this environment.
    exported: BTreeMap<String, String>,
    /// What `make dev` printed: the value behind each label.
    printed: BTreeMap<String, String>,
    run_id: String,
}

impl Checkout {
    fn new() -> Self {
        let folder = tempfile::tempdir().unwrap();
        let root = Path::new(env!("CARGO_MANIFEST_DIR"));
        for bin in ["target/debug", "home"] {
            fs::create_dir_all(folder.path().join(bin)).unwrap();
        }
        let binary = env!("CARGO_BIN_EXE_model-factory");
        std::os::unix::fs::symlink(binary, folder.path().join("target/debug/model-factory")).unwrap();
        std::os::unix::fs::symlink(root.join("examples"), folder.path().join("examples")).unwrap();
        Self { folder, exported: BTreeMap::new(), printed: BTreeMap::new(), run_id: String::new() }
    }

    fn at(&self, path: &str) -> PathBuf {
        self.folder.path().join(path)
    }

    /// A shell in the checkout, with nothing of the test's own environment but what programs need.
    fn shell(&self, command: &str) -> Command {
        let path = std::env::var("PATH").unwrap();
        let mut shell = Command::new("bash");
        shell
            .args(["-c", command])
            .current_dir(self.folder.path())
            .env_clear()
            .env("PATH", format!("{}:{path}", self.at("target/debug").display()))
            .env("HOME", self.at("home"))
            .envs(std::env::var_os("TMPDIR").map(|folder| ("TMPDIR", folder)))
            .envs(&self.exported)
            .stdin(Stdio::null());
        shell
    }

    async fn output(&self, command: &str) -> Output {
        const BOUND: Duration = Duration::from_mins(5);
        let mut shell = tokio::process::Command::from(self.shell(command));
        let ended = tokio::time::timeout(BOUND, shell.kill_on_drop(true).output()).await;
        ended.unwrap_or_else(|_| panic!("{command} still works after {BOUND:?}")).unwrap()
    }

    /// Standard output of a command that must succeed.
    async fn prints(&self, command: &str) -> String {
        let output = self.output(command).await;
        let errors = String::from_utf8_lossy(&output.stderr);
        let text = String::from_utf8_lossy(&output.stdout).into_owned();
        assert!(output.status.success(), "{command}: {}\n{text}\n{errors}", output.status);
        text
    }

    /// `make dev`: stays up, and prints each label that the README shows. Then a run is published in it, and its bundle
    /// lies where the README's commands look for it.
    async fn starts_dev(&mut self, command: &str, shown: &[String]) -> Dev {
        let log = self.at("dev.log");
        let file = fs::File::create(&log).unwrap();
        let child = self.shell(&format!("exec {command}")).stdout(file).stderr(Stdio::null()).spawn().unwrap();
        let dev = Dev(child);
        let labels: Vec<&str> = shown.iter().map(|line| line.split_whitespace().next().unwrap()).collect();
        self.printed = eventually("every label of `make dev`", Duration::from_mins(3), || async {
            let text = fs::read_to_string(&log).unwrap();
            let value = |label: &&str| {
                let value = text.lines().find_map(|line| line.strip_prefix(*label))?.trim();
                Some(((*label).to_owned(), value.to_owned()))
            };
            labels.iter().map(value).collect()
        })
        .await;
        self.exported.insert("MODEL_FACTORY_KAFKA__BROKERS".to_owned(), self.printed["broker"].clone());
        self.exported.insert("MODEL_FACTORY_INPUTS__ROOT".to_owned(), self.printed["inputs"].clone());
        let followed = self.prints("model-factory submit target/dev/state/request.json --wait").await;
        assert!(followed.contains("publish.published"), "{followed}");
        self.exported.clear();
        followed.split_whitespace().find(|word| word.starts_with("tr_")).unwrap().clone_into(&mut self.run_id);
        let bundle = format!("target/dev/state/evidence/*/mf/train_runs/{}/bundle", self.run_id);
        self.prints(&format!(
            "cp -r {bundle} bundle && cp target/dev/state/signing.pub . && \
             cp target/dev/state/inputs/ofs/data/cards.parquet payments.parquet"
        ))
        .await;
        dev
    }

    /// Sets the variable to this environment's value, which must be one that `make dev` printed.
    fn export(&mut self, assignment: &str) {
        let (name, value) = assignment.split_once('=').unwrap();
        let value = value.split_whitespace().next().unwrap();
        let label = match name {
            "MODEL_FACTORY_LEDGER__URL" => "database",
            "MODEL_FACTORY_EVIDENCE__URL" => "evidence",
            "MODEL_FACTORY_INPUTS__ROOT" => "inputs",
            other => panic!("the README exports {other}, which `make dev` does not print"),
        };
        let printed = &self.printed[label];
        let tail = |text: &str| text.rsplit('/').next().unwrap().to_owned();
        assert_eq!(tail(value), tail(printed), "{name}");
        self.exported.insert(name.to_owned(), printed.clone());
    }
}

/// The command behind a target of the Makefile.
fn recipe(target: &str) -> String {
    let makefile = fs::read_to_string(Path::new(env!("CARGO_MANIFEST_DIR")).join("Makefile")).unwrap();
    let after = makefile.split_once(&format!("\n{target}: build")).unwrap().1;
    after.lines().nth(1).unwrap().trim().to_owned()
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn every_command_of_the_readme_works_as_it_says() {
    let readme = fs::read_to_string(Path::new(env!("CARGO_MANIFEST_DIR")).join("README.md")).unwrap();
    let steps = steps(&readme);
    let mut checkout = Checkout::new();
    let mut dev = None;
    let mut ran = 0;
    for Step { command, shown } in &steps {
        if NOT_RUN.iter().any(|(beginning, _)| command.starts_with(beginning)) {
            continue;
        }
        ran += 1;
        if let Some(assignment) = command.strip_prefix("export ") {
            checkout.export(assignment);
        } else if command == "make dev" {
            dev = Some(checkout.starts_dev(&recipe("dev"), shown).await);
        } else if let Some(target) = command.strip_prefix("make ") {
            checkout.prints(&recipe(target)).await;
        } else if command.starts_with("model-factory doctor") {
            // Its exit status depends on this machine: here only that it looks at everything.
            let output = checkout.output(command).await;
            let text = String::from_utf8_lossy(&output.stdout);
            assert!(text.contains(" green, "), "{text}");
        } else {
            let known = ["model-factory ", "target/debug/model-factory ", "mkdir -p "];
            let known = known.iter().any(|beginning| command.starts_with(beginning));
            assert!(known, "neither run by this test nor on the list of those that cannot be: {command}");
            let text = checkout.prints(&command.replace("tr_…", &checkout.run_id)).await;
            let lines: Vec<&str> = text.lines().collect();
            let same = shown.is_empty()
                || (shown.len() == lines.len() && shown.iter().zip(&lines).all(|(shown, line)| fits(shown, line)));
            assert!(same, "{command} prints\n{text}\nand not\n{}", shown.join("\n"));
        }
    }
    drop(dev);
    assert!(ran >= 20, "only {ran} of {} commands were run", steps.len());
    for (beginning, _) in NOT_RUN {
        assert!(steps.iter().any(|step| step.command.starts_with(beginning)), "{beginning:?} is not in the README");
    }
}

#[test]
fn a_block_is_read_as_commands_with_their_output() {
    let read = steps("a\n```console\n$ one  # why\n$ two\nout 1\nout 2\n```\n```text\n$ no\n```\n");
    let step = |command: &str, shown: &[&str]| Step {
        command: command.to_owned(),
        shown: shown.iter().map(|line| (*line).to_owned()).collect(),
    };
    assert_eq!(read, [step("one  # why", &[]), step("two", &["out 1", "out 2"])]);
    assert!(fits("{\"a\":\"…\",\"b\":\"tr_…\"}", "{\"a\":\"1\",\"b\":\"tr_2\"}"));
    assert!(!fits("a…b", "ab c") && !fits("a", "ab") && fits("a…", "ab"));
}
