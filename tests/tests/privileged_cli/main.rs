//! `butterdockd receive` as a person and as a script use it, option by option.

mod desk;
mod destinations;
mod dump;
mod input;
mod output;
mod several;
