//! Plans and bundles: what is resolved, what the same request gives again, and what earlier bundles are for.

mod bundle;
mod earlier_bundles;
mod resolving;
