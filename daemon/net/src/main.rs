//! `butterdock-net`: carries out one order from its standard input, a socket, and reports on standard output.

use std::process::ExitCode;

fn main() -> ExitCode {
    butterdock_net::run()
}
