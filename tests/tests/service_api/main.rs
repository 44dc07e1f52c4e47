//! The API of the running service: its messages on the bus, permissions, introspection, other clients, the command line.

mod authorization;
mod backup_objects;
mod cli;
mod cli_exit_statuses;
mod clients;
mod decompression;
mod group_rule;
mod introspection;
mod invalid_calls;
mod job_counters;
mod job_signals;
mod notifications;
mod polkit_cancellation;
mod private_names;
mod settings;
mod shipped_files;
