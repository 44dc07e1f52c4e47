//! The contract, as the running service keeps it.

mod appliance;
mod authority;
mod decompressed;
mod introspection;
mod leaving;
mod manager;
mod page;
mod shipped;
