//! The style sheet, under an address that changes with its bytes: a browser that kept an older one asks anew.

use crate::domain::identity::Digest;
use crate::modelling::REPORT_STYLE;
use std::sync::LazyLock;

/// The report's, with what the console adds.
pub(super) static TEXT: LazyLock<String> = LazyLock::new(|| [REPORT_STYLE, include_str!("console.css")].concat());

/// Where pages find it.
pub(super) static ADDRESS: LazyLock<String> = LazyLock::new(|| {
    let digest = Digest::of(TEXT.as_bytes()).to_string();
    format!("/console.css?{}", &digest[..12])
});
