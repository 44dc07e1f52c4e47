//! Asks for a passphrase with pinentry, the dialog of `GnuPG`: every desktop has one, and it grabs the keyboard where it can.
//!
//! The protocol is Assuan's, a line each way. The crate `pinentry` (0.8) leaves the passphrase in the buffer of its reader; here each
//! byte of it is in memory that is overwritten at its end. It may be swapped out meanwhile: the process has 9 MiB, and a user
//! may usually lock 8.
//!
//! The pinentries of desktops offer to remember the passphrase in the session's Secret Service, such as GNOME's keyring,
//! and take it from there without a dialog. They do it themselves: the agent only names the key.

use std::io::{self, PipeReader, Read, Write};
use std::path::PathBuf;
use std::process::{Child, ChildStdin, ChildStdout, Command, Stdio};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};

use zeroize::Zeroizing;

/// The longest line; Assuan allows 1000 bytes.
const LINE_MAX: usize = 1024;
/// `GPG_ERR_CANCELED`; the lower 16 bits of an error are its code, the upper ones its source.
const CANCELLED: u32 = 99;

/// What the dialog says.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct Dialog {
    pub(crate) title: String,
    pub(crate) description: String,
    pub(crate) prompt: String,
    /// Why it asks again.
    pub(crate) error: Option<String>,
    /// The offer to remember it.
    pub(crate) remember: Option<Remember>,
}

/// The offer to remember a passphrase.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct Remember {
    /// What it is remembered by.
    pub(crate) key: String,
    /// The words beside the box to tick.
    pub(crate) label: String,
}

/// Ends a dialog that is not needed any more, from another thread.
#[derive(Debug, Clone, Default)]
pub(crate) struct Closer(Arc<Mutex<Closing>>);

#[derive(Debug, Default)]
struct Closing {
    is_closed: bool,
    /// The pinentry that runs.
    process: Option<Child>,
}

impl Closer {
    /// Ends the dialog, and lets no other begin.
    pub(crate) fn close(&self) {
        let mut closing = self.lock();
        closing.is_closed = true;
        if let Some(process) = &mut closing.process {
            // One that has ended is no error.
            process.kill().ok();
        }
    }

    fn is_closed(&self) -> bool {
        self.lock().is_closed
    }

    fn lock(&self) -> MutexGuard<'_, Closing> {
        self.0.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

/// Asks for a passphrase, and returns the end of a pipe that has it; `None` if the person cancels, or the dialog is closed. Blocks.
///
/// # Errors
/// No pinentry is in `PATH`, or it fails.
pub(crate) fn ask(dialog: &Dialog, closer: &Closer) -> io::Result<Option<PipeReader>> {
    let asked = ask_with(PathBuf::from("pinentry"), dialog, closer);
    if closer.is_closed() { Ok(None) } else { asked }
}

fn ask_with(program: PathBuf, dialog: &Dialog, closer: &Closer) -> io::Result<Option<PipeReader>> {
    let mut pinentry = Pinentry::start(program, closer)?;
    let Some(secret) = pinentry.passphrase(dialog)? else { return Ok(None) };
    let (reader, mut writer) = io::pipe()?;
    // Shorter than what any pipe holds.
    writer.write_all(&secret)?;
    Ok(Some(reader))
}

#[derive(Debug)]
struct Pinentry {
    input: Option<ChildStdin>,
    output: Option<ChildStdout>,
    closer: Closer,
}

impl Pinentry {
    fn start(program: PathBuf, closer: &Closer) -> io::Result<Self> {
        let mut pinentry = {
            let mut closing = closer.lock();
            if closing.is_closed {
                return Err(io::ErrorKind::Interrupted.into());
            }
            let mut process = Command::new(program).stdin(Stdio::piped()).stdout(Stdio::piped()).spawn()?;
            let (input, output) = (process.stdin.take(), process.stdout.take());
            closing.process = Some(process);
            Self { input, output, closer: closer.clone() }
        };
        pinentry.reply()?;
        Ok(pinentry)
    }

    fn passphrase(&mut self, dialog: &Dialog) -> io::Result<Option<Zeroizing<Vec<u8>>>> {
        if let Some(Remember { key, label }) = &dialog.remember {
            if dialog.error.is_some() {
                // The wrong one may be the one that is remembered.
                self.request_if_known(&format!("CLEARPASSPHRASE {key}"))?;
            }
            self.request_if_known("OPTION allow-external-password-cache")?;
            self.request_if_known(&format!("OPTION default-pwmngr={}", escaped(label)))?;
            self.request_if_known(&format!("SETKEYINFO {key}"))?;
        }
        let texts = [
            ("SETTITLE", Some(&dialog.title)),
            ("SETDESC", Some(&dialog.description)),
            ("SETPROMPT", Some(&dialog.prompt)),
            ("SETERROR", dialog.error.as_ref()),
        ];
        for (command, text) in texts {
            if let Some(text) = text {
                self.send(&format!("{command} {}", escaped(text)))?;
                self.reply()?;
            }
        }
        self.send("GETPIN")?;
        self.reply()
    }

    /// A request that not each pinentry knows.
    fn request_if_known(&mut self, line: &str) -> io::Result<()> {
        self.send(line)?;
        match self.reply() {
            Ok(_) => Ok(()),
            Err(error) if error.kind() == io::ErrorKind::Other => Ok(()),
            Err(error) => Err(error),
        }
    }

    fn send(&mut self, line: &str) -> io::Result<()> {
        let input = self.input.as_mut().ok_or(io::ErrorKind::BrokenPipe)?;
        writeln!(input, "{line}")
    }

    /// Reads lines up to the end of the reply; the data in it. `None` if it was cancelled.
    fn reply(&mut self) -> io::Result<Option<Zeroizing<Vec<u8>>>> {
        let mut data = Zeroizing::new(Vec::with_capacity(LINE_MAX));
        loop {
            let line = self.line()?;
            match split(&line) {
                (b"OK", _) => return Ok(Some(data)),
                (b"D", text) => unescape(text, &mut data)?,
                (b"ERR", text) => return cancelled(&String::from_utf8_lossy(text)),
                // Comments and states.
                _ => {}
            }
        }
    }

    fn line(&mut self) -> io::Result<Zeroizing<Vec<u8>>> {
        let output = self.output.as_mut().ok_or(io::ErrorKind::BrokenPipe)?;
        let mut line = Zeroizing::new(Vec::with_capacity(LINE_MAX));
        let mut byte = Zeroizing::new([0_u8]);
        loop {
            output.read_exact(&mut *byte)?;
            match byte[0] {
                b'\n' => return Ok(line),
                // A buffer that grows leaves its bytes behind.
                _ if line.len() == LINE_MAX => return Err(io::Error::other("pinentry writes lines that are too long")),
                letter => line.push(letter),
            }
        }
    }
}

impl Drop for Pinentry {
    fn drop(&mut self) {
        // Its input ends, and so does it; one that does not is killed.
        self.send("BYE").ok();
        drop(self.input.take());
        drop(self.output.take());
        let Some(mut process) = self.closer.lock().process.take() else { return };
        if process.try_wait().is_ok_and(|ended| ended.is_none()) {
            process.kill().ok();
        }
        process.wait().ok();
    }
}

/// The keyword of a line, and the rest.
fn split(line: &[u8]) -> (&[u8], &[u8]) {
    let end = line.iter().position(|byte| *byte == b' ').unwrap_or(line.len());
    let (keyword, rest) = line.split_at(end);
    (keyword, rest.strip_prefix(b" ").unwrap_or(rest))
}

/// `None` for the error of a cancelled dialog; other errors stay errors.
fn cancelled<T>(error: &str) -> io::Result<Option<T>> {
    let code = error.split(' ').next().and_then(|code| code.parse::<u32>().ok());
    match code.map(|code| code & 0xffff) {
        Some(CANCELLED) => Ok(None),
        Some(_) | None => Err(io::Error::other(format!("pinentry failed: {error}"))),
    }
}

/// A text of a request: one line.
fn escaped(text: &str) -> String {
    text.replace('%', "%25").replace('\r', "%0D").replace('\n', "%0A")
}

/// Appends data of a reply.
fn unescape(text: &[u8], data: &mut Vec<u8>) -> io::Result<()> {
    let mut bytes = text.iter();
    while let Some(byte) = bytes.next() {
        if data.len() == data.capacity() {
            return Err(io::Error::other("the passphrase is too long"));
        }
        if *byte == b'%' {
            let mut digit = || bytes.next().and_then(|digit| char::from(*digit).to_digit(16));
            let (Some(high), Some(low)) = (digit(), digit()) else {
                return Err(io::Error::other("pinentry escapes wrongly"));
            };
            data.push(u8::try_from(high * 16 + low).unwrap_or_default());
        } else {
            data.push(*byte);
        }
    }
    Ok(())
}

#[cfg(test)]
mod tests {
    use std::fs;
    use std::os::unix::fs::PermissionsExt as _;

    use super::*;

    fn dialog() -> Dialog {
        let text = |text: &str| text.to_owned();
        let remember = Some(Remember { key: text("n/butterdock-b1"), label: text("r") });
        Dialog { title: text("t"), description: text("100 %\nBlue"), prompt: text("p:"), error: None, remember }
    }

    /// A pinentry that answers GETPIN with these lines, and other requests with OK.
    fn answers(lines: &str) -> io::Result<Option<Vec<u8>>> {
        let folder = tempfile::tempdir().expect("a folder");
        let program = folder.path().join("pinentry");
        let script = format!(
            "#!/bin/sh\necho 'OK hello'\nwhile read -r line; do\ncase $line in\nGETPIN) printf '{lines}' ;;\nBYE) exit ;;\nSETKEYINFO*) echo ERR 536871187 Unknown IPC command ;;\n*) echo OK ;;\nesac\ndone\n"
        );
        // Written by another process: a descriptor for writing that a concurrent fork inherits makes the program busy.
        let new = folder.path().join("new");
        fs::write(&new, script).expect("written");
        assert!(Command::new("cp").arg(&new).arg(&program).status().expect("cp").success());
        fs::set_permissions(&program, fs::Permissions::from_mode(0o755)).expect("executable");
        let mut pinentry = Pinentry::start(program, &Closer::default())?;
        Ok(pinentry.passphrase(&dialog())?.map(|secret| secret.to_vec()))
    }

    #[test]
    fn a_passphrase_is_unescaped() {
        let secret = answers("# a comment\\nD a%%25b%%0A c\\nOK\\n").expect("answered");
        assert_eq!(secret.as_deref(), Some(&b"a%b\n c"[..]));
        assert_eq!(answers("OK\\n").expect("answered").as_deref(), Some(&b""[..]));
    }

    #[test]
    fn cancel_is_no_error_and_a_failure_is_one() {
        assert_eq!(answers("ERR 83886179 Operation cancelled <Pinentry>\\n").expect("answered"), None);
        assert!(answers("ERR 83886142 Timeout\\n").is_err());
        assert!(answers("D a%%2\\nOK\\n").is_err());
    }

    #[test]
    fn a_program_that_is_missing_or_ends_is_an_error() {
        assert!(Pinentry::start(PathBuf::from("/nonexistent/pinentry"), &Closer::default()).is_err());
        assert!(Pinentry::start(PathBuf::from("/bin/true"), &Closer::default()).is_err());
    }

    #[test]
    fn a_text_stays_on_its_line() {
        assert_eq!(escaped("50 %\nnext\r"), "50 %25%0Anext%0D");
    }
}
