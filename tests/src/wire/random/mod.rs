//! Random streams of which every command is lawful: a model of the tree knows what is there.

mod content;

use std::collections::BTreeMap;

use super::{Stream, UUID, command};
use crate::trees::Random;

const BLOCK: u64 = 4096;
/// Uuid and transaction.
type Identity = ([u8; 16], u64);
const PARENT: Identity = (UUID, 7);
/// A file that is no part of the model.
const OTHER: &str = "other";
/// A default access list with one named user.
const DEFAULT_LIST: [u8; 44] = {
    let mut list = [0xff; 44];
    let rows: [[u8; 4]; 5] = [[1, 0, 7, 0], [2, 0, 5, 0], [4, 0, 5, 0], [16, 0, 5, 0], [32, 0, 1, 0]];
    let mut row = 0;
    while row < rows.len() {
        let mut byte = 0;
        while byte < 4 {
            list[4 + row * 8 + byte] = rows[row][byte];
            byte += 1;
        }
        row += 1;
    }
    // Version 2, and the user 1000.
    list[0] = 2;
    list[1] = 0;
    list[2] = 0;
    list[3] = 0;
    list[16] = 0xe8;
    list[17] = 3;
    list[18] = 0;
    list[19] = 0;
    list
};

/// What the model knows of an inode.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Kind {
    File(u64),
    Directory,
    /// A symlink or a fifo.
    Other,
}

/// A stream in the making, and the tree that it makes.
#[derive(Debug)]
pub struct RandomStream {
    stream: Stream,
    random: Random,
    /// What clones of this very subvolume name.
    this: Identity,
    /// The files of the parent and their sizes, as clone sources.
    parent: Vec<(String, u64)>,
    names: BTreeMap<String, usize>,
    /// What each inode is, and whether it was given a capability.
    inodes: Vec<(Kind, bool)>,
    made: u64,
}

impl RandomStream {
    /// A full stream `full` of about `steps` commands and an incremental one, `child`, of as many on top of it; the same for the
    /// same seed.
    #[must_use]
    pub fn pair(full: &str, child: &str, seed: u64, steps: usize) -> (Vec<u8>, Vec<u8>) {
        let mut maker = Self {
            stream: Stream::new(2).subvol(full).mkfile(OTHER),
            random: Random::new(seed),
            this: PARENT,
            parent: Vec::new(),
            names: BTreeMap::new(),
            inodes: Vec::new(),
            made: 0,
        };
        let first = maker.run(steps);
        maker.stream = Stream::new(2).snapshot(child, PARENT.0, PARENT.1);
        maker.this = (*b"butterdock-child", 9);
        maker.parent = maker.files();
        (first, maker.run(steps))
    }

    fn run(&mut self, steps: usize) -> Vec<u8> {
        for _ in 0..steps {
            self.step();
        }
        self.finish()
    }

    fn files(&self) -> Vec<(String, u64)> {
        let size = |inode: usize| match self.inodes[inode].0 {
            Kind::File(size) => Some(size),
            Kind::Directory | Kind::Other => None,
        };
        self.names.iter().filter_map(|(name, inode)| Some((name.clone(), size(*inode)?))).collect()
    }

    fn step(&mut self) {
        match self.random.below(24) {
            0..=3 => self.make_file(),
            4 | 5 => self.make_directory(),
            6 => self.make_other(),
            7..=9 => self.rename(),
            10 => self.link(),
            11 => self.unlink(),
            12 | 13 => self.rights(),
            14 | 15 => self.xattr(),
            16..=19 => self.write(),
            20 => self.truncate(),
            21 | 22 => self.clone_range(),
            _ => self.times(),
        }
    }

    fn with(&mut self, change: impl FnOnce(Stream) -> Stream) {
        self.stream = change(std::mem::take(&mut self.stream));
    }

    /// A name of one of these, if there is any.
    fn pick(&mut self, wanted: impl Fn(Kind) -> bool) -> Option<String> {
        let all: Vec<&String> =
            self.names.iter().filter(|(_, inode)| wanted(self.inodes[**inode].0)).map(|(name, _)| name).collect();
        let index = usize::try_from(self.random.below(all.len() as u64)).ok()?;
        all.get(index).map(|name| (*name).clone())
    }

    /// A name that is not taken, in the root or in a directory.
    fn new_name(&mut self) -> String {
        self.made += 1;
        let leaf = format!("n{}", self.made);
        match self.pick(|kind| kind == Kind::Directory) {
            Some(folder) if self.random.below(4) != 0 => format!("{folder}/{leaf}"),
            _ => leaf,
        }
    }

    fn add(&mut self, name: String, kind: Kind) {
        self.inodes.push((kind, false));
        self.names.insert(name, self.inodes.len() - 1);
    }

    /// Half of the time as the kernel sends it: made under a temporary name at the top, then moved.
    fn make(&mut self, kind: Kind, make: impl Fn(Stream, &str) -> Stream) -> String {
        let name = self.new_name();
        if self.random.below(2) == 0 {
            self.with(|stream| make(stream, &name));
        } else {
            let temporary = format!("o{}-7-0", self.made + 256);
            self.with(|stream| make(stream, &temporary).rename(&temporary, &name));
        }
        self.add(name.clone(), kind);
        name
    }

    fn make_file(&mut self) {
        let name = self.make(Kind::File(0), |stream, name| stream.mkfile(name));
        if self.random.below(3) != 0 {
            let mode = [0o644, 0o600, 0o755, 0o4755, 0o2711][usize::try_from(self.random.below(5)).unwrap_or(0)];
            self.with(|stream| stream.chown(&name, 0, 0).chmod(&name, mode));
        }
    }

    fn make_directory(&mut self) {
        let name = self.make(Kind::Directory, |stream, name| stream.mkdir(name));
        match self.random.below(6) {
            // What is made in these inherits something.
            0 => self.with(|stream| stream.xattr(&name, "system.posix_acl_default", DEFAULT_LIST).chmod(&name, 0o770)),
            1 => self.with(|stream| stream.chown(&name, 5, 6).chmod(&name, 0o2775)),
            2 => self.with(|stream| stream.xattr(&name, "btrfs.compression", "zstd").chmod(&name, 0o700)),
            3 => self.with(|stream| stream.chmod(&name, 0o1777)),
            // A send always gives a new directory its mode.
            _ => self.with(|stream| stream.chmod(&name, 0o755)),
        }
    }

    fn make_other(&mut self) {
        if self.random.below(2) == 0 {
            self.make(Kind::Other, |stream, name| stream.symlink(name, "some/where"));
        } else {
            self.make(Kind::Other, |stream, name| stream.node(command::MKFIFO, name, 0o010_600, 0));
        }
    }

    fn rename(&mut self) {
        let Some(from) = self.pick(|_| true) else { return };
        let kind = self.inodes[self.names[&from]].0;
        let below = format!("{from}/");
        // Sometimes over something of the same kind, as long as it is no full directory.
        let target = if self.random.below(3) == 0 {
            self.pick(|other| (other == Kind::Directory) == (kind == Kind::Directory))
        } else {
            None
        };
        let to = target.unwrap_or_else(|| self.new_name());
        let same_inode = self.names.get(&to) == self.names.get(&from);
        let full = self.names.keys().any(|name| name.starts_with(&format!("{to}/")));
        if same_inode || full || to.starts_with(&below) {
            return;
        }
        self.with(|stream| stream.rename(&from, &to));
        if self.names.remove(&to).is_some() {
            // The standard receiver goes on writing to the replaced file when the same path comes next; another path heals it.
            self.with(|stream| stream.write(OTHER, 0, "x"));
        }
        let moved: Vec<String> =
            self.names.keys().filter(|name| **name == from || name.starts_with(&below)).cloned().collect();
        for name in moved {
            if let Some(inode) = self.names.remove(&name) {
                self.names.insert(format!("{to}{}", &name[from.len()..]), inode);
            }
        }
    }

    fn link(&mut self) {
        let Some(existing) = self.pick(|kind| kind != Kind::Directory) else { return };
        let name = self.new_name();
        self.with(|stream| stream.link(&name, &existing));
        self.names.insert(name, self.names[&existing]);
    }

    fn unlink(&mut self) {
        let Some(name) = self.pick(|_| true) else { return };
        let below = format!("{name}/");
        if self.names.keys().any(|other| other.starts_with(&below)) {
            return;
        }
        let directory = self.inodes[self.names[&name]].0 == Kind::Directory;
        self.with(|stream| if directory { stream.rmdir(&name) } else { stream.unlink(&name) });
        self.names.remove(&name);
    }

    /// Gives every name its last time, so that the moment of the receive is nowhere to be seen.
    fn finish(&mut self) -> Vec<u8> {
        for (number, name) in self.names.clone().into_keys().enumerate() {
            let seconds = i64::try_from(number).unwrap_or(0) * 1000;
            self.with(|stream| stream.utimes(&name, seconds, 123));
        }
        std::mem::take(&mut self.stream).utimes(OTHER, 3, 4).utimes("", 5, 6).end().bytes().to_vec()
    }
}
