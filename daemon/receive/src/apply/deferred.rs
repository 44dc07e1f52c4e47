//! What is kept back until every other change was made.
//!
//! A directory's times change whenever a name in it does, so only the last ones the stream gave are set, at the
//! end. The immutable and append-only flags would refuse every other change, so they come after it.

use std::collections::HashMap;

use butterdock_btrfs::{Errno, Error as Fault};
use butterdock_stream::{Place, Time};

use super::attributes::REFUSING;
use crate::name::StreamPath;
use crate::plan::Verity;
use crate::volume::{Inode, InodeKind, Volume};

/// Directory times are set early when they would take more than about this many bytes,
const CAPACITY: usize = 16 << 20;
/// an entry taking about this many beside its name.
const ENTRY: usize = 128;
/// The number of a subvolume's root (`BTRFS_FIRST_FREE_OBJECTID`).
pub(crate) const ROOT_NUMBER: u64 = 256;

/// The table of what is kept back, by inode number.
#[derive(Debug, Default)]
pub(crate) struct Deferred {
    last: HashMap<u64, Last>,
    size: usize,
    /// Some times were set early: a directory that changes afterwards must be put in the table again.
    spilled: bool,
    /// Files that shall have fs-verity.
    verities: Vec<(Place, u64, StreamPath, Verity)>,
}

#[derive(Debug)]
struct Last {
    hint: StreamPath,
    times: Option<(Time, Time)>,
    flags: Option<u32>,
}

impl Deferred {
    /// The stream gave a directory these times.
    pub(crate) fn times(&mut self, number: u64, path: &StreamPath, atime: Time, mtime: Time) {
        self.entry(number, path).times = Some((atime, mtime));
    }

    /// The inode shall end with these flags beside those it has.
    pub(crate) fn flags(&mut self, number: u64, path: &StreamPath, flags: u32) {
        // Without flags there is nothing to remember, unless some were lifted.
        if flags != 0 || self.last.contains_key(&number) {
            self.entry(number, path).flags = Some(flags);
        }
    }

    /// These flags were in the way and were taken; they come back unless the stream gives others.
    pub(crate) fn lifted(&mut self, number: u64, path: &StreamPath, flags: u32) {
        self.entry(number, path).flags.get_or_insert(flags);
    }

    /// The file shall have fs-verity once nobody has it open.
    pub(crate) fn verity(&mut self, place: Place, number: u64, path: &StreamPath, verity: &Verity) {
        let size = ENTRY.saturating_add(verity.salt.len()).saturating_add(verity.signature.len());
        self.size = self.size.saturating_add(size);
        self.verities.push((place, number, path.clone(), verity.clone()));
    }

    /// Switches fs-verity on where the stream said so; answers where that failed.
    pub(crate) fn enable_verity<V: Volume>(&mut self, volume: &mut V) -> Vec<(Place, StreamPath, Fault)> {
        let verities = std::mem::take(&mut self.verities);
        let failed = verities.into_iter().filter_map(|(place, number, path, verity)| {
            let fault = volume.enable_verity(number, &path, &verity).err()?;
            Some((place, path, fault))
        });
        let failed = failed.collect();
        self.size = self.last.values().fold(0, |size, last| size.saturating_add(last.size()));
        failed
    }

    /// A name in `directory` is about to change.
    pub(crate) fn touch(&mut self, directory: &impl Inode, path: &StreamPath) -> Result<(), Fault> {
        if self.spilled && self.last.get(&directory.number()).is_none_or(|last| last.times.is_none()) {
            let (atime, mtime) = directory.times()?;
            self.times(directory.number(), path, atime, mtime);
        }
        Ok(())
    }

    /// Whether [`Deferred::touch`] must be called at all.
    pub(crate) fn wants_touch(&self) -> bool {
        self.spilled
    }

    /// Whether the table has outgrown its bound.
    pub(crate) fn is_full(&self) -> bool {
        self.size > CAPACITY
    }

    /// Sets times and flags early and forgets them. A flag that is in the way later is lifted again. The root's flags
    /// stay.
    pub(crate) fn spill<V: Volume>(&mut self, volume: &mut V) -> Result<(), (StreamPath, Fault)> {
        self.spilled = true;
        let root_flags = self.set_all(volume)?;
        self.size = 0;
        if let Some(flags) = root_flags {
            self.entry(ROOT_NUMBER, &StreamPath::root()).flags = Some(flags);
        }
        Ok(())
    }

    /// Sets everything but the root's flags, which are answered: they come after the root's own access.
    pub(crate) fn finish<V: Volume>(&mut self, volume: &mut V) -> Result<Option<u32>, (StreamPath, Fault)> {
        self.set_all(volume)
    }

    fn set_all<V: Volume>(&mut self, volume: &mut V) -> Result<Option<u32>, (StreamPath, Fault)> {
        let mut root_flags = None;
        for (number, mut last) in std::mem::take(&mut self.last) {
            set_times(volume, number, &mut last).map_err(|fault| (last.hint.clone(), fault))?;
            if number == ROOT_NUMBER {
                root_flags = last.flags;
            } else if let Some(flags) = last.flags.filter(|&flags| flags != 0) {
                set_flags(volume, number, &last.hint, flags).map_err(|fault| (last.hint.clone(), fault))?;
            }
        }
        Ok(root_flags)
    }

    fn entry(&mut self, number: u64, path: &StreamPath) -> &mut Last {
        let size = &mut self.size;
        let last = self.last.entry(number).or_insert_with(|| {
            let last = Last { hint: path.clone(), times: None, flags: None };
            *size = size.saturating_add(last.size());
            last
        });
        if last.hint != *path {
            last.hint = path.clone();
        }
        last
    }
}

impl Last {
    fn size(&self) -> usize {
        ENTRY.saturating_add(self.hint.as_bytes().len())
    }
}

fn set_times<V: Volume>(volume: &mut V, number: u64, last: &mut Last) -> Result<(), Fault> {
    if let Some((atime, mtime)) = last.times.take() {
        if let Some(inode) = volume.by_number(number, &last.hint)? {
            match inode.set_times(atime, mtime) {
                Err(fault) if fault.errno == Errno::EPERM => {
                    // The parent's snapshot handed down flags that nothing had to lift so far.
                    let flags = inode.flags()?;
                    inode.set_flags(flags & !REFUSING)?;
                    last.flags.get_or_insert(flags & REFUSING);
                    inode.set_times(atime, mtime)?;
                }
                result => result?,
            }
        }
    }
    Ok(())
}

fn set_flags<V: Volume>(volume: &mut V, number: u64, hint: &StreamPath, flags: u32) -> Result<(), Fault> {
    match volume.by_number(number, hint)? {
        Some(inode) if inode.kind() != InodeKind::Special => inode.set_flags(inode.flags()? | flags),
        _ => Ok(()),
    }
}
