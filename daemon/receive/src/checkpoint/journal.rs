//! The journal of a checkpoint: what the snapshot does not have, as an authenticated file.
//!
//! The first line is the keyed BLAKE3 digest of the rest, as hexadecimal digits. The rest is JSON of up to [`LONGEST`] bytes, in which
//! the longest values are the name of the subvolume and the access ACL of its root.

use butterdock_stream::{Identity, Position, Uuid};
use serde::{Deserialize, Serialize};

use super::{CheckpointKey, Prefix};
use crate::hex;
use crate::observer::Unapplied;
use crate::options::Options;
use crate::plan::{Begin, Change};
use crate::volume::InodeState;

/// The version of the format. Another one is not used.
const VERSION: u32 = 1;
/// The longest journal in bytes: an ACL of 64 KiB, written as hexadecimal digits, and the rest.
pub(super) const LONGEST: u64 = 192 << 10;
/// Kept access ACL of the root.
const ACL: &[u8] = b"system.posix_acl_access";

/// The identity of a transfer: what the first command of the input names.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
pub(crate) struct Transfer {
    subvolume: Sent,
    parent: Option<Sent>,
}

/// An identity at the sender.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
struct Sent {
    #[serde(with = "hex")]
    uuid: [u8; 16],
    ctransid: u64,
}

impl From<Identity> for Sent {
    fn from(identity: Identity) -> Self {
        Self { uuid: identity.uuid.0, ctransid: identity.ctransid }
    }
}

impl From<Sent> for Identity {
    fn from(sent: Sent) -> Self {
        Self { uuid: Uuid(sent.uuid), ctransid: sent.ctransid }
    }
}

impl Transfer {
    pub(crate) fn new(subvolume: Identity, parent: Option<Identity>) -> Self {
        Self { subvolume: subvolume.into(), parent: parent.map(Sent::from) }
    }

    /// The name of its journal: 32 hexadecimal digits. With another key it has another name, so that machines which share a drive do
    /// not touch each other's checkpoints.
    pub(super) fn name(&self, key: &CheckpointKey) -> String {
        let mut hasher = blake3::Hasher::new_keyed(key.as_bytes());
        for Sent { uuid, ctransid } in [Some(self.subvolume), self.parent].into_iter().flatten() {
            hasher.update(&uuid).update(&ctransid.to_le_bytes());
        }
        hex::digits(hasher.finalize().as_bytes().first_chunk::<16>().unwrap_or(&[0; 16]))
    }
}

/// A journal.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub(super) struct Journal {
    version: u32,
    pub(super) transfer: Transfer,
    /// The user for whom the stream was received.
    pub(super) asked_by: u32,
    /// The release of the kernel that made it: `btrfs send` makes the same bytes again on one kernel only.
    pub(super) kernel: String,
    pub(super) options: RunOptions,
    pub(super) prefix: Prefix,
    /// How many subvolumes of the input were published before.
    pub(super) published: u64,
    /// The attributes that could not be set so far: inodes, flags, and compressions of an [`Unapplied`].
    pub(super) unapplied: [u64; 3],
    /// The subvolume that was being received, and its snapshot; none between two subvolumes.
    pub(super) unfinished: Option<(PartialSubvolume, Snapshot)>,
}

/// The options that a subvolume is received with as a whole: see [`crate::Options`].
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq, Serialize, Deserialize)]
#[expect(clippy::struct_excessive_bools, reason = "the options are independent of each other")]
pub(super) struct RunOptions {
    verify: bool,
    force_decompress: bool,
    no_verity: bool,
    strict_parent: bool,
}

impl From<&Options> for RunOptions {
    fn from(options: &Options) -> Self {
        let Options { verify, force_decompress, no_verity, strict_parent, .. } = *options;
        Self { verify, force_decompress, no_verity, strict_parent }
    }
}

/// The read-only snapshot of a hidden subvolume, as the kernel describes it.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
pub(super) struct Snapshot {
    pub(super) slot: Slot,
    #[serde(with = "hex")]
    pub(super) uuid: [u8; 16],
    pub(super) otransid: u64,
    pub(super) ctransid: u64,
}

/// Two snapshots of one transfer exist while the newer one replaces the older one.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
pub(super) enum Slot {
    A,
    B,
}

impl Slot {
    pub(super) const ALL: [Self; 2] = [Self::A, Self::B];

    pub(super) fn other(self) -> Self {
        match self {
            Self::A => Self::B,
            Self::B => Self::A,
        }
    }

    pub(super) fn letter(self) -> char {
        match self {
            Self::A => 'a',
            Self::B => 'b',
        }
    }
}

/// What a hidden subvolume needs besides its files.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub(crate) struct PartialSubvolume {
    /// Its name in the stream.
    #[serde(with = "hex::bytes")]
    name: Vec<u8>,
    identity: Sent,
    parent: Option<Sent>,
    /// The number of its parent differs from the one in the stream.
    pub(crate) parent_number_differs: bool,
    /// The owner and mode of its root, unless the stream sets others.
    mode: u32,
    uid: u32,
    gid: u32,
    /// The immutable and append-only flags of the root of its parent.
    pub(crate) inherited_flags: u32,
    /// Those that the stream has set so far.
    pub(crate) root_flags: Option<u32>,
    /// The deferred changes of its root.
    pub(crate) root_access: Vec<RootAccess>,
}

impl PartialSubvolume {
    pub(crate) fn new(begin: &Begin, state: InodeState) -> Self {
        let InodeState { mode, uid, gid } = state;
        Self {
            name: begin.name.to_vec(),
            identity: begin.identity.into(),
            parent: begin.parent.map(Sent::from),
            parent_number_differs: false,
            mode,
            uid,
            gid,
            inherited_flags: 0,
            root_flags: None,
            root_access: Vec::new(),
        }
    }

    pub(crate) fn begin(&self) -> Begin {
        let Self { name, identity, parent, .. } = self;
        Begin { name: name.clone().into(), identity: (*identity).into(), parent: parent.map(Identity::from) }
    }

    pub(crate) fn state(&self) -> InodeState {
        let Self { mode, uid, gid, .. } = *self;
        InodeState { mode, uid, gid }
    }
}

/// A deferred change of the root that would give other users access.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub(crate) enum RootAccess {
    Mode(u32),
    Owner(u32, u32),
    #[serde(with = "hex::bytes")]
    Acl(Vec<u8>),
    NoAcl,
}

impl RootAccess {
    /// The change in this form; none for any other change.
    #[expect(clippy::wildcard_enum_match_arm, reason = "no other change gives access")]
    pub(crate) fn of(change: &Change) -> Option<Self> {
        match change {
            Change::Chmod { mode } => Some(Self::Mode(*mode)),
            Change::Chown { uid, gid } => Some(Self::Owner(*uid, *gid)),
            Change::SetXattr { name, data } if **name == *ACL => Some(Self::Acl(data.to_vec())),
            Change::RemoveXattr { name } if **name == *ACL => Some(Self::NoAcl),
            _ => None,
        }
    }

    /// The change, at the place of the checkpoint.
    pub(crate) fn change(self, place: Position) -> (Position, Change) {
        let change = match self {
            Self::Mode(mode) => Change::Chmod { mode },
            Self::Owner(uid, gid) => Change::Chown { uid, gid },
            Self::Acl(data) => Change::SetXattr { name: ACL.into(), data: data.into() },
            Self::NoAcl => Change::RemoveXattr { name: ACL.into() },
        };
        (place, change)
    }
}

impl Journal {
    pub(super) fn new(transfer: Transfer, prefix: Prefix, published: u64) -> Self {
        let kernel = kernel_release();
        Self {
            version: VERSION,
            transfer,
            asked_by: 0,
            kernel,
            options: RunOptions::default(),
            prefix,
            published,
            unapplied: [0; 3],
            unfinished: None,
        }
    }

    pub(super) fn set_unapplied(&mut self, Unapplied { inodes, flags, compressions }: Unapplied) {
        self.unapplied = [inodes, flags, compressions];
    }

    pub(super) fn unapplied(&self) -> Unapplied {
        let [inodes, flags, compressions] = self.unapplied;
        Unapplied { inodes, flags, compressions }
    }

    /// The content of its file; none if it is too long.
    pub(super) fn to_bytes(&self, key: &CheckpointKey) -> Option<Vec<u8>> {
        let body = serde_json::to_vec(self).ok()?;
        let mut bytes = hex::digits(blake3::keyed_hash(key.as_bytes(), &body).as_bytes()).into_bytes();
        bytes.push(b'\n');
        bytes.extend_from_slice(&body);
        (bytes.len() as u64 <= LONGEST).then_some(bytes)
    }

    /// A journal that was written with this key; none for anything else.
    pub(super) fn from_bytes(bytes: &[u8], key: &CheckpointKey) -> Option<Self> {
        let (digest, body) = split(bytes)?;
        // The comparison of two `Hash`es takes the same time for all.
        if blake3::Hash::from_bytes(digest) != blake3::keyed_hash(key.as_bytes(), body) {
            return None;
        }
        parse(body)
    }

    /// The slot of the snapshot that a journal of any machine names; none if it is no journal, or names none.
    pub(super) fn slot_in(bytes: &[u8]) -> Option<Slot> {
        let (_, body) = split(bytes)?;
        parse(body)?.unfinished.map(|(_, snapshot)| snapshot.slot)
    }
}

fn split(bytes: &[u8]) -> Option<([u8; 32], &[u8])> {
    let (digits, rest) = bytes.split_at_checked(64)?;
    Some((hex::read(std::str::from_utf8(digits).ok()?)?, rest.strip_prefix(b"\n")?))
}

fn parse(body: &[u8]) -> Option<Journal> {
    serde_json::from_slice(body).ok().filter(|journal: &Journal| journal.version == VERSION)
}

/// `uname -r`; empty if the kernel does not say it.
pub(super) fn kernel_release() -> String {
    nix::sys::utsname::uname().map(|names| names.release().to_string_lossy().into_owned()).unwrap_or_default()
}

#[cfg(test)]
mod tests {
    use butterdock_stream::Shared;
    use proptest::prelude::*;

    use super::*;

    const NAME: [u8; 255] = [0xff; 255];

    fn journal() -> Journal {
        let (uuid, ctransid) = (Uuid([0xab; 16]), u64::MAX);
        let identity = Identity { uuid, ctransid };
        let begin = Begin { name: NAME.into(), identity, parent: Some(identity) };
        let mut partial = PartialSubvolume::new(&begin, InodeState { mode: 0o7777, uid: u32::MAX, gid: 7 });
        let acl = Change::SetXattr { name: ACL.into(), data: Shared::from(vec![0xff; 65_536]) };
        let changes = [Change::Chmod { mode: 0o755 }, Change::Chown { uid: 1, gid: 2 }, acl];
        partial.root_access = changes.iter().filter_map(RootAccess::of).collect();
        let prefix = Prefix { offset: u64::MAX, commands: 7, digest: [0xcd; 32] };
        let mut journal = Journal::new(Transfer::new(identity, Some(identity)), prefix, 3);
        journal.unfinished = Some((partial, Snapshot { slot: Slot::B, uuid: [1; 16], otransid: 5, ctransid: 6 }));
        journal
    }

    fn key(byte: u8) -> CheckpointKey {
        CheckpointKey::from_bytes([byte; 32])
    }

    #[test]
    fn the_longest_journal_survives_writing_and_reading() {
        let journal = journal();
        let bytes = journal.to_bytes(&key(1)).expect("it fits");
        assert_eq!(Journal::from_bytes(&bytes, &key(1)), Some(journal.clone()));
        assert_eq!(Journal::slot_in(&bytes), Some(Slot::B));
        let (partial, _) = journal.unfinished.expect("unfinished");
        assert_eq!(&*partial.begin().name, NAME);
        assert_eq!(partial.root_access.len(), 3);
    }

    #[test]
    fn a_journal_of_another_key_or_version_is_not_used() {
        let bytes = journal().to_bytes(&key(1)).expect("it fits");
        assert_eq!(Journal::from_bytes(&bytes, &key(2)), None);
        let later = Journal { version: VERSION + 1, ..journal() }.to_bytes(&key(1)).expect("it fits");
        assert_eq!(Journal::from_bytes(&later, &key(1)), None);
    }

    #[test]
    fn transfers_have_names_of_their_own() {
        let identity = |byte| Identity { uuid: Uuid([byte; 16]), ctransid: 1 };
        let all = [
            Transfer::new(identity(1), None),
            Transfer::new(identity(2), None),
            Transfer::new(identity(1), Some(identity(2))),
            Transfer::new(identity(2), Some(identity(1))),
            Transfer::new(Identity { ctransid: 2, ..identity(1) }, None),
        ];
        let of = |byte| all.iter().map(move |transfer| transfer.name(&key(byte)));
        let names: std::collections::BTreeSet<_> = of(1).chain(of(2)).collect();
        assert_eq!(names.len(), 2 * all.len());
        assert!(names.iter().all(|name| name.len() == 32));
    }

    proptest! {
        #[test]
        fn changed_bytes_are_refused(at in any::<prop::sample::Index>(), bit in 0..8_u8, end in any::<bool>()) {
            let mut small = journal();
            small.unfinished = None;
            let mut bytes = small.to_bytes(&key(1)).expect("it fits");
            let at = at.index(bytes.len());
            if end { bytes.truncate(at) } else { bytes[at] ^= 1 << bit }
            prop_assert_eq!(Journal::from_bytes(&bytes, &key(1)), None);
            // This one must not panic.
            Journal::slot_in(&bytes);
        }
    }
}
