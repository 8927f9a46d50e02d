//! Checks by which host name a worker is asked.

use axum::Router;
use axum::extract::{Request, State};
use axum::http::StatusCode;
use axum::http::header::{HOST, X_CONTENT_TYPE_OPTIONS};
use axum::middleware::{Next, from_fn_with_state};
use axum::response::{IntoResponse as _, Response};
use std::net::IpAddr;
use std::sync::Arc;

/// Host names by which a worker may be asked, besides `localhost` and IP addresses. A foreign site can make its own name
/// point to this worker's address (DNS rebinding). Its pages then send that name, and are refused.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct KnownHosts(Vec<String>);

impl KnownHosts {
    /// Reads host names that are separated by commas.
    pub fn read(names: &str) -> Self {
        Self(names.split(',').map(|name| name.trim().to_ascii_lowercase()).filter(|name| !name.is_empty()).collect())
    }

    /// Returns the routes, which reply only to requests with a known host name.
    pub(super) fn guard(self, routes: Router) -> Router {
        routes.layer(from_fn_with_state(Arc::new(self), check_host))
    }

    /// Returns whether a request with this `Host` header is answered. The header may hold a port.
    fn knows(&self, host: &str) -> bool {
        let name = match host.strip_prefix('[').and_then(|rest| rest.split_once(']')) {
            Some((address, _)) => address,
            None => host.split_once(':').map_or(host, |(name, _)| name),
        };
        name.parse::<IpAddr>().is_ok()
            || name.eq_ignore_ascii_case("localhost")
            || self.0.iter().any(|known| known.eq_ignore_ascii_case(name))
    }
}

async fn check_host(State(hosts): State<Arc<KnownHosts>>, request: Request, next: Next) -> Response {
    let named = request.headers().get(HOST).and_then(|host| host.to_str().ok());
    match named.or_else(|| request.uri().host()) {
        Some(host) if hosts.knows(host) => next.run(request).await,
        other => {
            let name = other.unwrap_or_default();
            let advice = "ask it by its address in digits, or set [worker] hosts to the names that it has";
            let text = format!("this worker does not answer to the name {name:?}: {advice}\n");
            (StatusCode::MISDIRECTED_REQUEST, [(X_CONTENT_TYPE_OPTIONS, "nosniff")], text).into_response()
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_worker_is_known_by_addresses_and_by_configured_names() {
        let hosts = KnownHosts::read("console.example, Other.Example");
        for host in
            ["localhost:8080", "127.0.0.1", "10.1.2.3:8080", "[::1]:8080", "console.example:443", "other.example"]
        {
            assert!(hosts.knows(host), "{host}");
        }
        for host in ["evil.example", "console.example.evil.example", "localhost.evil.example:8080", "", "[evil]:1"] {
            assert!(!hosts.knows(host), "{host}");
        }
    }
}
