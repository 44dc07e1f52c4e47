//! Changes that are made after all others.
//!
//! Each change of a name changes its directory's times. So only the last times in the stream are set, at the end. The
//! immutable and append-only flags would refuse other changes, so they are set after those.

use std::collections::HashMap;

use butterdock_btrfs::{Errno, Error as Fault};
use butterdock_stream::{Position, Time};

use super::attributes::REFUSING;
use crate::name::StreamPath;
use crate::plan::Verity;
use crate::volume::{Inode, InodeKind, Volume};

/// With more bytes than this in the table, times and flags are set early.
const CAPACITY: usize = 16 << 20;
/// The memory of a path besides its bytes: its NUL, two counters, and the overhead of the allocator.
const HEAP: usize = 48;
/// The number of a subvolume's root (`BTRFS_FIRST_FREE_OBJECTID`).
pub(crate) const ROOT_NUMBER: u64 = 256;

/// The table of deferred changes, by inode number.
#[derive(Debug, Default)]
pub(crate) struct Deferred {
    last: HashMap<u64, Last>,
    /// The heap bytes of the entries of both tables; updated at every change.
    heap: usize,
    /// Some times were set early: a directory that changes afterwards must be added to the table again.
    spilled: bool,
    /// The files that get fs-verity.
    verities: Vec<VerityRequest>,
}

type VerityRequest = (Position, u64, StreamPath, Verity);

#[derive(Debug)]
struct Last {
    hint: StreamPath,
    times: Option<(Time, Time)>,
    flags: Option<u32>,
}

impl Deferred {
    /// The stream sets these times of a directory.
    pub(crate) fn times(&mut self, number: u64, path: &StreamPath, atime: Time, mtime: Time) {
        self.entry(number, path).times = Some((atime, mtime));
    }

    /// The stream sets these immutable and append-only flags of an inode.
    pub(crate) fn flags(&mut self, number: u64, path: &StreamPath, flags: u32) {
        // Without flags there is nothing to defer, unless some were cleared before.
        if flags != 0 || self.last.contains_key(&number) {
            self.entry(number, path).flags = Some(flags);
        }
    }

    /// These flags were cleared for other changes; they are set again unless the stream sets others.
    pub(crate) fn cleared(&mut self, number: u64, path: &StreamPath, flags: u32) {
        self.entry(number, path).flags.get_or_insert(flags);
    }

    /// The file gets fs-verity when it is no longer open for writing.
    pub(crate) fn verity(&mut self, place: Position, number: u64, path: &StreamPath, verity: &Verity) {
        let sealed = (place, number, path.clone(), verity.clone());
        self.heap = self.heap.saturating_add(heap_of(&sealed));
        self.verities.push(sealed);
    }

    /// Enables fs-verity of the files; returns those that failed.
    pub(crate) fn enable_verity<V: Volume>(&mut self, volume: &mut V) -> Vec<(Position, StreamPath, Fault)> {
        let verities = std::mem::take(&mut self.verities);
        let size = verities.iter().map(heap_of).fold(0, usize::saturating_add);
        self.heap = self.heap.saturating_sub(size);
        let failed = verities.into_iter().filter_map(|(place, number, path, verity)| {
            let fault = volume.enable_verity(number, &path, &verity).err()?;
            Some((place, path, fault))
        });
        failed.collect()
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

    /// Whether the table is over its limit.
    pub(crate) fn is_full(&self) -> bool {
        self.size() > CAPACITY
    }

    /// The memory of the tables and their entries, in bytes.
    fn size(&self) -> usize {
        // A hash table has one more byte for each slot, and at least one slot in eight is empty.
        let place = size_of::<(u64, Last)>().saturating_add(1);
        let last = self.last.capacity().saturating_mul(place).saturating_mul(8) / 7;
        let verities = self.verities.capacity().saturating_mul(size_of::<VerityRequest>());
        last.saturating_add(verities).saturating_add(self.heap)
    }

    /// Sets times and flags early and removes them from the table. A flag that refuses a later change is cleared again. The
    /// root's flags stay in the table.
    pub(crate) fn spill<V: Volume>(&mut self, volume: &mut V) -> Result<(), (StreamPath, Fault)> {
        self.spilled = true;
        let root_flags = self.set_all(volume)?;
        if let Some(flags) = root_flags {
            self.entry(ROOT_NUMBER, &StreamPath::root()).flags = Some(flags);
        }
        Ok(())
    }

    /// The flags that the root gets at the end, if any are in the table.
    pub(crate) fn root_flags(&self) -> Option<u32> {
        self.last.get(&ROOT_NUMBER).and_then(|last| last.flags)
    }

    /// The table after an earlier run has [spilled](Self::spill) it, with the root's flags.
    pub(crate) fn restore(&mut self, root_flags: Option<u32>) {
        self.spilled = true;
        if let Some(flags) = root_flags {
            self.entry(ROOT_NUMBER, &StreamPath::root()).flags = Some(flags);
        }
    }

    /// Sets all times and flags without the root's flags, which it returns: they are set after the root's access.
    pub(crate) fn finish<V: Volume>(&mut self, volume: &mut V) -> Result<Option<u32>, (StreamPath, Fault)> {
        self.set_all(volume)
    }

    fn set_all<V: Volume>(&mut self, volume: &mut V) -> Result<Option<u32>, (StreamPath, Fault)> {
        let mut root_flags = None;
        let last = std::mem::take(&mut self.last);
        let size = last.values().map(|last| heap(&last.hint)).fold(0, usize::saturating_add);
        self.heap = self.heap.saturating_sub(size);
        for (number, mut last) in last {
            set_times(volume, number, &mut last).map_err(|fault| (last.hint.clone(), fault))?;
            if number == ROOT_NUMBER {
                root_flags = last.flags;
            } else if let Some(flags) = last.flags.filter(|&flags| flags != 0) {
                set_flags(volume, number, &last.hint, flags).map_err(|fault| (last.hint.clone(), fault))?;
            }
        }
        Ok(root_flags)
    }

    /// The entry of an inode, with its last known path.
    fn entry(&mut self, number: u64, path: &StreamPath) -> &mut Last {
        let total = &mut self.heap;
        let last = self.last.entry(number).or_insert_with(|| {
            *total = total.saturating_add(heap(path));
            Last { hint: path.clone(), times: None, flags: None }
        });
        if last.hint != *path {
            *total = total.saturating_sub(heap(&last.hint)).saturating_add(heap(path));
            last.hint = path.clone();
        }
        last
    }
}

fn heap(path: &StreamPath) -> usize {
    path.as_bytes().len().saturating_add(HEAP)
}

fn heap_of((_, _, path, verity): &VerityRequest) -> usize {
    let Verity { algorithm: _, block_size: _, salt, signature } = verity;
    heap(path).saturating_add(salt.len()).saturating_add(signature.len()).saturating_add(HEAP)
}

fn set_times<V: Volume>(volume: &mut V, number: u64, last: &mut Last) -> Result<(), Fault> {
    if let Some((atime, mtime)) = last.times.take() {
        if let Some(inode) = volume.by_number(number, &last.hint)? {
            match inode.set_times(atime, mtime) {
                Err(fault) if fault.errno == Errno::EPERM => {
                    // The snapshot of the parent has flags that refuse it and were not cleared yet.
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

#[cfg(test)]
mod tests {
    use butterdock_stream::{Identity, Uuid};
    use proptest::prelude::*;

    use super::*;
    use crate::plan::NewInode;
    use crate::tests::memory::MemoryVolume;

    const TIME: Time = Time { seconds: 1, nanoseconds: 0 };

    /// The bytes of all entries, computed from scratch.
    fn stored(deferred: &Deferred) -> usize {
        let hints = deferred.last.values().map(|last| last.hint.as_bytes().len());
        let verities = deferred.verities.iter().map(|(_, _, path, verity)| {
            path.as_bytes().len() + verity.salt.len() + verity.signature.len() + size_of::<VerityRequest>()
        });
        hints.chain(verities).sum::<usize>() + deferred.last.len() * size_of::<(u64, Last)>()
    }

    fn path_of(len: usize) -> StreamPath {
        let parts: Vec<Vec<u8>> = vec![b'p'; len].chunks(200).map(<[u8]>::to_vec).collect();
        StreamPath::new(&parts.join(&b'/')).expect("a path")
    }

    #[derive(Debug, Clone)]
    enum Call {
        Times(u64, usize),
        Flags(u64, usize, u32),
        Cleared(u64, usize),
        Verity(u64, usize, usize),
        Touch(usize),
        EnableVerity,
        Spill,
    }

    fn call() -> impl Strategy<Value = Call> {
        let place = (257..260_u64, 1..3900_usize);
        prop_oneof![
            place.clone().prop_map(|(number, len)| Call::Times(number, len)),
            (place.clone(), 0..2_u32).prop_map(|((number, len), flags)| Call::Flags(number, len, flags << 4)),
            place.clone().prop_map(|(number, len)| Call::Cleared(number, len)),
            (place, 0..20_000_usize).prop_map(|((number, len), more)| Call::Verity(number, len, more)),
            (1..3900_usize).prop_map(Call::Touch),
            Just(Call::EnableVerity),
            Just(Call::Spill),
        ]
    }

    proptest! {
        #[test]
        fn the_size_is_exact_after_every_change(calls in prop::collection::vec(call(), 1..60)) {
            let mut volume = MemoryVolume::new(Identity { uuid: Uuid([1; 16]), ctransid: 1 });
            let directory = volume.create(&path_of(5), &NewInode::Directory, 0o755).expect("made");
            let mut deferred = Deferred::default();
            for call in calls {
                match call {
                    Call::Times(number, len) => deferred.times(number, &path_of(len), TIME, TIME),
                    Call::Flags(number, len, flags) => deferred.flags(number, &path_of(len), flags),
                    Call::Cleared(number, len) => deferred.cleared(number, &path_of(len), 0x10),
                    Call::Verity(number, len, more) => {
                        let verity =
                            Verity { algorithm: 1, block_size: 4096, salt: vec![0; 32].into(), signature: vec![0; more].into() };
                        deferred.verity(Position { command: 1, at: 0 }, number, &path_of(len), &verity);
                    }
                    Call::Touch(len) => deferred.touch(&directory, &path_of(len)).expect("touched"),
                    Call::EnableVerity => drop(deferred.enable_verity(&mut volume)),
                    Call::Spill => deferred.spill(&mut volume).expect("spilled"),
                }
                prop_assert!(deferred.size() >= stored(&deferred));
                let entries = deferred.last.len() + deferred.verities.len();
                let overhead = HEAP * 2 * entries + 400 * (deferred.last.capacity() + deferred.verities.capacity());
                prop_assert!(deferred.size() <= stored(&deferred) + overhead, "removed entries are not counted");
            }
            drop(deferred.enable_verity(&mut volume));
            prop_assert!(deferred.finish(&mut volume).is_ok());
            prop_assert_eq!(deferred.heap, 0);
        }
    }
}
