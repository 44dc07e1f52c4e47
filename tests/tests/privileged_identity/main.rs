//! Which subvolumes may be built on: what a user forges is never used, and what is harmless is not refused.

mod fixture;
mod forged;
mod harmless;
mod place;
mod records;
