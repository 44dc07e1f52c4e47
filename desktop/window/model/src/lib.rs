//! What the window shows: the service's objects in, rows and dialogs in words out. Pure: no toolkit, no bus, no clock. The window
//! draws this and decides nothing.
//!
//! ```text
//! drives    the page of drives          enrol     the dialog that enrols a drive      unlock   the dialog with a passphrase
//! problem   what is wrong, with its remedy        action    what a button does        time     times in words
//! ```

mod action;
pub mod drives;
pub mod enrol;
mod problem;
#[cfg(test)]
mod tests;
pub mod time;
pub mod unlock;

pub use action::{Action, Button};
pub use problem::ProblemItem;
