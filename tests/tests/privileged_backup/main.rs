//! A backup through a worker: what arrives, what is refused, what a crash and a full drive leave.

mod fixture;
mod kills;
mod locks;
mod nested;
mod refusals;
mod retention;
mod rollback;
mod transfers;
