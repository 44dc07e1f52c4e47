//! Every verb against a service that is played: the interfaces of the contract on a bus of the test's own.

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
