//! The token of OAUTHBEARER, from the file that an identity provider's agent keeps fresh.

use crate::clock;
use crate::secret::Secret;
use base64::Engine as _;
use base64::engine::general_purpose::URL_SAFE_NO_PAD;
use rdkafka::client::OAuthToken;
use serde::Deserialize;
use std::path::Path;
use std::time::Duration;

/// A token counts as valid for no longer than this, so that a new one in the file is soon in use: the client
/// library reads the file again after four fifths of it.
const LONGEST: Duration = Duration::from_mins(5);

/// What the client library needs of a token. The broker checks the rest.
#[derive(Deserialize)]
struct Claims {
    sub: String,
    /// Seconds since 1970.
    exp: f64,
}

/// The token that the file holds now. The broker checks its signature.
pub(super) fn read(path: &Path) -> Result<OAuthToken, String> {
    let token = Secret::from_file(path)?;
    let token = token.reveal().trim();
    let claims = claims(token).ok_or_else(|| format!("{} holds no JWT with sub and exp", path.display()))?;
    let now = clock::since_epoch();
    let until = claims.exp.min((now + LONGEST).as_secs_f64());
    if until <= now.as_secs_f64() {
        return Err(format!("the token in {} has expired", path.display()));
    }
    Ok(OAuthToken { token: token.to_owned(), principal_name: claims.sub, lifetime_ms: (until * 1_000.0) as i64 })
}

fn claims(token: &str) -> Option<Claims> {
    let mut parts = token.split('.');
    let (_, payload, _) = (parts.next()?, parts.next()?, parts.next()?);
    serde_json::from_slice(&URL_SAFE_NO_PAD.decode(payload).ok()?).ok()
}
