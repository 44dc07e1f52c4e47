//! Files of every size that matters: empty, inline, around a sector and an extent, compressible and not.

use std::fs;
use std::path::Path;

use anyhow::Result;

/// Numbers that look random and are the same in every run (xorshift64*).
#[derive(Debug, Clone)]
pub struct Random(u64);

impl Random {
    /// A sequence of its own for each seed.
    #[must_use]
    pub const fn new(seed: u64) -> Self {
        Self(seed.wrapping_mul(0x9e37_79b9_7f4a_7c15) | 1)
    }

    /// The next number.
    pub const fn number(&mut self) -> u64 {
        self.0 ^= self.0 >> 12;
        self.0 ^= self.0 << 25;
        self.0 ^= self.0 >> 27;
        self.0.wrapping_mul(0x2545_f491_4f6c_dd1d)
    }

    /// A number below `end`.
    pub fn below(&mut self, end: u64) -> u64 {
        self.number() % end.max(1)
    }
}

/// What a file is filled with.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Content {
    /// Words: any compression shrinks it.
    Text,
    /// Noise: no compression shrinks it.
    Noise,
    /// Noise of four bits a byte: shrinks to about a half.
    Digits,
    /// Stretches of both, so that some extents end compressed and some plain.
    Mixed,
}

impl Content {
    /// `len` bytes, the same for the same seed.
    #[must_use]
    pub fn bytes(self, len: usize, seed: u64) -> Vec<u8> {
        let mut random = Random::new(seed);
        let mut all = Vec::with_capacity(len + 64);
        while all.len() < len {
            let words = match self {
                Self::Text => true,
                Self::Noise | Self::Digits => false,
                Self::Mixed => (all.len() >> 18) & 1 == 0,
            };
            let number = random.number();
            if words {
                all.extend_from_slice(WORDS[usize::try_from(number % 8).unwrap_or(0)].as_bytes());
            } else if self == Self::Digits {
                all.extend(number.to_le_bytes().map(|byte| b'a' + (byte & 15)));
            } else {
                all.extend(number.to_le_bytes());
            }
        }
        all.truncate(len);
        all
    }
}

const WORDS: [&str; 8] =
    ["butter ", "dock ", "a snapshot arrives ", "extent ", "and lies\n", "where it lay ", "before ", "durable "];

/// Sizes around everything that the filesystem treats apart.
const SIZES: [usize; 16] =
    [0, 1, 100, 2000, 2047, 2048, 2049, 4095, 4096, 4097, 65_536, 131_071, 131_072, 131_073, 300_000, 1_048_576];

pub(super) fn build(root: &Path) -> Result<()> {
    let files = root.join("files");
    fs::create_dir(&files)?;
    for (seed, size) in (1..).zip(SIZES) {
        fs::write(files.join(format!("text-{size}")), Content::Text.bytes(size, seed))?;
        fs::write(files.join(format!("noise-{size}")), Content::Noise.bytes(size, seed))?;
    }
    fs::write(files.join("mixed"), Content::Mixed.bytes(3 << 20, 99))?;
    fs::write(files.join("large-text"), Content::Text.bytes(5 << 20, 98))?;
    fs::write(files.join("large-noise"), Content::Noise.bytes(2 << 20, 97))?;

    let mut random = Random::new(5);
    for folder in 0..12 {
        let folder = root.join(format!("many/d{folder:02}"));
        fs::create_dir_all(&folder)?;
        for file in 0..25 {
            let size = usize::try_from(random.below(9000))?;
            let content = if random.below(3) == 0 { Content::Noise } else { Content::Text };
            fs::write(folder.join(format!("f{file:02}")), content.bytes(size, random.number()))?;
        }
    }
    Ok(())
}
