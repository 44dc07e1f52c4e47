//! The generator: makes commands of random numbers, nearly all valid, in orders of the kernel and in others; and commands that
//! must fail.

use std::fmt;

use butterdock_stream::Time;

use crate::tests::order::changes::{self, ACCESS, DEFAULT};
use crate::tests::order::command::{Bytes, Owned, What, payload};
use crate::tests::order::world::{World, join, within};

/// The random numbers of one turn: its kind, and those for its decisions.
pub(crate) type Turn = (u8, [u16; 8]);

/// Commands, and which of them must fail.
#[derive(Clone)]
pub(crate) struct Sequence {
    pub(crate) commands: Vec<Owned>,
    /// Numbers of the commands that must fail.
    pub(crate) invalid: Vec<usize>,
    /// The index of the first command of the increment.
    pub(crate) cut: usize,
}

impl fmt::Debug for Sequence {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        writeln!(f, "this sequence:")?;
        for (number, command) in self.commands.iter().enumerate() {
            let increment = if number == self.cut { "the increment: " } else { "" };
            let invalid = if self.invalid.contains(&number) { "invalid: " } else { "" };
            writeln!(f, "{number:4} {increment}{invalid}{command:?}")?;
        }
        Ok(())
    }
}

/// A sequence that is being generated.
pub(crate) struct Draw {
    pub(crate) world: World,
    sequence: Sequence,
    dice: [u16; 8],
    rolled: usize,
}

/// Makes a sequence of random numbers.
pub(crate) fn sequence(turns: &[Turn], cut: u16) -> Sequence {
    let sequence = Sequence { commands: Vec::new(), invalid: Vec::new(), cut: 0 };
    let mut draw = Draw { world: World::new(), sequence, dice: [0; 8], rolled: 0 };
    for (kind, dice) in turns {
        (draw.dice, draw.rolled) = (*dice, 0);
        draw.turn(*kind);
    }
    draw.sequence.cut = usize::from(cut) % (draw.sequence.commands.len() + 1);
    draw.sequence
}

impl Draw {
    /// A random number for the next decision.
    pub(crate) fn roll(&mut self) -> u16 {
        self.rolled += 1;
        let at = self.rolled - 1;
        self.dice[at % 8].rotate_left(u32::try_from(at / 8 * 5).unwrap_or(0))
    }

    pub(crate) fn add(&mut self, command: Owned) {
        self.sequence.commands.push(command);
    }

    pub(crate) fn add_invalid(&mut self, command: Owned) {
        self.sequence.invalid.push(self.sequence.commands.len());
        self.sequence.commands.push(command);
    }

    fn turn(&mut self, kind: u8) {
        match kind % 40 {
            0..=6 => self.new_inode(What::File),
            7..=9 => self.new_inode(What::Directory),
            10 => {
                let what = [What::Symlink, What::Fifo, What::Socket, What::Device][usize::from(self.roll() % 4)];
                self.new_inode(what);
            }
            11 => self.without_rename(),
            12 => self.interrupted(),
            13 => self.replace(),
            14..=15 => self.move_one(),
            16 => self.move_over(),
            17 => self.swap(),
            18 => self.link(),
            19 => self.unlink(),
            20 => self.rmdir(),
            21..=29 => changes::data(self),
            30..=35 => changes::attribute(self),
            36..=37 => {
                let directory = self.any(|what| what == What::Directory);
                changes::one_attribute(self, &directory);
            }
            38 => changes::one_attribute(self, ""),
            _ => {
                if self.roll() % 3 == 0 {
                    invalid(self);
                } else {
                    changes::data(self);
                }
            }
        }
    }

    /// A new inode as the kernel sends it: under a temporary name, then renamed, then changed.
    fn new_inode(&mut self, what: What) {
        let (temporary, dice) = (self.world.temporary(), self.roll());
        let path = self.world.free(dice);
        self.make(&temporary, what);
        self.rename(&temporary, &path);
        for _ in 0..self.roll() % 5 {
            if what == What::File && self.roll() % 2 == 0 {
                changes::one_data(self, &path);
            } else {
                changes::one_attribute(self, &path);
            }
        }
        if self.roll() % 2 == 0 {
            changes::ending(self, &path);
        }
    }

    /// A new inode that keeps its first name, temporary or not.
    fn without_rename(&mut self) {
        let dice = self.roll();
        let path = if self.roll() % 2 == 0 { self.world.temporary() } else { self.world.free(dice) };
        let what = if self.roll() % 2 == 0 { What::File } else { What::Directory };
        self.make(&path, what);
        changes::one_attribute(self, &path);
    }

    /// Another command between the creation and the rename, or a rename to another kind of name.
    fn interrupted(&mut self) {
        let (temporary, dice) = (self.world.temporary(), self.roll());
        self.make(&temporary, What::File);
        match self.roll() % 4 {
            0 => changes::one_attribute(self, &temporary),
            1 => changes::one_attribute(self, ""),
            2 => {
                let again = self.world.temporary();
                self.rename(&temporary, &again);
                if dice % 2 == 0 {
                    let path = self.world.free(dice);
                    self.rename(&again, &path);
                }
                return;
            }
            _ => {
                let other = self.world.free(dice);
                self.link_one(&other, &temporary);
            }
        }
        let path = self.world.free(dice);
        self.rename(&temporary, &path);
        changes::one_data(self, &path);
    }

    /// A new inode replaces an existing one.
    fn replace(&mut self) {
        let (temporary, dice) = (self.world.temporary(), self.roll());
        let (what, path) = match self.roll() % 3 {
            0 => (What::Directory, self.world.directory(dice, true)),
            _ => (What::File, self.world.pick(dice, |known| known.what != What::Directory)),
        };
        let Some(path) = path else { return };
        self.make(&temporary, what);
        self.rename(&temporary, &path);
        if what == What::File {
            changes::one_data(self, &path);
        }
        changes::one_attribute(self, &path);
    }

    fn move_one(&mut self) {
        let (from, to) = (self.roll(), self.roll());
        let from = self.world.pick_path(from, |path, _| !path.is_empty());
        let to = self.world.free(to);
        if let Some(from) = from.filter(|from| !within(&to, from)) {
            self.rename(&from, &to);
        }
    }

    fn move_over(&mut self) {
        let (from, to) = (self.roll(), self.roll());
        if self.roll() % 2 == 0 {
            let file = |dice| self.world.pick(dice, |known| known.what != What::Directory);
            if let (Some(from), Some(to)) = (file(from), file(to)) {
                self.rename(&from, &to);
            }
        } else if let (Some(from), Some(to)) =
            (self.world.directory(from, from % 2 == 0), self.world.directory(to, true))
        {
            if !within(&to, &from) && !within(&from, &to) {
                self.rename(&from, &to);
            }
        }
    }

    /// Exchanges two names through a temporary one.
    fn swap(&mut self) {
        let (a, b) = (self.roll(), self.roll());
        let any = |dice| self.world.pick_path(dice, |path, _| !path.is_empty());
        if let (Some(a), Some(b)) = (any(a), any(b)) {
            if within(&a, &b) || within(&b, &a) || self.world.same(&a, &b) {
                return;
            }
            let temporary = self.world.temporary();
            self.rename(&a, &temporary);
            self.rename(&b, &a);
            self.rename(&temporary, &b);
        }
    }

    fn link_one(&mut self, path: &str, existing: &str) {
        self.world.link(path, existing);
        self.add(Owned::Link { path: path.into(), existing: existing.into() });
    }

    fn link(&mut self) {
        let (existing, path) = (self.roll(), self.roll());
        if let Some(existing) = self.world.pick(existing, |known| known.what != What::Directory) {
            let path = if self.roll() % 8 == 0 { self.world.temporary() } else { self.world.free(path) };
            self.link_one(&path, &existing);
        }
    }

    fn unlink(&mut self) {
        let dice = self.roll();
        if let Some(path) = self.world.pick(dice, |known| known.what != What::Directory) {
            self.world.remove(&path);
            self.add(Owned::Unlink { path });
        }
    }

    fn rmdir(&mut self) {
        let dice = self.roll();
        if let Some(path) = self.world.directory(dice, true) {
            self.world.remove(&path);
            self.add(Owned::Rmdir { path });
        }
    }

    pub(crate) fn any(&mut self, fits: impl Fn(What) -> bool) -> String {
        let dice = self.roll();
        self.world.pick(dice, |known| fits(known.what)).unwrap_or_default()
    }

    pub(crate) fn time(&mut self) -> Time {
        Time { seconds: i64::from(self.roll()) * 1000 - 5000, nanoseconds: u32::from(self.roll()) * 9999 }
    }

    fn make(&mut self, path: &str, what: What) {
        self.world.make(path, what);
        self.add(Owned::Make { path: path.into(), what });
    }

    /// A rename of one name of an inode over another does nothing.
    fn rename(&mut self, from: &str, to: &str) {
        if !self.world.same(from, to) {
            self.world.rename(from, to);
        }
        self.add(Owned::Rename { path: from.into(), to: to.into() });
    }
}

/// A command that must fail, if the files that it needs exist.
fn invalid(draw: &mut Draw) {
    let (a, b) = (draw.roll(), draw.roll());
    let missing = draw.world.free(a);
    let below_missing = join(&missing, "x");
    let file = draw.world.pick(a, |known| known.what == What::File);
    let directory = draw.world.pick_path(a, |path, known| known.what == What::Directory && !path.is_empty());
    let full = draw.world.directory(b, false);
    let what = if b % 2 == 0 { What::File } else { What::Directory };
    let command = match (draw.roll() % 18, file, directory) {
        (0, ..) => Some(Owned::Unlink { path: missing }),
        (1, ..) => Some(Owned::Rename { path: missing.clone(), to: below_missing }),
        (2, ..) => Some(Owned::Chmod { path: missing, mode: 0o644 }),
        (3, ..) => Some(Owned::Make { path: below_missing, what }),
        (4, Some(path), _) => {
            let temporary =
                draw.world.pick_path(b, |path, known| path.starts_with('o') && known.what != What::Directory);
            let path = temporary.unwrap_or(path);
            draw.add_invalid(Owned::Make { path: path.clone(), what });
            Some(Owned::Rename { path, to: missing })
        }
        (5, Some(path), _) => Some(Owned::Rmdir { path }),
        (6, Some(path), _) => Some(Owned::Link { path: path.clone(), existing: path }),
        (7, Some(path), _) => Some(Owned::SetXattr { path, name: ACCESS, data: vec![2, 0, 0, 0, 1, 0, 0, 0] }),
        (8, Some(path), _) => Some(Owned::SetXattr { path, name: DEFAULT, data: minimal() }),
        (9, Some(path), _) => Some(Owned::Utimes { path: join(&path, "x"), atime: draw.time(), mtime: draw.time() }),
        (10, Some(path), Some(to)) => Some(Owned::Rename { path, to }),
        (11, Some(path), _) => Some(Owned::Clone { path, offset: 0, len: 4096, source: missing, source_offset: 0 }),
        (12, Some(path), _) => {
            Some(Owned::Clone { path: path.clone(), offset: 0, len: 4096, source: path, source_offset: 1 << 40 })
        }
        (13, Some(path), _) => {
            let (extent, mut data) = payload(usize::from(b) % 5, 0);
            data.0[0] ^= 0xff;
            Some(Owned::Encoded { path, extent, data })
        }
        (14, _, Some(path)) => Some(Owned::Write { path, offset: 0, data: Bytes(vec![1]) }),
        (15, _, Some(path)) => Some(Owned::Unlink { path }),
        (16, _, Some(path)) => Some(Owned::Rename { to: join(&path, "x"), path }),
        (17, ..) => full.map(|path| Owned::Rmdir { path }),
        _ => None,
    };
    if let Some(command) = command {
        draw.add_invalid(command);
    }
}

fn minimal() -> Vec<u8> {
    let mut acl = vec![2, 0, 0, 0];
    for tag in [1_u8, 4, 32] {
        acl.extend([tag, 0, 7, 0, 0xff, 0xff, 0xff, 0xff]);
    }
    acl
}
