//! A drive's write cache: at a power cut the drive loses all or a part of the writes that were not flushed.
//!
//! QEMU writes a log (`blklogwrites`, the format of dm-log-writes) of what it was given, in its order: a sector with the numbers
//! of each request, then its data. Played onto the disk as it was before, with some of the last requests left out, it gives a
//! disk after a power cut. A file alone would not: what QEMU wrote is the host's, and outlives QEMU.

use std::fs::File;
use std::os::unix::fs::FileExt as _;
use std::path::Path;

use anyhow::{Context as _, Result, ensure};

use crate::random::Random;

/// The unit of the log.
pub(crate) const SECTOR: u64 = 512;
/// The first word of a log.
const MAGIC: u64 = 0x006a_7366_7773_6872;
const FLUSH: u64 = 1;
const DISCARD: u64 = 4;

/// How it went.
#[derive(Debug, Default, PartialEq, Eq)]
pub(crate) struct WriteCache {
    /// Writes that were flushed, all of which are on the disk.
    pub(crate) durable: usize,
    /// Writes since the last flush that are there by chance,
    pub(crate) kept: usize,
    /// and those that are gone.
    pub(crate) gone: usize,
}

/// A write: where on the disk, where in the log, how long; in bytes.
#[derive(Debug, Clone, Copy)]
struct Write {
    at: u64,
    from: u64,
    len: u64,
}

/// Makes of `disk`, as it was before the log began, what is left after the log's end.
///
/// # Errors
///
/// It is no log of this format, or there is no room.
pub(crate) fn play(log: &Path, disk: &Path, random: &mut Random) -> Result<WriteCache> {
    let (log, disk) = (File::open(log)?, File::options().write(true).open(disk)?);
    let [magic, version, _, sector] = numbers(&log, 0)?.context("an empty log")?;
    ensure!(magic == MAGIC && version == 1, "no log of writes");
    ensure!(sector & 0xffff_ffff == SECTOR, "sectors of another size");
    let (mut lost, mut pending, mut at) = (WriteCache::default(), Vec::new(), SECTOR);
    while let Some([sector, sectors, flags, _]) = numbers(&log, at)? {
        if sectors == 0 && flags == 0 {
            break;
        }
        at += SECTOR;
        if flags & FLUSH != 0 {
            lost.durable += pending.len();
            for write in pending.drain(..) {
                copy(&log, &disk, write)?;
            }
        }
        // A drive may keep discarded blocks; their content is undefined.
        if flags & DISCARD == 0 && sectors > 0 {
            let len = sectors.checked_mul(SECTOR).context("a write without end")?;
            pending.push(Write { at: sector * SECTOR, from: at, len });
            at += len;
        }
    }
    for write in pending {
        if random.below(2) == 0 {
            lost.gone += 1;
        } else {
            lost.kept += 1;
            copy(&log, &disk, write)?;
        }
    }
    Ok(lost)
}

/// The four numbers that a sector of the log begins with; nothing at its end.
fn numbers(log: &File, at: u64) -> Result<Option<[u64; 4]>> {
    let mut bytes = [0; 32];
    if log.metadata()?.len() < at + SECTOR {
        return Ok(None);
    }
    log.read_exact_at(&mut bytes, at)?;
    let mut found = [0; 4];
    for (number, word) in found.iter_mut().zip(bytes.as_chunks().0) {
        *number = u64::from_le_bytes(*word);
    }
    Ok(Some(found))
}

fn copy(log: &File, disk: &File, write: Write) -> Result<()> {
    let mut data = vec![0; usize::try_from(write.len)?];
    log.read_exact_at(&mut data, write.from).context("the log ends in a write")?;
    disk.write_all_at(&data, write.at)?;
    Ok(())
}

#[test]
fn flushed_data_survives_a_power_cut() -> Result<()> {
    let folder = tempfile::tempdir()?;
    let (log, disk) = (folder.path().join("log"), folder.path().join("disk"));
    let sector = |numbers: [u64; 4]| {
        let mut bytes: Vec<u8> = numbers.iter().flat_map(|number| number.to_le_bytes()).collect();
        bytes.resize(512, 0);
        bytes
    };
    let mut text = sector([MAGIC, 1, 0, SECTOR]);
    let write = |at: u64, byte: u8| [sector([at, 1, 0, 0]), vec![byte; 512]].concat();
    for at in 0..4 {
        text.extend(write(at, 1));
    }
    text.extend(sector([2, 1, DISCARD, 0]));
    text.extend(sector([0, 0, FLUSH, 0]));
    for at in 0..40 {
        text.extend(write(at, 2));
    }
    std::fs::write(&log, text)?;
    std::fs::write(&disk, vec![0; 40 * 512])?;
    let lost = play(&log, &disk, &mut Random::new(Some("1"))?)?;
    assert_eq!((lost.durable, lost.kept + lost.gone), (4, 40));
    assert!(lost.kept > 5 && lost.gone > 5, "{lost:?}");
    let after = std::fs::read(&disk)?;
    let old = after.chunks(512).filter(|sector| sector[0] < 2).count();
    assert_eq!(old, lost.gone);
    assert!(after.chunks(512).take(4).all(|sector| sector[0] > 0), "what was flushed is gone");
    Ok(())
}
