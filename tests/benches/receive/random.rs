//! Numbers that look random and are the same in every run, and the two kinds of content made from them.

/// A small generator (`SplitMix64`): the streams of two machines must hold the same files.
#[derive(Debug)]
pub(crate) struct Random(u64);

impl Random {
    pub(crate) fn new(seed: u64) -> Self {
        Self(seed)
    }

    pub(crate) fn next(&mut self) -> u64 {
        self.0 = self.0.wrapping_add(0x9e37_79b9_7f4a_7c15);
        let mut z = self.0;
        z = (z ^ (z >> 30)).wrapping_mul(0xbf58_476d_1ce4_e5b9);
        z = (z ^ (z >> 27)).wrapping_mul(0x94d0_49bb_1331_11eb);
        z ^ (z >> 31)
    }

    /// A number below `end`, which is not zero.
    pub(crate) fn below(&mut self, end: usize) -> usize {
        let end = u64::try_from(end).unwrap_or(u64::MAX);
        usize::try_from(self.next() % end).unwrap_or_default()
    }

    /// True in so many of a hundred cases.
    pub(crate) fn percent(&mut self, of_hundred: usize) -> bool {
        self.below(100) < of_hundred
    }
}

/// Text and noise to cut contents from.
#[derive(Debug)]
pub(crate) struct Contents {
    text: Vec<u8>,
    noise: Vec<u8>,
}

impl Contents {
    const POOL: usize = 16 << 20;

    pub(crate) fn new(random: &mut Random) -> Self {
        Self { text: text(random, Self::POOL), noise: noise(random, Self::POOL) }
    }

    /// So many bytes that compress as text does.
    pub(crate) fn text(&self, random: &mut Random, len: usize) -> &[u8] {
        cut(&self.text, random, len)
    }

    /// So many bytes that do not compress.
    pub(crate) fn noise(&self, random: &mut Random, len: usize) -> &[u8] {
        cut(&self.noise, random, len)
    }
}

fn cut<'a>(pool: &'a [u8], random: &mut Random, len: usize) -> &'a [u8] {
    let len = len.min(pool.len() / 2);
    let start = random.below(pool.len() - len);
    pool.get(start..start + len).unwrap_or_default()
}

/// Lines of words from a vocabulary in which some are frequent, as in source code: zstd brings it to about a third.
fn text(random: &mut Random, len: usize) -> Vec<u8> {
    let vocabulary: Vec<String> = (0..6000)
        .map(|_| {
            let letters = 2 + random.below(9);
            (0..letters).map(|_| char::from(b"etaoinshrdlucmfwypvbgk"[random.below(22)])).collect()
        })
        .collect();
    let mut out = Vec::with_capacity(len + 16);
    let mut column = 0;
    while out.len() < len {
        // Squaring favours the head of the list.
        let pick = random.below(vocabulary.len()) * random.below(vocabulary.len()) / vocabulary.len();
        let word = vocabulary.get(pick).map_or("", String::as_str);
        out.extend_from_slice(word.as_bytes());
        column += word.len() + 1;
        out.push(if column > 72 { b'\n' } else { b' ' });
        if column > 72 {
            column = 0;
        }
    }
    out.truncate(len);
    out
}

fn noise(random: &mut Random, len: usize) -> Vec<u8> {
    let mut out = Vec::with_capacity(len + 8);
    while out.len() < len {
        out.extend_from_slice(&random.next().to_le_bytes());
    }
    out.truncate(len);
    out
}
