//! An interrupted transfer resumes inside its subvolume, and the result is that of one run.

mod fixture;
mod journals;
mod kills;
mod streams;
