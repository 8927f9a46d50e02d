//! What tests stand on: a database, topics and worker processes of their own, and generated data.

mod arrivals;
mod broker;
mod children;
mod data;
mod eventually;
mod foreign;
mod kafka;
mod offsets;
mod plan;
mod postgres;
mod registry;
mod relay;
mod runs;
mod silence;
mod worker;
mod world;

pub use arrivals::{admit_one, arrival, bring, event, event_of_bytes, revision};
pub use broker::{Departure, OwnKafka};
pub use children::children_in;
pub use data::{data, write_private};
pub use eventually::{BOUND, eventually, took};
pub use foreign::{ForeignRecord, send_compressed, send_foreign};
pub use kafka::{committed, own_topics, own_topics_on};
pub use offsets::{
    commit_offset, create_compacted_topic, create_topic, delete_records_before, make_anew, send_in_transaction,
};
pub use plan::{Documents, document, read_document};
pub use postgres::{
    OwnPostgres, as_role, as_worker, copied_database, count, end_backoff, fresh_database, grant_roles, ledger_on,
    open_folder, outbox_sent, sql,
};
pub use registry::{confirm_publications, confirmed_by_registry, registry_event};
pub use relay::{RunningRelay, publications_count_as_handed_over, whole_room};
pub use runs::{act, claim, fail_one, fails};
pub use silence::SilentWay;
pub use worker::{Worker, WorkerCommand};
pub use world::{World, request, turn, unwatched};
