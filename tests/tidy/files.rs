//! The tree as text: what the rules look at.

use std::collections::BTreeMap;
use std::fs;
use std::path::Path;

/// Path from the repository's root, and text.
pub type Files = BTreeMap<String, String>;

pub fn tree() -> Files {
    fn visit(root: &Path, folder: &Path, files: &mut Files) {
        for entry in fs::read_dir(folder).unwrap() {
            let path = entry.unwrap().path();
            let name = path.strip_prefix(root).unwrap().to_str().unwrap().to_owned();
            if path.is_dir() {
                visit(root, &path, files);
            } else if ["rs", "md", "sh", "py", "toml", "sql"]
                .iter()
                .any(|end| path.extension().is_some_and(|e| e == *end))
            {
                files.insert(name, fs::read_to_string(&path).unwrap());
            }
        }
    }
    let root = Path::new(env!("CARGO_MANIFEST_DIR"));
    let mut files = Files::new();
    for folder in ["src", "tests", "docs", "deploy", "schemas", "examples"] {
        if root.join(folder).exists() {
            visit(root, &root.join(folder), &mut files);
        }
    }
    for name in ["README.md", "ARCHITECTURE.md", "CHANGELOG.md", "CONTRIBUTING.md"] {
        files.insert(name.to_owned(), fs::read_to_string(root.join(name)).unwrap());
    }
    files
}

pub fn one(path: &str, text: &str) -> Files {
    Files::from([(path.to_owned(), text.to_owned())])
}

pub fn rust<'a>(files: &'a Files, under: &'a str) -> impl Iterator<Item = (&'a String, &'a String)> {
    files.iter().filter(move |(path, _)| path.starts_with(under) && path.ends_with(".rs"))
}

/// The lines of code, without comments and without the tests at the end of a file.
pub fn code(text: &str) -> impl Iterator<Item = (usize, &str)> {
    let end = text.find("#[cfg(test)]\nmod tests {").unwrap_or(text.len());
    text[..end].lines().enumerate().map(|(number, line)| (number + 1, line.split("//").next().unwrap_or_default()))
}

/// `domain::run::state` for `src/domain/run/state.rs`, and `domain::run` for its `mod.rs`.
pub fn module(path: &str) -> String {
    let inside = path.trim_start_matches("src/").trim_end_matches(".rs").trim_end_matches("/mod");
    inside.replace('/', "::")
}
