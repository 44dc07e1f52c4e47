//! The contract, as the running service keeps it.

mod appliance;
mod authority;
mod introspection;
mod page;
mod shipped;
