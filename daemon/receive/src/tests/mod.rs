//! A model of a subvolume in memory, and the property test that compares it with the engine.

pub(crate) mod memory;
mod order;
