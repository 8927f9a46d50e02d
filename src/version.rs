//! Identifies this build.

use std::sync::LazyLock;

pub const VERSION: &str = env!("CARGO_PKG_VERSION");

/// The commit of the sources, if the variable `MODEL_FACTORY_BUILD_COMMIT` named it at build time. Otherwise `unknown`.
pub const COMMIT: &str = match option_env!("MODEL_FACTORY_BUILD_COMMIT") {
    Some(commit) if !commit.is_empty() => commit,
    Some(_) | None => "unknown",
};

/// `release`, or `debug` if failpoints are compiled in.
pub const PROFILE: &str = if cfg!(debug_assertions) { "debug" } else { "release" };

/// Returns processor and operating system, such as `x86_64-linux`.
pub fn target() -> &'static str {
    static TARGET: LazyLock<String> = LazyLock::new(|| format!("{}-{}", std::env::consts::ARCH, std::env::consts::OS));
    &TARGET
}

/// Returns the text that `--version` prints after the program's name.
pub fn long() -> &'static str {
    static LONG: LazyLock<String> =
        LazyLock::new(|| format!("{VERSION}\ncommit: {COMMIT}\nbuild: {PROFILE}, {}", target()));
    &LONG
}
