//! TLS and SASL to Kafka, TLS to Postgres, and what the database's roles may do; with real servers.

mod denials;
mod mechanisms;
mod postgres;
mod roles;
mod secrets;
mod secure;
