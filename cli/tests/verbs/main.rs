//! Every verb against a fake service: the interfaces of the API on a private bus.

#![expect(clippy::expect_used, clippy::panic, reason = "helpers of tests, outside #[test]")]

mod answers;
mod bus;
mod drives;
mod endings;
mod fake;
mod pages;
mod python;
mod readme;
mod run;
mod watching;
