//! Names datasets as OpenLineage does: by a namespace for the store, and a name within the store.

use crate::domain::contract::Location;
use serde::Serialize;

#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
pub struct DatasetName {
    /// The store, such as `file`, `s3://bucket`, `gs://bucket` or `abfss://container@account.dfs.core.windows.net`.
    pub namespace: String,
    pub name: String,
}

/// The stores of this worker's inputs and evidence. They turn a reference into a dataset's name.
#[derive(Debug, Clone)]
pub struct DatasetLocations {
    /// The folder that relative references start from. `None` if the worker has no such folder.
    pub root: Option<String>,
    /// The storage account of `az://` references. With `None`, names contain `unknown` in place of the account.
    pub azure_account: Option<String>,
    /// The evidence store: `file:///folder` or `s3://bucket/prefix`.
    pub evidence: String,
}

impl DatasetLocations {
    pub fn input(&self, location: &Location) -> DatasetName {
        match location {
            Location::Relative(path) => {
                let root = self.root.as_deref().unwrap_or_default().trim_end_matches('/');
                file(format!("{root}/{path}"))
            }
            Location::File(path) => file(path.clone()),
            Location::Object { scheme, bucket, key } if scheme == "az" => {
                let account = self.azure_account.as_deref().unwrap_or("unknown");
                DatasetName { namespace: format!("abfss://{bucket}@{account}.dfs.core.windows.net"), name: key.clone() }
            }
            Location::Object { scheme, bucket, key } => {
                DatasetName { namespace: format!("{scheme}://{bucket}"), name: key.clone() }
            }
        }
    }

    /// Names a dataset in the evidence store. `path` is relative to the store.
    pub fn evidence(&self, path: &str) -> DatasetName {
        let store = self.evidence.trim_end_matches('/');
        match store.split_once("://") {
            Some(("file", folder)) => file(format!("{folder}/{path}")),
            Some((scheme, rest)) => {
                let (bucket, prefix) = rest.split_once('/').unwrap_or((rest, ""));
                let name = if prefix.is_empty() { path.to_owned() } else { format!("{prefix}/{path}") };
                DatasetName { namespace: format!("{scheme}://{bucket}"), name }
            }
            None => file(format!("{store}/{path}")),
        }
    }
}

fn file(path: String) -> DatasetName {
    DatasetName { namespace: "file".to_owned(), name: path }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::domain::contract::Reference;

    #[test]
    fn names_are_those_that_other_tools_give_to_the_same_objects() {
        let mut locations = DatasetLocations {
            root: Some("/data/in/".to_owned()),
            azure_account: Some("fraud".to_owned()),
            evidence: "s3://evidence/mf/".to_owned(),
        };
        for (reference, namespace, name) in [
            ("a/b.parquet", "file", "/data/in/a/b.parquet"),
            ("file:///x/b.parquet", "file", "/x/b.parquet"),
            ("s3://bucket/a/b.parquet", "s3://bucket", "a/b.parquet"),
            ("gs://bucket/b.parquet", "gs://bucket", "b.parquet"),
            ("az://box/a/b.parquet", "abfss://box@fraud.dfs.core.windows.net", "a/b.parquet"),
        ] {
            let found = locations.input(Reference::parse(reference).unwrap().location());
            assert_eq!((found.namespace.as_str(), found.name.as_str()), (namespace, name));
        }
        for (store, namespace, name) in [
            ("s3://evidence/mf/", "s3://evidence", "mf/p/report.json"),
            ("s3://evidence", "s3://evidence", "p/report.json"),
            ("file:///evidence", "file", "/evidence/p/report.json"),
        ] {
            store.clone_into(&mut locations.evidence);
            let found = locations.evidence("p/report.json");
            assert_eq!((found.namespace.as_str(), found.name.as_str()), (namespace, name));
        }
    }
}
