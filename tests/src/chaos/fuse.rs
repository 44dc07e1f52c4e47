//! A filesystem in user space whose owner does not answer everything.

use std::fs::File;
use std::io::{Read as _, Write as _};
use std::os::fd::AsRawFd as _;
use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::thread::JoinHandle;

use anyhow::{Context as _, Result};
use nix::mount::{MntFlags, MsFlags, mount, umount2};

/// It has one file. What the bus and the test's own process ask is answered; of others some questions never are.
#[derive(Debug)]
pub struct Fuse {
    at: PathBuf,
    unanswered: Arc<AtomicUsize>,
    thread: Option<JoinHandle<()>>,
}

/// A question of the kernel's (`enum fuse_opcode` of `linux/fuse.h`).
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
#[repr(u32)]
pub enum Asks {
    /// Somebody closes the file.
    Flush = 25,
    /// Somebody asks what filesystem it is.
    Statfs = 17,
}

impl Fuse {
    /// Mounts it; these questions are not answered to strangers.
    ///
    /// # Errors
    /// Without root, or where the kernel has no FUSE.
    pub fn new(at: &Path, deaf: &'static [Asks]) -> Result<Self> {
        std::fs::create_dir_all(at)?;
        let device = File::options().read(true).write(true).open("/dev/fuse").context("this test needs FUSE")?;
        let options = format!("fd={},rootmode=40000,user_id=0,group_id=0,allow_other", device.as_raw_fd());
        mount(Some("hostile"), at, Some("fuse"), MsFlags::empty(), Some(options.as_str()))?;
        let unanswered = Arc::new(AtomicUsize::new(0));
        let count = Arc::clone(&unanswered);
        let thread = std::thread::spawn(move || serve(&device, deaf, &count));
        Ok(Self { at: at.to_owned(), unanswered, thread: Some(thread) })
    }

    /// Its file.
    ///
    /// # Errors
    /// When it cannot be opened.
    pub fn file(&self) -> Result<File> {
        Ok(File::open(self.at.join("file"))?)
    }

    /// How many questions wait for an answer that does not come.
    #[must_use]
    pub fn unanswered(&self) -> usize {
        self.unanswered.load(Ordering::Relaxed)
    }
}

impl Drop for Fuse {
    /// Whoever waits is let go.
    fn drop(&mut self) {
        umount2(&self.at, MntFlags::MNT_FORCE).ok();
        umount2(&self.at, MntFlags::MNT_DETACH).ok();
        if let Some(thread) = self.thread.take() {
            thread.join().ok();
        }
    }
}

/// `struct fuse_in_header`: length, question, number, inode, uid, gid, thread.
const HEADER: usize = 40;
const FILE: u64 = 2;

fn serve(mut device: &File, deaf: &[Asks], unanswered: &AtomicUsize) {
    let mut bytes = vec![0; 1 << 18];
    while let Ok(length) = device.read(&mut bytes) {
        let Some(request) = bytes.get(..length).filter(|request| request.len() >= HEADER) else { continue };
        let word = |at: usize| u32::from_ne_bytes(request[at..at + 4].try_into().unwrap_or_default());
        let long = |at: usize| u64::from_ne_bytes(request[at..at + 8].try_into().unwrap_or_default());
        let (question, number, inode, thread) = (word(4), long(8), long(16), word(32));
        if deaf.iter().any(|asks| *asks as u32 == question) && is_strange(thread) {
            unanswered.fetch_add(1, Ordering::Relaxed);
            continue;
        }
        if let Some(answer) = answer(question, inode) {
            let (error, body) = answer.map_or_else(|errno| (-errno, Vec::new()), |body| (0, body));
            let mut reply = u32::try_from(16 + body.len()).unwrap_or_default().to_ne_bytes().to_vec();
            reply.extend(error.to_ne_bytes());
            reply.extend(number.to_ne_bytes());
            reply.extend(body);
            // A question that was taken back needs no answer.
            device.write_all(&reply).ok();
        }
    }
}

fn is_strange(thread: u32) -> bool {
    let name = std::fs::read_to_string(format!("/proc/{thread}/comm")).unwrap_or_default();
    !Path::new(&format!("/proc/self/task/{thread}")).exists() && name.trim() != "dbus-daemon"
}

/// None where the kernel wants none.
fn answer(question: u32, inode: u64) -> Option<Result<Vec<u8>, i32>> {
    let long = |number: u64| number.to_ne_bytes().to_vec();
    Some(Ok(match question {
        // LOOKUP: inode, generation, for how long, attributes.
        1 => [long(FILE), long(0), long(100), long(100), long(0), attributes(FILE)].concat(),
        // FORGET
        2 => return None,
        // GETATTR
        3 => [long(100), long(0), attributes(inode)].concat(),
        // OPEN, OPENDIR
        14 | 27 => [long(1), long(0)].concat(),
        // READ: the end.
        15 => Vec::new(),
        17 => vec![0; 80],
        // RELEASE, FLUSH, RELEASEDIR
        18 | 25 | 29 => Vec::new(),
        // INIT: 7.31, and room for what is read and written.
        26 => [7_u32, 31, 1 << 16, 0, 10 | 10 << 16, 1 << 16, 1, 0, 0, 0, 0, 0, 0, 0, 0, 0]
            .iter()
            .flat_map(|word| word.to_ne_bytes())
            .collect(),
        _ => return Some(Err(38)),
    }))
}

/// `struct fuse_attr`.
fn attributes(inode: u64) -> Vec<u8> {
    let mode: u32 = if inode == FILE { 0o100_644 } else { 0o40_755 };
    let longs = [inode, 1000, 2, 0, 0, 0].into_iter().flat_map(|number| number.to_ne_bytes());
    let words = [0, 0, 0, mode, 1, 0, 0, 0, 4096, 0_u32];
    longs.chain(words.iter().flat_map(|word| word.to_ne_bytes())).collect()
}
