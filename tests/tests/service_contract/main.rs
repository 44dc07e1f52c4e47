//! The contract, as the running service keeps it.

mod authority;
mod introspection;
mod leaving;
mod shipped;
