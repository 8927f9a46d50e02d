//! Decides which references may be opened.

use super::reference::{Location, Reference, ReferenceError, broken, clean, is_bucket};

/// Prefixes of references that may be opened. A prefix ends at a path boundary: `s3://a/b` allows `s3://a/b/c`, not
/// `s3://a/bc`. Relative references are allowed if a root is configured.
#[derive(Debug, Clone, PartialEq, Eq, Default)]
pub struct AllowList {
    prefixes: Vec<String>,
    relative: bool,
}

impl AllowList {
    /// Builds a list from prefixes such as `file:///dir` and `s3://bucket/prefix`. `relative` says whether a root is
    /// configured.
    pub fn new(prefixes: impl IntoIterator<Item = String>, relative: bool) -> Self {
        let prefixes = prefixes.into_iter().map(|p| p.trim_end_matches('/').to_owned()).collect();
        Self { prefixes, relative }
    }

    /// Builds a list that allows every reference. For checks that open nothing.
    pub fn everything() -> Self {
        // In every reference, one of these prefixes is followed by a slash.
        Self::new(["file:", "s3:", "gs:", "az:"].map(str::to_owned), true)
    }

    /// Reads prefixes that an operator wrote. Refuses a prefix that would allow more than it seems to (an unknown
    /// scheme, a bucket without a name, the whole disk). Also refuses a prefix that no valid reference can begin with.
    pub fn read(prefixes: &[String], relative: bool) -> Result<Self, ReferenceError> {
        for prefix in prefixes {
            check_prefix(prefix).map_err(|error| ReferenceError { rule: format!("{prefix:?}: {error}") })?;
        }
        Ok(Self::new(prefixes.iter().cloned(), relative))
    }

    pub fn allows(&self, reference: &Reference) -> bool {
        match reference.location() {
            Location::Relative(_) => self.relative,
            location @ (Location::File(_) | Location::Object { .. }) => {
                let location = location.to_string();
                self.prefixes
                    .iter()
                    .any(|prefix| location.strip_prefix(prefix.as_str()).is_some_and(|rest| rest.starts_with('/')))
            }
        }
    }
}

/// Checks a prefix. A slash at the end of the prefix makes no difference.
pub(super) fn check_prefix(prefix: &str) -> Result<(), ReferenceError> {
    clean(prefix)?;
    let segments = |path: &str| match path.strip_suffix('/').unwrap_or(path) {
        "" => Ok(()),
        path => super::reference::segments(path),
    };
    match prefix.split_once("://") {
        Some(("file", folder)) => match folder.strip_prefix('/') {
            None => broken("a folder has three slashes and an absolute path: file:///data"),
            Some("" | "/") => broken("it would allow all of the disk; name a folder: file:///data"),
            Some(path) => segments(path),
        },
        Some(("s3" | "gs" | "az", location)) => {
            let (bucket, path) = location.split_once('/').unwrap_or((location, ""));
            if bucket.parse::<std::net::IpAddr>().is_ok() {
                return broken("a bucket is not an address");
            }
            if is_bucket(bucket) { segments(path) } else { broken("it names no bucket: s3://bucket/prefix") }
        }
        Some(_) => broken("the scheme must be file, s3, gs or az"),
        None => {
            broken("it must start with file:///, s3://, gs:// or az://; relative references start from [inputs] root")
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;
    use std::path::{Component, Path};

    #[test]
    fn a_prefix_ends_at_a_path_boundary() {
        let allow = AllowList::new(["s3://bucket/inputs".to_owned(), "file:///data/".to_owned()], false);
        let allows = |text: &str| allow.allows(&Reference::parse(text).unwrap());
        assert!(allows("s3://bucket/inputs/m.json"));
        assert!(allows("file:///data/m.json"));
        for outside in
            ["s3://bucket/inputs-of-others/m.json", "s3://bucket/m.json", "file:///database/m.json", "m.json"]
        {
            assert!(!allows(outside), "{outside}");
        }
        assert!(AllowList::new([], true).allows(&Reference::parse("m.json").unwrap()));
    }

    #[test]
    fn everything_allows_every_reference() {
        for text in ["m.json", "file:///data/m.json", "s3://b/m.json", "gs://b/in/m.json", "az://c/m.json"] {
            assert!(AllowList::everything().allows(&Reference::parse(text).unwrap()), "{text}");
        }
    }

    #[test]
    fn a_prefix_that_would_allow_more_than_it_seems_to_is_refused() {
        let read = |prefix: &str| AllowList::read(&[prefix.to_owned()], false);
        for good in
            ["file:///data", "file:///data/in/", "s3://bucket", "s3://bucket/", "gs://b/in", "az://c/in/latest/"]
        {
            assert!(read(good).is_ok(), "{good}: {:?}", read(good));
        }
        let bad = [
            "",
            "/data",
            "data",
            "file://",
            "file:///",
            "file:////",
            "file://host/data",
            "file:///data/..",
            "file:///data//in",
            "file:///data/%2e%2e",
            "FILE:///data",
            "S3://bucket/in",
            "s3://",
            "s3:///in",
            "s3://user:word@bucket/in",
            "s3://bucket:443/in",
            "s3://*/in",
            "s3://bucket/in?x",
            "s3://bucket/in#x",
            "s3://bucket/./in",
            "s3://bucket/in//",
            "s3://169.254.169.254/in",
            "https://bucket/in",
        ];
        for prefix in bad {
            let refused = read(prefix).unwrap_err().to_string();
            assert!(refused.contains(&format!("{prefix:?}")), "{refused}");
        }
    }

    /// Generates texts that look like references. Their pieces have led out of folders in other software.
    fn spelling() -> impl Strategy<Value = String> {
        let root = prop::sample::select(vec![
            "",
            "/",
            "./",
            "../",
            "file:///data/in",
            "file:///data",
            "file://data/in",
            "file:/data/in",
            "FILE:///data/in",
            "file://localhost/data/in",
            "s3://bucket/in",
            "s3://bucket",
            "S3://bucket/in",
            "s3://BUCKET/in",
            "s3://user@bucket/in",
            "s3://user:word@bucket/in",
            "s3://bucket:443/in",
            "s3://bucket.evil/in",
            "s3://bucket%2ein/in",
            "s3:/bucket/in",
            "s3:///bucket/in",
            "gs://bucket/in",
            "az://bucket/in",
            " s3://bucket/in",
        ]);
        let piece = prop::sample::select(vec![
            "a",
            "m.json",
            "in",
            "out",
            "data",
            "bucket",
            "..",
            ".",
            "",
            "...",
            "..;",
            "%2e%2e",
            "%2E.",
            "%2f",
            "%5c",
            "%00",
            "\\",
            "\\..\\",
            "@",
            ":80",
            "?x=/../",
            "#/../",
            "\u{ff0e}\u{ff0e}",
            "\u{2215}",
            "\u{202e}",
            "\t",
            "\n",
            "~",
            "..\u{200b}",
            "C:",
            "C|",
            "//",
            "://",
            "*",
            "latest",
        ]);
        let glue = prop::sample::select(vec!["/", "/", "/", "", "//", "\\"]);
        (root, prop::collection::vec((glue, piece), 0..6)).prop_map(|(root, pieces)| {
            pieces.into_iter().fold(root.to_owned(), |text, (glue, piece)| text + glue + piece)
        })
    }

    /// Returns whether a client that follows the WHATWG's URL rules would stay inside the allowed folders.
    fn leads_inside(text: &str) -> bool {
        let Ok(url) = url::Url::parse(text) else {
            // Not a URL: a relative path that only leads downwards.
            return Path::new(text).components().all(|part| matches!(part, Component::Normal(_)));
        };
        let bare = url.username().is_empty()
            && url.password().is_none()
            && url.port().is_none()
            && url.query().is_none()
            && url.fragment().is_none();
        let inside = match (url.scheme(), url.host_str()) {
            ("file", None) => url.path().starts_with("/data/in/"),
            ("s3", Some("bucket")) => url.path().starts_with("/in/"),
            _ => false,
        };
        bare && inside && !url.path().ends_with('/')
    }

    fn is_kept_inside(text: &str) -> bool {
        let allow = AllowList::read(&["file:///data/in".to_owned(), "s3://bucket/in/".to_owned()], true).unwrap();
        Reference::parse(text).map_or(true, |found| !allow.allows(&found) || leads_inside(found.as_str()))
    }

    proptest! {
        #![proptest_config(ProptestConfig::with_cases(20_000))]

        #[test]
        fn no_spelling_leaves_the_allow_list(text in spelling()) {
            prop_assert!(is_kept_inside(&text), "{text:?} is allowed");
        }

        #[test]
        fn no_text_leaves_the_allow_list(text in "(file:///data/in|s3://bucket/in)?.{0,40}") {
            prop_assert!(is_kept_inside(&text), "{text:?} is allowed");
        }
    }
}
