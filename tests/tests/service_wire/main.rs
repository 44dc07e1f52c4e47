//! The service's messages on the bus, recorded over whole runs and checked afterwards.

mod numbers;
mod order;
mod pace;
mod refusals;
mod secrets;
mod several;
