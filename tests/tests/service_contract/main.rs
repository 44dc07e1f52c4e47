//! The contract, as the running service keeps it.

mod authority;
mod decompressed;
mod group;
mod introspection;
mod leaving;
mod manager;
mod page;
mod shipped;
