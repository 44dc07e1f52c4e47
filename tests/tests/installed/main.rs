//! What `make install` leaves behind, without root and without building anything.

mod catalogue;
mod list;
mod places;
mod unit;
mod words;
