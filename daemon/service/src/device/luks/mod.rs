//! Opens and closes encrypted drives with `cryptsetup`.

use std::fs::{self, File};
use std::io::{self, Read as _, Write as _};
use std::os::unix::fs::{MetadataExt as _, OpenOptionsExt as _};
use std::path::{Path, PathBuf};
use std::process::{Child, Command, ExitStatus, Stdio};
use std::thread;
use std::time::{Duration, Instant};

use butterdock_btrfs::{SecretMemory, best_effort};
use nix::fcntl::OFlag;
use rustix::process::geteuid;
use uuid::Uuid;

use super::error::{Error, Part, Result, Sentence};
use super::node;
use crate::types::{DriveProblemCode, DriveProblemParams};

/// Deriving a key takes seconds, on a small machine many.
const PATIENCE: Duration = Duration::from_secs(120);

/// What `cryptsetup` reads of a key file at most (its own bound).
const LARGEST_KEY: u64 = 8 << 20;

/// A passphrase or the bytes of a key. It is never shown, not swapped out, in no core dump, and its memory is overwritten when it is
/// dropped.
#[derive(Debug)]
pub(crate) struct Secret(SecretMemory);

/// The tool.
#[derive(Debug, Clone)]
pub(crate) struct Cryptsetup {
    tool: PathBuf,
    limit: Duration,
}

/// What the open side of a container of this uuid is called below `/dev/mapper`, when we opened it.
pub(crate) fn mapping_name(luks: Uuid) -> String {
    format!("{PREFIX}{luks}")
}

/// Whether we opened a container of this uuid, and it is open.
pub(crate) fn is_open(luks: Uuid) -> bool {
    Path::new("/dev/mapper").join(mapping_name(luks)).exists()
}

impl Secret {
    /// These bytes, as they are: a line's end belongs to them.
    pub(crate) fn new(bytes: SecretMemory) -> Self {
        Self(bytes)
    }

    #[cfg(test)]
    pub(super) fn bytes(&self) -> &[u8] {
        &self.0
    }

    /// What is in a file, up to its end: a passphrase without a line's end, or a key.
    ///
    /// # Errors
    /// It cannot be read, is empty, or is too long.
    fn read(from: &File) -> Result<Self> {
        let failed = || Error::system("reading the secret");
        let length = from.metadata().map_err(failed())?.len().min(LARGEST_KEY);
        // One byte more, to see the end.
        let room = usize::try_from(length).unwrap_or_default().saturating_add(1);
        let mut bytes = SecretMemory::zeroed(room).map_err(|fault| failed()(fault.errno.into()))?;
        let mut filled = 0_usize;
        loop {
            match (&*from).read(bytes.get_mut(filled..).unwrap_or_default()) {
                Ok(0) => break,
                Ok(count) => filled = filled.saturating_add(count),
                Err(error) if error.kind() == io::ErrorKind::Interrupted => {}
                Err(error) => return Err(failed()(error)),
            }
        }
        if filled == 0 || filled == room {
            return Err(Error::refused("the secret is empty, larger than 8 MiB, or changes while it is read"));
        }
        bytes.truncate(filled);
        Ok(Self(bytes))
    }

    /// The content of a configured key file.
    ///
    /// # Errors
    /// It cannot be read, or others than root, which is the user of the service, may read or write it.
    pub(crate) fn of_file(path: &Path) -> Result<Self> {
        let flags = OFlag::O_CLOEXEC | OFlag::O_NONBLOCK | OFlag::O_NOCTTY;
        let open = File::options().read(true).custom_flags(flags.bits()).open(path);
        let file = open.map_err(Error::system(format!("opening the key file {}", path.display())))?;
        let facts = file.metadata().map_err(Error::system(format!("examining {}", path.display())))?;
        if !facts.is_file() || facts.uid() != geteuid().as_raw() || facts.mode() & 0o077 != 0 {
            return Err(Error::refused(
                Sentence::of(&[
                    Part::Text("the key file "),
                    Part::Hidden(&path.display(), "of the drive"),
                    Part::Text(" must belong to root and be readable only by root: chown root and chmod 600 it"),
                ])
                .coded(DriveProblemCode::KeyFile, DriveProblemParams::default()),
            ));
        }
        Self::read(&file)
    }
}

impl Cryptsetup {
    /// Where the system has it.
    ///
    /// # Errors
    /// It is not installed.
    pub(crate) fn find() -> Result<Self> {
        let places = ["/usr/sbin/cryptsetup", "/sbin/cryptsetup"];
        let tool = places.iter().map(PathBuf::from).find(|path| path.exists());
        let missing = || {
            let sentence = Sentence::from("the drive is encrypted, and cryptsetup is not installed; install it");
            Error::refused(sentence.coded(DriveProblemCode::CryptsetupMissing, DriveProblemParams::default()))
        };
        Ok(Self { tool: tool.ok_or_else(missing)?, limit: PATIENCE })
    }

    /// Opens the container `luks` on `node`, which must have this number. Its open side is [`mapping_name`].
    ///
    /// # Errors
    /// The secret is wrong, the drive is another one or gone, or it is open already.
    pub(crate) fn open(&self, node: &Path, devnum: u64, luks: Uuid, secret: &Secret) -> Result<()> {
        drop(node::open(node, devnum)?);
        let mut command = self.command(&["open", "--type", "luks", "--batch-mode", "--key-file", "-"]);
        command.arg("--").arg(node).arg(mapping_name(luks));
        let what = Sentence::of(&[Part::Text("unlocking "), Part::Node(node)]);
        self.run(command, Some(secret), &what)
    }

    /// Checks that the secret opens the container on `node`, which must have this number. It may be open.
    ///
    /// # Errors
    /// The secret is wrong, or the drive is another one or gone.
    pub(crate) fn test(&self, node: &Path, devnum: u64, secret: &Secret) -> Result<()> {
        drop(node::open(node, devnum)?);
        let arguments = ["open", "--test-passphrase", "--type", "luks", "--batch-mode", "--key-file", "-", "--"];
        let mut command = self.command(&arguments);
        command.arg(node);
        let what = Sentence::of(&[Part::Text("testing the secret of "), Part::Node(node)]);
        self.run(command, Some(secret), &what)
    }

    /// Makes a container of LUKS2 with this uuid on `node`, which the caller has checked. Everything on it is lost.
    ///
    /// # Errors
    /// The tool failed.
    pub(crate) fn format(&self, node: &Path, luks: Uuid, secret: &Secret) -> Result<()> {
        let mut command = self.command(&["luksFormat", "--type", "luks2", "--batch-mode", "--key-file", "-", "--uuid"]);
        command.arg(luks.to_string()).arg("--").arg(node);
        let what = Sentence::of(&[Part::Text("encrypting "), Part::Node(node)]);
        self.run(command, Some(secret), &what)
    }

    /// Has the content of a file open the container on `node`, which must have this number, beside the secret.
    ///
    /// # Errors
    /// The secret is wrong, or the tool failed.
    pub(crate) fn add_key(&self, node: &Path, devnum: u64, secret: &Secret, file: &Path) -> Result<()> {
        drop(node::open(node, devnum)?);
        let mut command = self.command(&["luksAddKey", "--batch-mode", "--key-file", "-", "--"]);
        command.arg(node).arg(file);
        let what = Sentence::of(&[Part::Text("adding a key to "), Part::Node(node)]);
        self.run(command, Some(secret), &what)
    }

    /// Closes the container.
    ///
    /// # Errors
    /// Its open side is still in use.
    pub(crate) fn close(&self, luks: Uuid) -> Result<()> {
        let mut command = self.command(&["close", "--"]);
        command.arg(mapping_name(luks));
        self.run(command, None, &locking(luks))
    }

    /// Closes the container of a drive that was pulled: now, or when the last who uses it ends.
    ///
    /// # Errors
    /// The tool would not.
    pub(crate) fn close_deferred(&self, luks: Uuid) -> Result<()> {
        let mut command = self.command(&["close", "--deferred", "--"]);
        command.arg(mapping_name(luks));
        self.run(command, None, &locking(luks))
    }

    fn command(&self, arguments: &[&str]) -> Command {
        let mut command = Command::new(&self.tool);
        command.args(arguments).env_clear().env("LC_ALL", "C").current_dir("/");
        command
    }

    fn run(&self, mut command: Command, secret: Option<&Secret>, what: &Sentence) -> Result<()> {
        let doing = || Error::system(what.to_string());
        let stdin = if secret.is_some() { Stdio::piped() } else { Stdio::null() };
        let mut child = command.stdin(stdin).stdout(Stdio::null()).stderr(Stdio::piped()).spawn().map_err(doing())?;
        let mut complaint = child.stderr.take();
        let stdin = child.stdin.take();
        let (status, said) = thread::scope(|scope| {
            // Threads of their own: a tool that does not read, or that says much, would block us past the limit.
            scope.spawn(move || {
                if let (Some(mut stdin), Some(secret)) = (stdin, secret) {
                    // A tool that ended early says why itself.
                    best_effort(stdin.write_all(&secret.0));
                }
            });
            let said = scope.spawn(move || {
                let mut said = Vec::new();
                if let Some(pipe) = &mut complaint {
                    // What the tool says is for the journal: its status tells what happened.
                    best_effort(pipe.take(4096).read_to_end(&mut said));
                }
                String::from_utf8_lossy(&said).into_owned()
            });
            let status = wait(&mut child, self.limit);
            (status, said.join().unwrap_or_default())
        });
        match status.map_err(doing())? {
            Some(status) if status.success() => Ok(()),
            Some(status) if status.code() == Some(WRONG) => Err(Error::WrongSecret(sentence(what, status, &said))),
            Some(status) => Err(Error::refused(sentence(what, status, &said))),
            None => {
                let text = Part::Text(" took too long and was killed; unplug the drive and try again");
                Err(Error::refused(Sentence::of(&[Part::Sentence(what), text])))
            }
        }
    }
}

/// The mappings that we opened and that are still open; read from `/sys`, which needs no tool.
pub(crate) fn stale(sys: &Path) -> Vec<Uuid> {
    let blocks = fs::read_dir(sys.join("block")).into_iter().flatten().flatten();
    let names = blocks.filter_map(|entry| fs::read_to_string(entry.path().join("dm/name")).ok());
    names.filter_map(|name| Uuid::try_parse(name.trim_end().strip_prefix(PREFIX)?).ok()).collect()
}

const PREFIX: &str = "butterdock-";

/// Its end; none where it had to be killed.
fn wait(child: &mut Child, limit: Duration) -> io::Result<Option<ExitStatus>> {
    let begun = Instant::now();
    let mut pause = Duration::from_millis(1);
    loop {
        if let Some(status) = child.try_wait()? {
            return Ok(Some(status));
        }
        if begun.elapsed() > limit {
            child.kill()?;
            child.wait()?;
            return Ok(None);
        }
        thread::sleep(pause);
        pause = pause.saturating_mul(2).min(Duration::from_millis(50));
    }
}

fn locking(luks: Uuid) -> Sentence {
    Sentence::of(&[Part::Text("locking "), Part::Uuid(luks)])
}

/// The exit status of cryptsetup(8) if no key slot opens with the secret.
const WRONG: i32 = 2;

/// The exit status as cryptsetup(8) has it.
fn sentence(what: &Sentence, status: ExitStatus, said: &str) -> Sentence {
    let said = super::text::shown(said);
    let ended = [
        Part::Text(": cryptsetup ended with "),
        Part::Status(status),
        Part::Text(": "),
        Part::Hidden(&said, "the journal of butterdockd says why"),
    ];
    let how = match status.code() {
        Some(WRONG) => ": the passphrase or key is wrong".into(),
        Some(3) => ": there is not enough memory to derive the key".into(),
        Some(4) => ": the drive is detached, or is not a LUKS container; plug it in again".into(),
        Some(5) => ": it is in use, or open already".into(),
        Some(_) | None => Sentence::of(&ended),
    };
    Sentence::of(&[Part::Sentence(what), Part::Sentence(&how)])
}

#[cfg(test)]
mod tests;
