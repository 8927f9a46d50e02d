//! The style sheet. Its address changes with its bytes, so that no browser shows a page with a cached older one.

use crate::domain::identity::Digest;
use crate::modelling::REPORT_STYLE;
use std::sync::LazyLock;

/// The report's style with the console's own rules.
pub(super) static TEXT: LazyLock<String> = LazyLock::new(|| [REPORT_STYLE, include_str!("console.css")].concat());

pub(super) static ADDRESS: LazyLock<String> = LazyLock::new(|| {
    let digest = Digest::of(TEXT.as_bytes()).to_string();
    format!("/console.css?{}", &digest[..12])
});
