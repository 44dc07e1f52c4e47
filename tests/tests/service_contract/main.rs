//! The API of the running service.

mod authority;
mod decompressed;
mod group;
mod introspection;
mod leaving;
mod manager;
mod page;
mod shipped;
