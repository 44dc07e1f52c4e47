//! The files that `make install` installs, checked without root and without a build.

mod catalogue;
mod list;
mod places;
mod unit;
mod words;
