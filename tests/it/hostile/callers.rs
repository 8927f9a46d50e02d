//! Callers of the worker's HTTP ports: who connects and says nothing, who does not read, who comes by another name.

use crate::support::{BOUND, Worker, World, admit_one, claim, eventually, request};
use model_factory::adapters::evidence::{EvidencePath, EvidenceStore};
use model_factory::adapters::ledger::{Guarded, Step};
use model_factory::domain::contract::EvidenceRef;
use model_factory::domain::identity::Digest;
use model_factory::domain::run::{State, Transition};
use nix::sys::socket::{AddressFamily, SockFlag, SockType, SockaddrIn, bind, connect, socket};
use std::future::ready;
use std::io::{Read as _, Write as _};
use std::net::{SocketAddr, TcpStream};
use std::os::fd::AsRawFd as _;
use std::str::FromStr as _;
use std::time::Duration;

/// A line of /proc/…/status in KiB.
fn kib(worker: &Worker, what: &str) -> u64 {
    let status = std::fs::read_to_string(format!("/proc/{}/status", worker.id())).unwrap();
    let line = status.lines().find(|line| line.starts_with(what)).unwrap();
    line.split_whitespace().nth(1).unwrap().parse().unwrap()
}

fn descriptors(worker: &Worker) -> usize {
    std::fs::read_dir(format!("/proc/{}/fd", worker.id())).unwrap().count()
}

async fn address(worker: &Worker) -> SocketAddr {
    let address = eventually("a worker that listens", BOUND, || ready(worker.address())).await;
    address.parse().unwrap()
}

/// Status and body of a path, asked for from this address of the machine and under this name.
fn get(to: SocketAddr, from: &str, host: &str, path: &str) -> std::io::Result<(u16, String)> {
    let socket = socket(AddressFamily::Inet, SockType::Stream, SockFlag::empty(), None)?;
    bind(socket.as_raw_fd(), &SockaddrIn::from_str(&format!("{from}:0")).unwrap())?;
    connect(socket.as_raw_fd(), &SockaddrIn::from_str(&to.to_string()).unwrap())?;
    let mut stream = TcpStream::from(socket);
    stream.set_read_timeout(Some(Duration::from_secs(10)))?;
    stream.write_all(format!("GET {path} HTTP/1.1\r\nHost: {host}\r\nConnection: close\r\n\r\n").as_bytes())?;
    let mut response = String::new();
    stream.read_to_string(&mut response)?;
    let (head, body) = response.split_once("\r\n\r\n").unwrap_or_default();
    let status = head.split_whitespace().nth(1).and_then(|status| status.parse().ok());
    Ok((status.unwrap_or(0), body.to_owned()))
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn connections_that_say_nothing_take_neither_descriptors_nor_health_checks_from_others() {
    let world = World::new().await;
    let mut worker = world.worker("worker").set("LEDGER__LEASE_SECONDS", "30").start();
    let at = address(&worker).await;
    worker.responds("/readyz", 200).await;
    let before = descriptors(&worker);
    let mut half_open = Vec::new();
    for _ in 0..300 {
        let mut stream = TcpStream::connect(at).unwrap();
        let _ = stream.write_all(b"GET / HTTP/1.1\r\nHost:");
        half_open.push(stream);
    }
    // A good request of somebody else runs to its end meanwhile, and the probes of another address are answered.
    world.send(&[request("req-beside-callers").to_string().into_bytes()]).await;
    eventually("the bound on connections", BOUND, || ready((descriptors(&worker) <= before + 48).then_some(()))).await;
    let (status, body) = get(at, "127.0.0.2", "127.0.0.1", "/livez").unwrap();
    assert_eq!(status, 200, "{body}");
    world.reaches("req-beside-callers", State::Published).await;
    drop(half_open);
    worker.responds("/livez", 200).await;
    worker.stop().await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn readers_of_evidence_that_do_not_read_get_two_downloads_and_little_memory() {
    const SIZE: usize = 48 << 20;
    let world = World::new().await;
    let run_id = admit_one(&world.ledger, "large").await;
    let document = vec![b'x'; SIZE];
    let store = EvidenceStore::open(&world.config.evidence).unwrap();
    store.put(&EvidencePath::of(["run", "large.json"]).unwrap(), document.clone().into()).await.unwrap();
    let at = EvidenceRef { reference: "run/large.json".to_owned(), sha256: Digest::of(&document) };
    let step = Step::to(Transition::FinishEvaluation, [("large".to_owned(), at)].into());
    let lease = claim(&world.ledger).await;
    assert!(matches!(world.ledger.advance(&lease, &[step]).await, Ok(Guarded::Won(_))));
    let mut worker = world.worker("worker").roles("intake").start();
    let at = address(&worker).await;
    let path = format!("/runs/{run_id}/evidence/large");

    let (status, body) = get(at, "127.0.0.2", "localhost", &path).unwrap();
    assert_eq!((status, body.len()), (200, SIZE), "one that reads gets all of it");
    let before = kib(&worker, "VmRSS");
    let mut readers = Vec::new();
    for _ in 0..20 {
        let mut stream = TcpStream::connect(at).unwrap();
        stream.write_all(format!("GET {path} HTTP/1.1\r\nHost: localhost\r\n\r\n").as_bytes()).unwrap();
        readers.push(stream);
    }
    // The status lines say who may download; whoever may does not read on.
    let mut statuses = Vec::new();
    for stream in &mut readers {
        let mut line = [0; 12];
        stream.set_read_timeout(Some(Duration::from_secs(20))).unwrap();
        stream.read_exact(&mut line).unwrap();
        statuses.push(String::from_utf8_lossy(&line[9..]).into_owned());
    }
    let count = |status: &str| statuses.iter().filter(|found| *found == status).count();
    assert_eq!((count("200"), count("503")), (2, 18), "{statuses:?}");
    let grown = kib(&worker, "VmRSS").saturating_sub(before);
    assert!(grown < 48 << 10, "{grown} KiB more than before");
    assert_eq!(get(at, "127.0.0.2", "localhost", "/readyz").unwrap().0, 200);
    drop(readers);
    eventually("a download for the next reader", BOUND, || {
        ready(get(at, "127.0.0.2", "localhost", &path).ok().filter(|(status, _)| *status == 200).map(drop))
    })
    .await;
    worker.stop().await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_worker_answers_to_known_names_only_and_metrics_and_console_can_be_elsewhere_or_off() {
    let world = World::new().await;
    let mut worker = world.worker("worker").roles("intake").set("WORKER__HOSTS", "console.example").start();
    let at = address(&worker).await;
    for (host, path, expected) in [
        ("evil.example", "/", 421),
        ("evil.example", "/readyz", 421),
        ("evil.example", "/metrics", 421),
        ("console.example:443", "/", 200),
        ("console.example", "/metrics", 200),
        ("127.0.0.1", "/", 200),
    ] {
        let (status, body) = get(at, "127.0.0.1", host, path).unwrap();
        assert_eq!(status, expected, "{host}{path}: {body}");
    }
    worker.stop().await;
    let settings = [("WORKER__CONSOLE", "off"), ("WORKER__METRICS", "127.0.0.1:0")];
    let mut worker = world.worker("apart").roles("intake").set_all(&settings).start();
    let at = address(&worker).await;
    for (path, expected) in [("/", 404), ("/metrics", 404), ("/livez", 200)] {
        assert_eq!(get(at, "127.0.0.1", "localhost", path).unwrap().0, expected, "{path}");
    }
    let log = worker.log();
    let own = log.lines().filter_map(|line| serde_json::from_str::<serde_json::Value>(line).ok());
    let own = own
        .filter(|line| line["message"] == "metrics at an address of its own")
        .find_map(|line| line["address"].as_str()?.parse().ok());
    let metrics: std::net::SocketAddr = own.expect("the worker logs where metrics are");
    assert!(get(metrics, "127.0.0.1", "localhost", "/metrics").unwrap().1.contains("model_factory_ready"));
    assert_eq!(get(metrics, "127.0.0.1", "localhost", "/livez").unwrap().0, 404);
    assert_eq!(get(metrics, "127.0.0.1", "evil.example", "/metrics").unwrap().0, 421);
    worker.stop().await;
}
