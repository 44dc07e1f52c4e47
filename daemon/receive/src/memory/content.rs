//! The data of a file: sectors, and holes where there is none.

use std::collections::BTreeMap;

use butterdock_btrfs::Errno;

/// The sector size of the model.
pub(crate) const SECTOR: u64 = 4096;

const BLANK: [u8; 4096] = [0; 4096];

/// What a file holds. Bytes of a sector beyond the end are zeros.
#[derive(Debug, Clone, Default)]
pub(crate) struct Content {
    pub(crate) size: u64,
    pub(crate) sectors: BTreeMap<u64, Box<[u8]>>,
}

impl Content {
    pub(crate) fn write(&mut self, offset: u64, data: &[u8]) {
        let (mut at, mut rest) = (offset, data);
        while !rest.is_empty() {
            let start = usize::try_from(at % SECTOR).unwrap_or_default();
            let sector = self.sectors.entry(at / SECTOR).or_insert_with(|| Box::new(BLANK));
            let room = sector.get_mut(start..).unwrap_or_default();
            let (now, later) = rest.split_at(room.len().min(rest.len()));
            if let Some(room) = room.get_mut(..now.len()) {
                room.copy_from_slice(now);
            }
            rest = later;
            at = at.saturating_add(now.len() as u64);
        }
        self.size = self.size.max(at);
    }

    pub(crate) fn truncate(&mut self, size: u64) {
        self.zero(size, u64::MAX);
        self.size = size;
    }

    /// Makes a hole of what lies in whole sectors, and zeros of the rest.
    pub(crate) fn punch(&mut self, offset: u64, len: u64) {
        self.zero(offset, offset.saturating_add(len));
    }

    /// Shares a range of `source`, as `FICLONERANGE` allows it.
    pub(crate) fn share(&mut self, offset: u64, source: &Self, from: u64, len: u64) -> Result<(), Errno> {
        let end = offset.saturating_add(len);
        let tail = from.saturating_add(len) == source.size && end >= self.size;
        let aligned = |at: u64| at % SECTOR == 0;
        if from.saturating_add(len) > source.size || !aligned(offset) || !aligned(from) || !(aligned(len) || tail) {
            return Err(Errno::EINVAL);
        }
        for sector in 0..len.div_ceil(SECTOR) {
            let to = (offset / SECTOR).saturating_add(sector);
            match source.sectors.get(&(from / SECTOR).saturating_add(sector)) {
                Some(data) => drop(self.sectors.insert(to, data.clone())),
                None => drop(self.sectors.remove(&to)),
            }
        }
        self.size = self.size.max(end);
        Ok(())
    }

    fn zero(&mut self, start: u64, end: u64) {
        for (number, sector) in self.sectors.range_mut(start / SECTOR..=end / SECTOR) {
            let base = number.saturating_mul(SECTOR);
            let within = |at: u64| usize::try_from(at.saturating_sub(base).min(SECTOR)).unwrap_or_default();
            sector.get_mut(within(start)..within(end)).unwrap_or_default().fill(0);
        }
        self.sectors.retain(|number, _| {
            let base = number.saturating_mul(SECTOR);
            base < start || base.saturating_add(SECTOR) > end
        });
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_truncated_file_grows_with_zeros_and_a_hole() {
        let mut content = Content::default();
        content.write(4000, &[7; 5000]);
        content.truncate(5000);
        content.truncate(20_000);
        assert_eq!(content.sectors.keys().copied().collect::<Vec<_>>(), [0, 1]);
        assert_eq!((content.sectors[&1][903], content.sectors[&1][904]), (7, 0));
        content.punch(4096, 4096);
        assert_eq!(content.sectors.len(), 1);
    }

    #[test]
    fn an_unaligned_clone_must_end_both_files() {
        let (mut source, mut content) = (Content::default(), Content::default());
        source.write(0, &[1; 5000]);
        assert_eq!(content.share(0, &source, 0, 4999), Err(Errno::EINVAL));
        assert_eq!(content.share(4096, &source, 0, 5000), Ok(()));
        assert_eq!((content.size, content.sectors.len()), (9096, 2));
        content.truncate(10_000);
        assert_eq!(content.share(0, &source, 0, 5000), Err(Errno::EINVAL));
    }
}
