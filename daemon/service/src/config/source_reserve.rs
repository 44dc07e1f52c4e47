//! `source_reserve`: how much free space a source keeps.

use serde::Deserialize;

/// How much of a source's filesystem its snapshots must leave free.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Deserialize)]
#[serde(try_from = "String")]
pub enum SourceReserve {
    /// This percentage of its size, up to 10 GiB.
    Percent(u8),
    /// This many bytes.
    Bytes(u64),
}

/// The largest reserve that is given as a percentage.
const MOST_RESERVED: u64 = 10 << 30;

impl SourceReserve {
    /// The reserve of a filesystem of this size, in bytes.
    pub fn of(self, size: u64) -> u64 {
        match self {
            Self::Percent(percent) => (size / 100).saturating_mul(u64::from(percent)).min(MOST_RESERVED),
            Self::Bytes(bytes) => bytes,
        }
    }

    pub(super) fn words(self) -> String {
        match self {
            Self::Percent(percent) => format!("{percent} % (at most 10 GiB)"),
            Self::Bytes(bytes) => format!("{} MiB", bytes >> 20),
        }
    }
}

impl Default for SourceReserve {
    fn default() -> Self {
        Self::Percent(5)
    }
}

impl TryFrom<String> for SourceReserve {
    type Error = &'static str;

    fn try_from(text: String) -> Result<Self, Self::Error> {
        const WRONG: &str =
            "a reserve is a percentage or a size: \"5%\" (0% to 50%, at most 10 GiB), \"500MiB\", \"20GiB\"";
        let digits = text.trim_end_matches(|letter: char| !letter.is_ascii_digit());
        let number = digits.parse::<u64>().map_err(|_error| WRONG)?;
        let bytes = |shift: u32| number.checked_mul(1 << shift).filter(|&bytes| bytes <= 1 << 50).map(Self::Bytes);
        let read = match text.get(digits.len()..).map(str::trim_start) {
            Some("%") => u8::try_from(number).ok().filter(|&percent| percent <= 50).map(Self::Percent),
            Some("MiB") => bytes(20),
            Some("GiB") => bytes(30),
            _ => None,
        };
        read.ok_or(WRONG)
    }
}
