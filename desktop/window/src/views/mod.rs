//! The widgets. They draw what the model says, and decide nothing.

mod drive_card;
mod drives;
mod enrol;
mod form;
mod parts;
mod problem;
mod unlock;
pub(crate) mod window;
