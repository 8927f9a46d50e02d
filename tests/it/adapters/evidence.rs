//! The evidence store on an S3 server.

use crate::support::{World, unwatched};
use bytes::Bytes;
use model_factory::adapters::evidence::{EvidencePath, EvidenceSettings, EvidenceStore, PutError};
use model_factory::adapters::objects::S3Settings;
use model_factory::worker::runner::Runner;
use object_store::ObjectStoreExt as _;
use std::io::{BufRead as _, BufReader, Read as _, Write as _};
use std::net::{TcpListener, TcpStream};
use std::process::Command;

/// A new bucket on the server of the test run; none where `MODEL_FACTORY_TEST_S3` is not set.
fn settings(bucket: &str) -> Option<(EvidenceSettings, tempfile::TempDir)> {
    let Ok(endpoint) = std::env::var("MODEL_FACTORY_TEST_S3") else {
        eprintln!("MODEL_FACTORY_TEST_S3 is not set: the S3 tests check nothing");
        return None;
    };
    let bucket = format!("{bucket}-{}", std::process::id());
    let made = Command::new("python3")
        .args(["-c", "import sys, urllib.request as u; u.urlopen(u.Request(sys.argv[1], method='PUT'))"])
        .arg(format!("{endpoint}/{bucket}"))
        .status()
        .unwrap();
    assert!(made.success());
    let folder = tempfile::tempdir().unwrap();
    let secret = folder.path().join("secret");
    std::fs::write(&secret, "test-secret\n").unwrap();
    let s3 = S3Settings {
        endpoint: Some(endpoint),
        region: None,
        access_key_id: Some("test".to_owned()),
        secret_access_key_file: Some(secret),
        allow_http: true,
    };
    Some((EvidenceSettings { url: format!("s3://{bucket}/some/prefix"), s3 }, folder))
}

fn path(name: &str) -> EvidencePath {
    EvidencePath::of(["p1", name]).unwrap()
}

#[tokio::test]
async fn on_s3_a_name_never_changes_its_bytes() {
    let Some((settings, _folder)) = settings("write-once") else { return };
    let store = EvidenceStore::open(&settings).unwrap();
    store.self_test().await.unwrap();
    store.self_test().await.unwrap();
    assert!(store.put(&path("a.json"), Bytes::from_static(b"one")).await.unwrap().created);
    assert!(!store.put(&path("a.json"), Bytes::from_static(b"one")).await.unwrap().created);
    let drift = store.put(&path("a.json"), Bytes::from_static(b"two")).await.unwrap_err();
    assert!(matches!(drift, PutError::Drift { .. }), "{drift}");
    assert_eq!(store.find(&path("a.json"), 100).await.unwrap().unwrap(), "one");
    assert!(store.find(&path("b.json"), 100).await.unwrap().is_none());
}

#[tokio::test]
async fn on_s3_of_many_writers_exactly_one_wins() {
    let Some((settings, _folder)) = settings("race") else { return };
    let store = EvidenceStore::open(&settings).unwrap();
    let path = path("a.json");
    let puts = (0..8).map(|n| store.put(&path, Bytes::from(vec![n; 10_000])));
    let results = futures::future::join_all(puts).await;
    assert_eq!(results.iter().filter(|result| result.is_ok()).count(), 1, "{results:?}");
}

#[tokio::test]
async fn inputs_are_read_from_s3_inside_the_allow_list_only() {
    use model_factory::adapters::dataset::{InputError, InputSettings, Inputs};
    use model_factory::domain::contract::Reference;
    let Some((settings, _folder)) = settings("inputs") else { return };
    let bucket = settings.url.strip_prefix("s3://").unwrap().split('/').next().unwrap().to_owned();
    let client = model_factory::adapters::objects::s3(&settings.s3, &bucket).unwrap();
    client.put(&"in/a.json".into(), Bytes::from_static(b"{}").into()).await.unwrap();
    client.put(&"out/a.json".into(), Bytes::from_static(b"{}").into()).await.unwrap();
    let inputs = Inputs::open(&InputSettings {
        allow: vec![format!("s3://{bucket}/in")],
        s3: settings.s3,
        ..InputSettings::default()
    })
    .unwrap();
    let read =
        async |key: &str| inputs.documents().read(&Reference::parse(&format!("s3://{bucket}/{key}")).unwrap()).await;
    assert_eq!(read("in/a.json").await.unwrap().0, "{}");
    assert!(matches!(read("in/b.json").await, Err(InputError::NotFound { .. })));
    assert!(matches!(read("out/a.json").await, Err(InputError::NotAllowed { .. })));
}

/// Answers a request with 200, and ignores its conditions.
fn careless(stream: TcpStream) -> std::io::Result<()> {
    let mut reader = BufReader::new(stream);
    let mut length = 0;
    loop {
        let mut line = String::new();
        if reader.read_line(&mut line)? == 0 || line == "\r\n" {
            break;
        }
        if let Some(bytes) = line.to_ascii_lowercase().strip_prefix("content-length:") {
            length = bytes.trim().parse().unwrap();
        }
    }
    reader.read_exact(&mut vec![0; length])?;
    let response = b"HTTP/1.1 200 OK\r\nETag: \"x\"\r\nContent-Length: 0\r\nConnection: close\r\n\r\n";
    reader.into_inner().write_all(response)
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn no_worker_starts_on_a_store_that_lets_a_second_put_overwrite_the_first() {
    let listener = TcpListener::bind("127.0.0.1:0").unwrap();
    let endpoint = format!("http://{}", listener.local_addr().unwrap());
    std::thread::spawn(move || listener.incoming().try_for_each(|stream| careless(stream?)));
    let mut world = World::new().await;
    let secret = world.folder.path().join("secret");
    std::fs::write(&secret, "test-secret\n").unwrap();
    world.config.evidence.url = "s3://careless/prefix".to_owned();
    world.config.evidence.s3 = S3Settings {
        endpoint: Some(endpoint),
        region: None,
        access_key_id: Some("test".to_owned()),
        secret_access_key_file: Some(secret),
        allow_http: true,
    };
    let refused =
        Runner::open(&world.config, None.into(), world.ledger.clone(), "runner-1".to_owned(), &unwatched()).await;
    let Err(why) = refused else { panic!("a runner over a store that is not write-once") };
    let why = format!("{why:#}");
    assert!(why.contains("let a second put overwrite the first"), "{why}");
}
