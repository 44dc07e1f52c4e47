//! Who may call what: one table, from which the service authorizes calls, and from which the shipped polkit file and
//! the documentation are made.
//!
//! The service asks polkit about the caller's bus name (never its pid), and allows a password dialog only if the call
//! does. Without polkit on the bus, [`Rule::Anybody`] allows all users, [`Rule::AnybodyWithout`] too if the option is
//! not given, [`Rule::Starter`] the user who started the job, and all other rules only root.

mod action;
mod docs;
mod policy;
mod table;

pub use action::{ACTIONS, Action, ActionRow, Allow};
pub use docs::markdown;
pub use policy::policy;
pub use table::{Row, Rule, TABLE, row};
