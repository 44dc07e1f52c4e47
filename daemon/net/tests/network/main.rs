//! `butterdock-net` as a process, against servers on this machine that are not as they should be.
#![expect(clippy::expect_used, clippy::panic, reason = "tests fail by panicking")]

mod authority;
mod http;
mod mail;
mod orders;
mod program;
mod server;
