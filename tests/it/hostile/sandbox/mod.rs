//! What a registered command may do to the host and to the worker beside it: nothing that a layer of the sandbox can
//! close. Programs of others are tried as root and as nobody, with all layers and with each alone.

mod accounting;
mod modes;
mod probes;
mod registrations;
mod setting;
