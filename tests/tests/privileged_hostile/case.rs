//! One hostile stream and what must come of it.

use std::borrow::Borrow;

use butterdock_tests::Finished;
use butterdock_tests::wire::Stream;

/// What the standard receiver does with a stream that it should refuse.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Fault {
    /// Ends with status 0.
    ExitsZero,
    /// Does not end.
    Hangs,
    /// Changes what lies outside the subvolume.
    WritesOutside,
    /// Fails, and leaves a writable part under the subvolume's name.
    LeavesAPart,
}

/// A row of a table.
#[derive(Debug)]
pub(crate) struct Case {
    pub(crate) name: &'static str,
    pub(crate) stream: Vec<u8>,
    pub(crate) arguments: Vec<&'static str>,
    pub(crate) standard: Option<Fault>,
    words: &'static [&'static str],
    placed: bool,
    several: bool,
}

impl Case {
    /// A stream that is refused at a command.
    pub(crate) fn new(name: &'static str, stream: impl Borrow<Stream>) -> Self {
        Self {
            name,
            stream: stream.borrow().bytes().to_vec(),
            arguments: Vec::new(),
            standard: None,
            words: &[],
            placed: true,
            several: false,
        }
    }

    /// The error has one of these words, in small letters.
    pub(crate) const fn says(mut self, words: &'static [&'static str]) -> Self {
        self.words = words;
        self
    }

    /// With these options.
    pub(crate) fn with(mut self, arguments: &[&'static str]) -> Self {
        self.arguments = arguments.to_vec();
        self
    }

    /// The standard receiver does this.
    pub(crate) const fn standard(mut self, fault: Fault) -> Self {
        self.standard = Some(fault);
        self
    }

    /// The error need not tell a command's number and byte.
    pub(crate) const fn nowhere(mut self) -> Self {
        self.placed = false;
        self
    }

    /// With `--max-errors` there is a line for each error.
    pub(crate) const fn several(mut self) -> Self {
        self.several = true;
        self
    }

    /// What is wrong with how it ended.
    pub(crate) fn judge(&self, finished: &Finished) -> Vec<String> {
        let mut faults = Vec::new();
        if finished.code() == 0 || finished.code() > 127 {
            faults.push(format!("exit status {}", finished.code()));
        }
        if !finished.stdout.is_empty() && !finished.out().starts_with("At snapshot ") {
            faults.push(format!("stdout {:?}", finished.out()));
        }
        let text = finished.err();
        let lines: Vec<&str> = text.lines().filter(|line| !line.starts_with("At subvol ")).collect();
        let errors = lines.iter().filter(|line| line.starts_with("ERROR: ")).count();
        if errors != lines.len() || errors == 0 || (errors > 1 && !self.several) {
            faults.push(format!("not one line of error: {text:?}"));
        }
        let small = text.to_lowercase();
        if self.placed && !(small.contains("command ") && small.contains("byte ")) {
            faults.push(format!("does not tell where: {text:?}"));
        }
        if !self.words.is_empty() && !self.words.iter().any(|word| small.contains(word)) {
            faults.push(format!("says none of {:?}: {text:?}", self.words));
        }
        faults
    }
}

/// A full version-1 stream that has begun.
pub(crate) fn v1() -> Stream {
    Stream::new(1).subvol("sub")
}

/// A full version-2 stream that has begun.
pub(crate) fn v2() -> Stream {
    Stream::new(2).subvol("sub")
}

/// A full version-3 stream that has begun.
pub(crate) fn v3() -> Stream {
    Stream::new(3).subvol("sub")
}
