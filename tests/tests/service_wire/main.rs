//! What the service says on the bus: recorded over whole runs, and read afterwards.

mod numbers;
mod order;
mod pace;
mod refusals;
mod secrets;
mod several;
