//! Where a part of what a worker serves is served: console or metrics.

use serde::{Deserialize, Serialize};
use std::net::SocketAddr;
use std::str::FromStr;

#[derive(Debug, Clone, Copy, Default, PartialEq, Eq, Deserialize, Serialize)]
#[serde(try_from = "String", into = "String")]
pub enum ServeAt {
    /// At the address of the health checks, `[worker] http`.
    #[default]
    WithHttp,
    /// At a separate address.
    Own(SocketAddr),
    Off,
}

impl TryFrom<String> for ServeAt {
    type Error = String;

    fn try_from(text: String) -> Result<Self, String> {
        match text.as_str() {
            "with_http" => Ok(Self::WithHttp),
            "off" => Ok(Self::Off),
            address => SocketAddr::from_str(address)
                .map(Self::Own)
                .map_err(|_| format!("{address:?} is neither with_http nor off nor an address such as 127.0.0.1:8081")),
        }
    }
}

impl From<ServeAt> for String {
    fn from(at: ServeAt) -> Self {
        match at {
            ServeAt::WithHttp => "with_http".to_owned(),
            ServeAt::Own(address) => address.to_string(),
            ServeAt::Off => "off".to_owned(),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_part_is_off_with_http_or_at_an_address_of_its_own() {
        for text in ["with_http", "off", "127.0.0.1:8081", "[::1]:0"] {
            assert_eq!(String::from(ServeAt::try_from(text.to_owned()).unwrap()), text);
        }
        assert!(ServeAt::try_from("on".to_owned()).unwrap_err().contains("with_http"));
    }
}
