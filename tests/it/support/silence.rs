//! A way to a server on which connections can fall silent, as behind a firewall that forgets them.

use std::future::pending;
use tokio::io::copy_bidirectional;
use tokio::net::{TcpListener, TcpStream};
use tokio::sync::watch;

pub struct SilentWay {
    port: u16,
    cuts: watch::Sender<u32>,
}

impl SilentWay {
    /// A way to this port of the same machine.
    pub async fn to(server: u16) -> Self {
        let listener = TcpListener::bind(("127.0.0.1", 0)).await.unwrap();
        let port = listener.local_addr().unwrap().port();
        let (cuts, seen) = watch::channel(0);
        tokio::spawn(async move {
            while let Ok((mut here, _)) = listener.accept().await {
                let mut seen = seen.clone();
                seen.mark_unchanged();
                tokio::spawn(async move {
                    let Ok(mut there) = TcpStream::connect(("127.0.0.1", server)).await else { return };
                    tokio::select! {
                        _ = copy_bidirectional(&mut here, &mut there) => {}
                        // Both sides stay open, and nothing passes any more.
                        _ = seen.changed() => pending().await,
                    }
                });
            }
        });
        Self { port, cuts }
    }

    /// From now on nothing passes on the connections that there are; new ones work.
    pub fn forget_connections(&self) {
        self.cuts.send_modify(|cuts| *cuts += 1);
    }

    /// This URL by way of here.
    pub fn url(&self, direct: &str) -> String {
        let mut url = url::Url::parse(direct).unwrap();
        url.set_port(Some(self.port)).unwrap();
        url.into()
    }
}
