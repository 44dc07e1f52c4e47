//! What is reported as done survives the power cut; what is not done is never seen.

mod final_sync;
mod kills;
mod signals;
mod streams;
mod write_errors;
