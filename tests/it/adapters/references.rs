//! References that inputs refuse: redirects, prefixes outside the allow-list, schemes that this build cannot read.

use model_factory::adapters::dataset::{InputError, InputSettings, Inputs};
use model_factory::adapters::objects::S3Settings;
use model_factory::domain::contract::Reference;
use std::sync::{Arc, Mutex};
use tokio::io::{AsyncReadExt as _, AsyncWriteExt as _};
use tokio::net::TcpListener;

/// A server that sends every client the same response, and records the request lines.
struct Server {
    url: String,
    requests: Arc<Mutex<Vec<String>>>,
    _responding: tokio::task::JoinSet<()>,
}

async fn serve(response: String) -> Server {
    let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
    let url = format!("http://{}", listener.local_addr().unwrap());
    let requests = Arc::new(Mutex::new(Vec::new()));
    let (seen, mut responding) = (Arc::clone(&requests), tokio::task::JoinSet::new());
    responding.spawn(async move {
        loop {
            let (mut stream, _) = listener.accept().await.unwrap();
            let mut head = Vec::new();
            while !head.ends_with(b"\r\n\r\n") {
                match stream.read_u8().await {
                    Ok(byte) => head.push(byte),
                    Err(_) => break,
                }
            }
            let line = String::from_utf8_lossy(&head).lines().next().unwrap_or_default().to_owned();
            seen.lock().unwrap().push(line);
            let _ = stream.write_all(response.as_bytes()).await;
        }
    });
    Server { url, requests, _responding: responding }
}

/// Serves one small document under every name.
async fn document() -> Server {
    let head = "HTTP/1.1 200 OK\r\nContent-Length: 2\r\nETag: \"1\"\r\nConnection: close";
    serve(format!("{head}\r\nLast-Modified: Sat, 24 Jan 2026 10:00:00 GMT\r\n\r\n{{}}")).await
}

fn s3(endpoint: &str, folder: &std::path::Path) -> InputSettings {
    let secret = folder.join("secret");
    std::fs::write(&secret, "word").unwrap();
    InputSettings {
        allow: vec!["s3://bucket/in".to_owned()],
        s3: S3Settings {
            endpoint: Some(endpoint.to_owned()),
            access_key_id: Some("id".to_owned()),
            secret_access_key_file: Some(secret),
            allow_http: true,
            ..S3Settings::default()
        },
        ..InputSettings::default()
    }
}

async fn read(settings: &InputSettings, reference: &str) -> Result<bytes::Bytes, InputError> {
    let inputs = Inputs::open(settings).unwrap();
    inputs.documents().read(&Reference::parse(reference).unwrap()).await.map(|(bytes, _)| bytes)
}

#[tokio::test]
async fn a_store_that_sends_readers_elsewhere_is_not_followed() {
    let folder = tempfile::tempdir().unwrap();
    let elsewhere = document().await;
    assert_eq!(read(&s3(&elsewhere.url, folder.path()), "s3://bucket/in/m.json").await.unwrap(), "{}");
    assert_eq!(elsewhere.requests.lock().unwrap().drain(..).collect::<Vec<_>>(), ["GET /bucket/in/m.json HTTP/1.1"]);
    for status in ["301 Moved Permanently", "302 Found", "307 Temporary Redirect", "308 Permanent Redirect"] {
        let location = format!("{}/secret", elsewhere.url);
        let response =
            format!("HTTP/1.1 {status}\r\nLocation: {location}\r\nContent-Length: 0\r\nConnection: close\r\n\r\n");
        let store = serve(response).await;
        let error = read(&s3(&store.url, folder.path()), "s3://bucket/in/m.json").await.unwrap_err();
        assert!(matches!(error, InputError::Unavailable { .. }), "{status}: {error}");
        assert!(!store.requests.lock().unwrap().is_empty());
        assert!(elsewhere.requests.lock().unwrap().is_empty(), "{status} was followed");
    }
}

#[tokio::test]
async fn a_prefix_that_this_build_cannot_read_is_refused_at_the_start() {
    for (scheme, built, feature) in [("gs", cfg!(feature = "gcp"), "gcp"), ("az", cfg!(feature = "azure"), "azure")] {
        let settings = InputSettings { allow: vec![format!("{scheme}://bucket/in")], ..InputSettings::default() };
        match Inputs::open(&settings) {
            Ok(_) => assert!(built),
            Err(refused) => assert!(refused.to_string().contains(&format!("--features {feature}")), "{refused}"),
        }
    }
    for prefix in ["file:///", "s3://", "S3://bucket", "ftp://host/in", "/data"] {
        let settings = InputSettings { allow: vec![prefix.to_owned()], ..InputSettings::default() };
        let refused = Inputs::open(&settings).unwrap_err().to_string();
        assert!(refused.starts_with("[inputs] allow: "), "{refused}");
    }
}

#[cfg(feature = "gcp")]
#[tokio::test]
async fn google_cloud_storage_is_read_at_its_endpoint() {
    use model_factory::adapters::objects::GcsSettings;
    let server = document().await;
    let gcs =
        GcsSettings { endpoint: Some(server.url.clone()), anonymous: true, allow_http: true, ..GcsSettings::default() };
    let settings = InputSettings { allow: vec!["gs://bucket/in".to_owned()], gcs, ..InputSettings::default() };
    assert_eq!(read(&settings, "gs://bucket/in/m.json").await.unwrap(), "{}");
    assert_eq!(*server.requests.lock().unwrap(), ["GET /bucket/in%2Fm.json HTTP/1.1"]);
    assert!(matches!(read(&settings, "gs://bucket/out/m.json").await, Err(InputError::NotAllowed { .. })));
}

#[cfg(feature = "azure")]
#[tokio::test]
async fn azure_blob_storage_is_read_at_its_endpoint() {
    use model_factory::adapters::objects::AzureSettings;
    let server = document().await;
    let azure = AzureSettings {
        account: Some("account".to_owned()),
        endpoint: Some(server.url.clone()),
        anonymous: true,
        allow_http: true,
        ..AzureSettings::default()
    };
    let settings = InputSettings { allow: vec!["az://container/in".to_owned()], azure, ..InputSettings::default() };
    assert_eq!(read(&settings, "az://container/in/m.json").await.unwrap(), "{}");
    assert_eq!(*server.requests.lock().unwrap(), ["GET /container/in/m.json HTTP/1.1"]);
    let nameless = InputSettings { azure: AzureSettings::default(), ..settings };
    let error = read(&nameless, "az://container/in/m.json").await.unwrap_err();
    assert!(error.to_string().contains("[inputs.azure] account"), "{error}");
}
