//! Which build this is.

use std::sync::LazyLock;

/// The release.
pub const VERSION: &str = env!("CARGO_PKG_VERSION");

/// The commit that it was built from, where whoever built it said so (`MODEL_FACTORY_BUILD_COMMIT`).
pub const COMMIT: &str = match option_env!("MODEL_FACTORY_BUILD_COMMIT") {
    Some(commit) if !commit.is_empty() => commit,
    Some(_) | None => "unknown",
};

/// `release`, or `debug` where fault points are compiled in.
pub const PROFILE: &str = if cfg!(debug_assertions) { "debug" } else { "release" };

/// Processor and operating system.
pub fn target() -> &'static str {
    static TARGET: LazyLock<String> = LazyLock::new(|| format!("{}-{}", std::env::consts::ARCH, std::env::consts::OS));
    &TARGET
}

/// What `--version` prints after the name.
pub fn long() -> &'static str {
    static LONG: LazyLock<String> =
        LazyLock::new(|| format!("{VERSION}\ncommit: {COMMIT}\nbuild: {PROFILE}, {}", target()));
    &LONG
}
