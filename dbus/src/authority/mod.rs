//! This room holds who may do what: one table, from which the service decides, the shipped polkit file is made and the
//! documentation is written.
//!
//! The service asks polkit about the caller's bus name (never its pid), and lets polkit ask a person only where the call
//! allows it. Where there is no polkit on the bus, [`Rule::Anybody`] is everybody, [`Rule::AnybodyWithout`] too where the option is not given, [`Rule::Starter`] whoever started the
//! job, and everything else root alone.

mod action;
mod docs;
mod policy;
mod table;

pub use action::{ACTIONS, Action, ActionRow, Allow};
pub use docs::markdown;
pub use policy::policy;
pub use table::{Row, Rule, TABLE, row};
