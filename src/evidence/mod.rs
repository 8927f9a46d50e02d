//! Write-once documents and artifacts on an object store.
