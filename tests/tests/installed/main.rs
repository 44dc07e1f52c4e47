//! What `make install` leaves behind, without root and without building anything.

mod list;
mod places;
mod unit;
