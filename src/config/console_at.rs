//! Where the console listens.

use serde::{Deserialize, Serialize};
use std::net::SocketAddr;
use std::str::FromStr;

#[derive(Debug, Clone, Copy, Default, PartialEq, Eq, Deserialize, Serialize)]
#[serde(try_from = "String", into = "String")]
pub enum ConsoleAt {
    /// At the address of health checks and metrics, `[worker] http`.
    #[default]
    WithHttp,
    /// At a separate address.
    Own(SocketAddr),
    Off,
}

impl TryFrom<String> for ConsoleAt {
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

impl From<ConsoleAt> for String {
    fn from(at: ConsoleAt) -> Self {
        match at {
            ConsoleAt::WithHttp => "with_http".to_owned(),
            ConsoleAt::Own(address) => address.to_string(),
            ConsoleAt::Off => "off".to_owned(),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_console_is_off_beside_or_at_its_own_address() {
        for text in ["with_http", "off", "127.0.0.1:8081", "[::1]:0"] {
            assert_eq!(String::from(ConsoleAt::try_from(text.to_owned()).unwrap()), text);
        }
        assert!(ConsoleAt::try_from("on".to_owned()).unwrap_err().contains("with_http"));
    }
}
