//! A command beside things that it must not reach: a worker's process, listeners, sockets and files of the same user.

use crate::training::commands::Trial;
use model_factory::training::{ChildStep, Layer};
use nix::unistd::{Gid, Uid, chown, geteuid};
use serde_json::{Value, json};
use std::collections::BTreeMap;
use std::fs;
use std::net::{TcpListener, UdpSocket};
use std::os::linux::net::SocketAddrExt as _;
use std::os::unix::fs::PermissionsExt as _;
use std::os::unix::net::{SocketAddr, UnixDatagram, UnixListener};
use std::os::unix::process::CommandExt as _;
use std::path::Path;
use std::process::{Child, Command};

/// The user that has no rights on most systems.
const NOBODY: u32 = 65_534;
pub const LAYERS: [Layer; 4] = [Layer::Landlock, Layer::Seccomp, Layer::Namespaces, Layer::Capabilities];

/// Who runs the command. Only root can run it as somebody else.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum As {
    Self_,
    Nobody,
}

impl As {
    pub fn possible() -> Vec<Self> {
        if geteuid().is_root() { vec![Self::Self_, Self::Nobody] } else { vec![Self::Self_] }
    }

    /// A command line that runs `program` as this user.
    fn command(self, program: &str) -> Command {
        match self {
            Self::Self_ => Command::new(program),
            Self::Nobody => {
                let mut command = Command::new("setpriv");
                command.args(["--reuid=65534", "--regid=65534", "--clear-groups", program]);
                command
            }
        }
    }
}

/// What each probe came to, by its name: `open` or the name of an error.
pub type ProbeResults = BTreeMap<String, String>;

/// Runs the corpus once, with these layers alone.
pub async fn probe(user: As, layers: &[Layer]) -> ProbeResults {
    let mut trial = Trial::of("");
    trial.without = LAYERS.into_iter().filter(|layer| !layers.contains(layer)).collect();
    let script = trial.folder.path().join("probes.py");
    fs::write(&script, include_str!("probes.py")).unwrap();
    trial.registration.program = "/usr/bin/python3".into();
    trial.registration.arguments = vec![script.to_str().unwrap().to_owned()];
    let readable = trial.folder.path().join("given/readable");
    fs::write(&readable, "readable").unwrap();
    trial.write_job(&trial.plan());

    let outside = trial.folder.path().join("outside");
    fs::create_dir(&outside).unwrap();
    for name in ["secret", "moved", "removed", "truncated", "moded", "moded2", "timed"] {
        fs::write(outside.join(name), "secret").unwrap();
    }
    fs::write(outside.join("program"), "#!/bin/sh\nexit 0\n").unwrap();
    fs::set_permissions(outside.join("program"), fs::Permissions::from_mode(0o755)).unwrap();
    let tcp = TcpListener::bind("127.0.0.1:0").unwrap();
    let udp = UdpSocket::bind("127.0.0.1:0").unwrap();
    let _stream = UnixListener::bind(outside.join("stream")).unwrap();
    let _datagrams = UnixDatagram::bind(outside.join("dgram")).unwrap();
    let marker = format!("{}", 100_000 + tcp.local_addr().unwrap().port() as u32);
    let address = SocketAddr::from_abstract_name(format!("model-factory-{marker}")).unwrap();
    let _abstract = UnixListener::bind_addr(&address).unwrap();
    let victim = Victim::start(user, &marker);
    let target: Value = json!({
        "victim": victim.0.id(),
        "marker": marker,
        "outside": outside,
        "readable": readable,
        "tcp": tcp.local_addr().unwrap().port(),
        "udp": udp.local_addr().unwrap().port(),
        "abstract": format!("model-factory-{marker}"),
    });
    fs::write(trial.work().join("target.json"), target.to_string()).unwrap();
    if user == As::Nobody {
        let binary = trial.folder.path().join("as-nobody");
        let command = "exec setpriv --reuid=65534 --regid=65534 --clear-groups";
        fs::write(&binary, format!("#!/bin/sh\n{command} {} \"$@\"\n", trial.binary.display())).unwrap();
        fs::set_permissions(&binary, fs::Permissions::from_mode(0o755)).unwrap();
        trial.binary = binary;
        give(trial.folder.path());
    }
    trial.step(ChildStep::Command, std::future::pending()).await.unwrap();
    serde_json::from_slice(&fs::read(trial.work().join("probes.json")).unwrap()).unwrap()
}

/// Gives a folder with all in it to nobody.
fn give(path: &Path) {
    chown(path, Some(Uid::from_raw(NOBODY)), Some(Gid::from_raw(NOBODY))).unwrap();
    if path.is_dir() {
        for entry in fs::read_dir(path).unwrap() {
            give(&entry.unwrap().path());
        }
    }
}

/// Another process of the same user.
struct Victim(Child);

impl Victim {
    fn start(user: As, marker: &str) -> Self {
        Self(user.command("sleep").arg(marker).env("PASSWORD", "secret").process_group(0).spawn().unwrap())
    }
}

impl Drop for Victim {
    fn drop(&mut self) {
        self.0.kill().unwrap();
        self.0.wait().unwrap();
    }
}
