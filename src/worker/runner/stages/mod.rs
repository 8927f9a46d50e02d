//! The six stages, each a verb and one file: fetch what it needs, call the pure function, write once.

mod bundle;
mod evaluate;
mod frame;
mod gate;
mod publish;
mod resolve;
mod train;

pub(super) use bundle::Packed;
pub(super) use evaluate::Reported;
pub(super) use frame::{BUNDLE, EVALUATE, GATE, PUBLISH, PUBLISH_AGAIN, RESOLVE, TRAIN};
pub(super) use gate::Gated;
pub(super) use resolve::Resolved;
