//! Turns commands into steps, without any I/O.
//!
//! The planner folds a window of commands before they are applied:
//!
//! * `MKFILE tmp` + `RENAME tmp → final` → one creation under the final name. Likewise the other kinds of inode.
//! * consecutive commands on one path → one [`Work`], applied through one descriptor;
//! * `CHMOD` of an inode created in the same window → its mode from the beginning;
//! * `WRITE`s that touch → one write.
//!
//! A fold is an offer. It must not be visible: the target must be absent, and the final directory and the root must hand
//! down the same attributes. Only the volume knows this, so the applier decides, and applies the commands one by one
//! otherwise.

mod planner;
mod step;

#[cfg(test)]
mod tests;

pub(crate) use planner::Planner;
pub(crate) use step::{Action, Begin, Change, Creation, NewInode, Step, Verity, Work};
