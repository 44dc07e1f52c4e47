//! What is measured, and what it must reach.

use anyhow::{Result, bail};

/// One line of the table.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Case {
    /// At least 100 000 small files, compressed v2.
    SmallFiles,
    /// A few large files, compressed v2.
    LargeFiles,
    /// The small files as v1.
    SmallFilesV1,
    /// An increment of many clones and renames.
    Increment,
    /// The large files, every extent decoded before it is written.
    DecodeLarge,
    /// The small files, every extent decoded before it is written.
    DecodeSmall,
}

/// What a case must reach: ratios ours/theirs, and our peak memory in MiB.
#[derive(Debug, Clone, Copy)]
pub(crate) struct Target {
    pub(crate) wall: f64,
    pub(crate) cpu: Option<f64>,
    pub(crate) memory: f64,
}

impl Case {
    const ALL: [Self; 6] =
        [Self::SmallFiles, Self::LargeFiles, Self::SmallFilesV1, Self::Increment, Self::DecodeLarge, Self::DecodeSmall];

    pub(crate) fn letter(self) -> char {
        match self {
            Self::SmallFiles => 'a',
            Self::LargeFiles => 'b',
            Self::SmallFilesV1 => 'c',
            Self::Increment => 'd',
            Self::DecodeLarge => 'e',
            Self::DecodeSmall => 'f',
        }
    }

    pub(crate) fn title(self) -> &'static str {
        match self {
            Self::SmallFiles => "small files, v2 compressed",
            Self::LargeFiles => "large files, v2 compressed",
            Self::SmallFilesV1 => "small files, v1",
            Self::Increment => "increment: clones, renames",
            Self::DecodeLarge => "forced decompression, (b)'s stream",
            Self::DecodeSmall => "forced decompression, (a)'s stream",
        }
    }

    /// The file name of its stream.
    pub(crate) fn stream(self) -> &'static str {
        match self {
            Self::SmallFiles | Self::DecodeSmall => "small-v2.stream",
            Self::LargeFiles | Self::DecodeLarge => "large-v2.stream",
            Self::SmallFilesV1 => "small-v1.stream",
            Self::Increment => "increment-v2.stream",
        }
    }

    /// The stream that must have been received before, where there is one.
    pub(crate) fn parent(self) -> Option<&'static str> {
        (self == Self::Increment).then_some("increment-base-v2.stream")
    }

    /// The name that the received subvolume has.
    pub(crate) fn subvolume(self) -> &'static str {
        match self {
            Self::SmallFiles | Self::DecodeSmall | Self::SmallFilesV1 => "small",
            Self::LargeFiles | Self::DecodeLarge => "large",
            Self::Increment => "next",
        }
    }

    pub(crate) fn forces_decompression(self) -> bool {
        matches!(self, Self::DecodeLarge | Self::DecodeSmall)
    }

    pub(crate) fn target(self) -> Option<Target> {
        let (wall, cpu, memory) = match self {
            Self::SmallFiles => (0.45, Some(0.50), 64.0),
            Self::LargeFiles => (0.87, Some(0.90), 64.0),
            Self::SmallFilesV1 => (0.65, Some(0.60), 64.0),
            Self::Increment => (0.80, None, 64.0),
            Self::DecodeLarge => (0.60, Some(1.0), 96.0),
            Self::DecodeSmall => return None,
        };
        Some(Target { wall, cpu, memory })
    }
}

/// The cases that the letters name, in the table's order.
pub(crate) fn chosen(letters: &str) -> Result<Vec<Case>> {
    for letter in letters.chars() {
        if !Case::ALL.iter().any(|case| case.letter() == letter) {
            bail!("there is no case {letter:?}: the letters are a to f");
        }
    }
    Ok(Case::ALL.into_iter().filter(|case| letters.contains(case.letter())).collect())
}
