//! Runs the command that the arguments select.

use std::path::PathBuf;
use std::process::ExitCode;

use butterdock_service::config::{self, ConfigFiles};
use butterdock_service::explain;
use clap::error::ErrorKind;

use crate::args::{Args, Command};
use crate::output::{self, USAGE};
use crate::{receive, serve};

/// Runs the command.
pub(crate) fn run(args: Args) -> ExitCode {
    match args.command {
        Command::Receive(wanted) if wanted.dump => receive::dump(&wanted),
        Command::Receive(wanted) => receive::run(wanted),
        Command::Serve(wanted) => serve::run(wanted),
        Command::CheckConfig(wanted) => check_config(wanted.file),
        Command::Worker => work(),
    }
}

/// Explains the configuration; exit status 1 if it has a mistake.
fn check_config(file: Option<PathBuf>) -> ExitCode {
    let files = file.map_or(ConfigFiles::System, ConfigFiles::One);
    match config::load(&files) {
        Ok(config) => {
            output::print(&explain(&config));
            if let Some(unread) = config::unread_file(&files) {
                output::print(&format!("WARNING: {unread}.\n"));
            }
            ExitCode::SUCCESS
        }
        Err(error) => {
            output::error(&format!("{error:#}"));
            ExitCode::FAILURE
        }
    }
}

fn work() -> ExitCode {
    match butterdock_worker::run() {
        Ok(()) => ExitCode::SUCCESS,
        Err(stop) => {
            if !stop.sentence.is_empty() {
                output::error(&stop.sentence);
            }
            ExitCode::from(stop.status)
        }
    }
}

/// Explains a command line with a mistake; prints help or the version on request.
pub(crate) fn misused(error: &clap::Error) -> ExitCode {
    if !error.use_stderr() {
        output::print(&error.render().to_string());
        return ExitCode::SUCCESS;
    }
    let text = error.render().to_string();
    if error.kind() == ErrorKind::DisplayHelpOnMissingArgumentOrSubcommand {
        output::error("no command given; use serve, check-config or receive (butterdockd COMMAND --help)");
        output::complain(text.trim_end());
        return ExitCode::from(USAGE);
    }
    let text = text.strip_prefix("error: ").unwrap_or(&text);
    let (what, more) = text.split_once("\n\n").unwrap_or((text, ""));
    output::error(&what.split_whitespace().collect::<Vec<_>>().join(" "));
    output::complain(more.trim_end());
    ExitCode::from(USAGE)
}

#[cfg(test)]
mod tests {
    use clap::Parser as _;

    use super::*;

    #[test]
    fn a_usage_error_exits_with_64_and_help_with_0() {
        let status = |words: &[&str]| misused(&Args::try_parse_from(words).expect_err("not understood"));
        assert_eq!(status(&["butterdockd"]), ExitCode::from(USAGE));
        assert_eq!(status(&["butterdockd", "receive"]), ExitCode::from(USAGE));
        assert_eq!(status(&["butterdockd", "receive", "--help"]), ExitCode::SUCCESS);
    }
}
