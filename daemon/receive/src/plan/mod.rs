//! This room turns commands into steps, without any I/O.
//!
//! A window of commands is folded before it is applied:
//!
//! * `MKFILE tmp` + `RENAME tmp → final` → one creation under the final name. Likewise the other kinds of inode.
//! * consecutive commands on one path → one [`Work`], applied through one descriptor;
//! * `CHMOD` of an inode created in the same window → its mode from the beginning;
//! * `WRITE`s that touch → one write.
//!
//! A fold is an offer. Whether it cannot be seen (the target is absent, the final directory and the root hand
//! down the same) only the volume knows, so the applier decides, and takes the plain way otherwise.

mod planner;
mod step;

#[cfg(test)]
mod tests;

pub(crate) use planner::Planner;
pub(crate) use step::{Action, Begin, Change, Creation, NewInode, Step, Verity, Work};
