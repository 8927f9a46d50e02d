//! TLS and SASL to Kafka, TLS to Postgres, and the rights of the database's roles, with real servers.

mod denials;
mod mechanisms;
mod postgres;
mod roles;
mod secrets;
mod secure;
