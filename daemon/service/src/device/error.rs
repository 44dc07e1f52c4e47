//! Errors of operations on drives, and the sentences that they are made of.
//!
//! A sentence has two forms: complete for the journal, and without paths for the public. Both are made from the same typed parts:
//! each part defines its public form, and no text is cut out of a sentence.

use std::fmt::{self, Display};
use std::io;
use std::path::Path;
use std::process::ExitStatus;

use uuid::Uuid;

use crate::types::{DriveProblem, DriveProblemCode, DriveProblemParams, ErrorCode};

/// The result of calls on drives.
pub(crate) type Result<T> = std::result::Result<T, Error>;

/// What is wrong, as a sentence for a person.
#[derive(Debug)]
pub(crate) enum Error {
    /// The drive is not what it should be, or in a state in which this is not done. The sentence says what to do.
    Refused(Sentence),
    /// Another program uses the drive. The sentence says which, and what to do.
    InUse(Sentence),
    /// The passphrase or the key does not open the drive.
    WrongSecret(Sentence),
    /// The kernel or a tool would not.
    System {
        /// "mounting /dev/sdb1": for the journal alone.
        doing: String,
        /// What it answered.
        source: io::Error,
    },
    /// The device takes no writes, because of a switch on it or on its enclosure, or because it is worn out.
    WriteProtected {
        /// "mounting /dev/sdb1": for the journal alone.
        doing: String,
    },
}

impl Error {
    /// For `map_err`.
    pub(crate) fn system<E: Into<io::Error>>(doing: impl Into<String>) -> impl FnOnce(E) -> Self {
        let doing = doing.into();
        move |source| Self::System { doing, source: source.into() }
    }

    /// For `return Err(…)`.
    pub(crate) fn refused(sentence: impl Into<Sentence>) -> Self {
        Self::Refused(sentence.into())
    }

    /// The public message, without paths and without messages of the kernel or a tool.
    pub(crate) fn public(&self) -> String {
        let source = match self {
            Self::Refused(sentence) | Self::InUse(sentence) | Self::WrongSecret(sentence) => {
                return sentence.public().to_owned();
            }
            Self::WriteProtected { .. } => {
                return "the drive is write-protected; switch its write protection off (on the drive, its adapter or its \
                        enclosure), then plug it in again"
                    .to_owned();
            }
            Self::System { source, .. } => source,
        };
        let what = source
            .raw_os_error()
            .map_or_else(|| source.kind().to_string(), |errno| nix::Error::from_raw(errno).desc().to_owned());
        if self.code() == ErrorCode::DeviceGone {
            return format!(
                "the drive does not respond ({what}): it was unplugged, or it or its cable fails; check both, then plug \
                 it in again"
            );
        }
        format!("the drive cannot be used ({what}); the journal of butterdockd and dmesg tell more")
    }

    /// What it says is wrong with the drive.
    pub(crate) fn problem(&self) -> DriveProblem {
        let error = self.code();
        match self {
            Self::Refused(sentence) | Self::InUse(sentence) => sentence.problem(error),
            Self::WrongSecret(_) => {
                let params = DriveProblem::other(error, self.public()).params;
                DriveProblem { params, ..DriveProblem::plain(DriveProblemCode::UnlockFailed, self.public()) }
            }
            Self::WriteProtected { .. } => DriveProblem::plain(DriveProblemCode::WriteProtected, self.public()),
            Self::System { .. } if error == ErrorCode::DeviceGone => {
                let params = DriveProblemParams { reason: Some(self.public()), ..DriveProblemParams::default() };
                DriveProblem { params, ..DriveProblem::plain(DriveProblemCode::NotResponding, self.public()) }
            }
            Self::System { .. } => DriveProblem::other(error, self.public()),
        }
    }

    /// What it is called.
    pub(crate) fn code(&self) -> ErrorCode {
        let source = match self {
            Self::Refused(_) => return ErrorCode::Failed,
            Self::InUse(_) => return ErrorCode::Busy,
            Self::WrongSecret(_) => return ErrorCode::WrongPassphrase,
            Self::WriteProtected { .. } => return ErrorCode::ReadOnly,
            Self::System { source, .. } => source,
        };
        let errno = source.raw_os_error().map(nix::Error::from_raw);
        let is = |wanted: &[nix::Error]| errno.is_some_and(|errno| wanted.contains(&errno));
        if is(&[nix::Error::EIO, nix::Error::ENXIO, nix::Error::ENODEV, nix::Error::ENOENT]) {
            ErrorCode::DeviceGone
        } else if is(&[nix::Error::EROFS]) {
            ErrorCode::ReadOnly
        } else if is(&[nix::Error::ENOSPC, nix::Error::EDQUOT]) {
            ErrorCode::NoSpace
        } else if is(&[nix::Error::EBUSY]) {
            ErrorCode::Busy
        } else {
            ErrorCode::Failed
        }
    }
}

impl Display for Error {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Refused(sentence) | Self::InUse(sentence) | Self::WrongSecret(sentence) => sentence.fmt(f),
            Self::System { doing, source } => write!(f, "{doing}: {source}"),
            Self::WriteProtected { doing } => write!(f, "{doing}: the device is write-protected"),
        }
    }
}

impl std::error::Error for Error {
    fn source(&self) -> Option<&(dyn std::error::Error + 'static)> {
        match self {
            Self::Refused(_) | Self::InUse(_) | Self::WrongSecret(_) | Self::WriteProtected { .. } => None,
            Self::System { source, .. } => Some(source),
        }
    }
}

/// A sentence for a person. Its `Display` is for the journal.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct Sentence {
    whole: String,
    public: String,
    /// What it says, where that is a problem of a drive with a code of its own.
    problem: Option<Box<(DriveProblemCode, DriveProblemParams)>>,
}

/// The name of a device without its folder.
pub(crate) fn device_name(node: &Path) -> String {
    Part::Node(node).public()
}

/// The parameters of a problem of this drive.
pub(crate) fn of_drive(label: &str) -> DriveProblemParams {
    DriveProblemParams { label: Some(label.to_owned()), ..DriveProblemParams::default() }
}

/// Those of a problem with one device of it.
pub(crate) fn of_device(label: &str, node: &Path) -> DriveProblemParams {
    DriveProblemParams { device: Some(device_name(node)), ..of_drive(label) }
}

/// Those of a problem with several.
pub(crate) fn of_devices(label: &str, nodes: &[&Path]) -> DriveProblemParams {
    DriveProblemParams { devices: Some(nodes.iter().map(|node| device_name(node)).collect()), ..of_drive(label) }
}

/// Those of a drive of which devices are missing.
pub(crate) fn of_missing(label: &str, missing: usize, count: usize) -> DriveProblemParams {
    DriveProblemParams { missing: Some(missing as u64), count: Some(count as u64), ..of_drive(label) }
}

/// A part of a sentence.
#[derive(Clone, Copy)]
pub(crate) enum Part<'a> {
    /// The service's own words.
    Text(&'static str),
    /// What a drive, a process or the configuration calls itself: a label, a serial number.
    Name(&'a str),
    /// A device. The public form is the name of its node without the folder.
    Node(&'a Path),
    /// Several devices.
    Nodes(&'a [&'a Path]),
    /// How many.
    Number(u64),
    /// Bits.
    Bits(u64),
    /// Which one.
    Uuid(Uuid),
    /// How a tool ended.
    Status(ExitStatus),
    /// A part of this sentence that was made elsewhere.
    Sentence(&'a Sentence),
    /// Only for the journal, such as a path or a tool's message. The second text is the public form.
    Hidden(&'a dyn Display, &'static str),
}

impl Sentence {
    /// One of these parts.
    pub(crate) fn of(parts: &[Part<'_>]) -> Self {
        let mut sentence = Self { whole: String::new(), public: String::new(), problem: None };
        for part in parts {
            sentence.whole.push_str(&part.whole());
            sentence.public.push_str(&part.public());
        }
        sentence
    }

    /// The same, which says that this is wrong with a drive.
    pub(crate) fn coded(self, code: DriveProblemCode, params: DriveProblemParams) -> Self {
        Self { problem: Some(Box::new((code, params))), ..self }
    }

    /// The public form, without paths.
    pub(crate) fn public(&self) -> &str {
        &self.public
    }

    /// The parameters of what it says is wrong with a drive.
    pub(crate) fn params(&self) -> DriveProblemParams {
        self.problem.as_ref().map(|problem| problem.1.clone()).unwrap_or_default()
    }

    /// What it says is wrong with a drive.
    pub(crate) fn problem(&self, error: ErrorCode) -> DriveProblem {
        let english = self.public.clone();
        match self.problem.as_deref() {
            Some((code, params)) => DriveProblem { code: *code, params: params.clone(), english },
            None => DriveProblem::other(error, english),
        }
    }
}

impl From<&'static str> for Sentence {
    fn from(text: &'static str) -> Self {
        Self::of(&[Part::Text(text)])
    }
}

impl Display for Sentence {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.whole)
    }
}

impl Part<'_> {
    fn whole(self) -> String {
        match self {
            Self::Node(node) => node.display().to_string(),
            Self::Nodes(nodes) => joined(nodes, |node| Part::Node(node).whole()),
            Self::Sentence(sentence) => sentence.whole.clone(),
            Self::Hidden(whole, _) => whole.to_string(),
            Self::Text(_) | Self::Name(_) | Self::Number(_) | Self::Bits(_) | Self::Uuid(_) | Self::Status(_) => {
                self.public()
            }
        }
    }

    fn public(self) -> String {
        match self {
            Self::Text(text) => text.to_owned(),
            Self::Name(name) => name.to_owned(),
            Self::Node(node) => node.file_name().unwrap_or_default().to_string_lossy().into_owned(),
            Self::Nodes(nodes) => joined(nodes, |node| Part::Node(node).public()),
            Self::Number(number) => number.to_string(),
            Self::Bits(bits) => format!("{bits:#x}"),
            Self::Uuid(uuid) => uuid.to_string(),
            Self::Status(status) => status.to_string(),
            Self::Sentence(sentence) => sentence.public.clone(),
            Self::Hidden(_, instead) => instead.to_owned(),
        }
    }
}

fn joined(nodes: &[&Path], name: impl Fn(&Path) -> String) -> String {
    nodes.iter().map(|node| name(node)).collect::<Vec<_>>().join(" and ")
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_public_text_of_a_failed_call_has_no_path() {
        let text = |source| Error::System { doing: "writing /var/my drives/x".to_owned(), source }.public();
        assert!(text(io::Error::from_raw_os_error(30)).contains("Read-only file system"));
        for source in [io::Error::from_raw_os_error(30), io::Error::other("/var/my drives/x")] {
            let text = text(source);
            assert!(!text.contains('/') && !text.contains("drives"), "{text}");
        }
    }

    #[test]
    fn a_path_with_a_blank_is_in_the_whole_sentence_alone() {
        let at = Path::new("/run/my drives/x");
        let nodes = [Path::new("/dev/my disks/sdb 1"), Path::new("/dev/sdc1")];
        let sentence = Sentence::of(&[
            Part::Hidden(&at.display(), "its directory"),
            Part::Text(" is used by "),
            Part::Name("sh (7)"),
            Part::Text(", and "),
            Part::Nodes(&nodes),
            Part::Text(" are copies"),
        ]);
        assert_eq!(sentence.public(), "its directory is used by sh (7), and sdb 1 and sdc1 are copies");
        let whole = "/run/my drives/x is used by sh (7), and /dev/my disks/sdb 1 and /dev/sdc1 are copies";
        assert_eq!(sentence.to_string(), whole);
    }

    #[test]
    fn a_part_that_is_a_sentence_keeps_both_forms() {
        let inner = Sentence::of(&[Part::Node(Path::new("/dev/sdb")), Part::Text(" has "), Part::Number(2)]);
        let outer = Sentence::of(&[Part::Sentence(&inner), Part::Text(" bits: "), Part::Bits(17)]);
        assert_eq!((outer.public(), outer.to_string().as_str()), ("sdb has 2 bits: 0x11", "/dev/sdb has 2 bits: 0x11"));
    }
}
