//! Which subvolumes may serve as parents: a user's forgery is never used, and harmless changes are not refused.

mod fixture;
mod forged;
mod harmless_changes;
mod records;
