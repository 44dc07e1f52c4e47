//! The command line.

use std::ffi::OsString;

/// What `--help` prints.
pub(crate) const USAGE: &str = "usage: butterdock-window [--help | --version]
Shows backup drives. See butterdock-window(1).";

/// What is asked for.
#[derive(Debug, PartialEq, Eq)]
pub(crate) enum Arguments {
    Help,
    Version,
    Start(Start),
}

/// How the program starts.
#[derive(Debug, PartialEq, Eq)]
pub(crate) enum Start {
    /// It shows its window.
    Window,
    /// The bus has started it, and says what to show.
    Service,
}

impl Arguments {
    /// Reads the arguments; `None` for wrong ones.
    pub(crate) fn read(arguments: impl Iterator<Item = OsString>) -> Option<Self> {
        let arguments: Vec<_> = arguments.collect();
        match arguments.as_slice() {
            [] => Some(Self::Start(Start::Window)),
            [word] if word == "--help" => Some(Self::Help),
            [word] if word == "--version" => Some(Self::Version),
            [word] if word == "--gapplication-service" => Some(Self::Start(Start::Service)),
            [..] => None,
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn read(words: &[&str]) -> Option<Arguments> {
        Arguments::read(words.iter().map(OsString::from))
    }

    #[test]
    fn other_arguments_are_refused() {
        assert_eq!(read(&[]), Some(Arguments::Start(Start::Window)));
        assert_eq!(read(&["--gapplication-service"]), Some(Arguments::Start(Start::Service)));
        assert_eq!((read(&["--version", "x"]), read(&["--display"])), (None, None));
    }
}
