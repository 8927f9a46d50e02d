//! The worker's loops, and the worker as a process: what it decides, survives and shows.

mod authority;
mod cloud_events;
mod console;
mod failpoints;
mod group;
mod lifecycle;
mod outages;
mod path;
mod publishing;
mod receipts;
mod registry;
mod relays;
mod restarts;
