//! `butterdockd receive` as a person and as a script use it, option by option.

mod destinations;
mod dump;
mod fixture;
mod input;
mod output;
mod several_subvolumes;
