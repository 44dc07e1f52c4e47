//! What is reported as done survives the power cut; what is not done is never seen.

mod devices;
mod exit;
mod kills;
mod room;
mod signals;
mod source;
mod unconfirmed;
