//! The shell on the machine's second serial port.

use std::io::{Read as _, Write as _};
use std::os::unix::net::UnixStream;
use std::path::Path;
use std::time::{Duration, Instant};

use anyhow::{Context as _, Result, bail, ensure};

/// What a step printed, and how it ended.
#[derive(Debug, Clone)]
pub struct Said {
    /// Both outputs, without blanks around them.
    pub text: String,
    /// The exit status.
    pub status: i32,
}

/// A shell that is driven from outside.
#[derive(Debug)]
pub struct Console {
    port: UnixStream,
    heard: Vec<u8>,
    steps: u32,
}

impl Console {
    /// Waits for the shell.
    ///
    /// # Errors
    /// It does not answer within `limit`.
    pub fn open(socket: &Path, limit: Duration) -> Result<Self> {
        let begun = Instant::now();
        let port = connected(socket, limit)?;
        port.set_read_timeout(Some(Duration::from_millis(500)))?;
        let mut console = Self { port, heard: Vec::new(), steps: 0 };
        // What is typed before the shell is there is lost, or echoed; the question is written so that its echo is no answer.
        loop {
            console.port.write_all(b"echo @@rea''dy\n")?;
            if console.hear("@@ready", Duration::from_secs(3)).is_ok() {
                break;
            }
            ensure!(begun.elapsed() < limit, "no shell within {limit:?}; it said: {}", console.tail());
        }
        // More than one such line may have been heard.
        let failed = console.run("exit 3", Duration::from_secs(30))?;
        ensure!(failed.status == 3, "a step that fails is not told from one that does not: {failed:?}");
        Ok(console)
    }

    /// Runs a command in a shell of its own, however it ends.
    ///
    /// # Errors
    /// It has not ended within `limit`.
    pub fn run(&mut self, command: &str, limit: Duration) -> Result<Said> {
        self.steps += 1;
        let mark = format!("@@{}=", self.steps);
        ensure!(command.len() < 3500, "a step this long does not fit the serial port");
        // The mark is split, so that an echo is no end.
        let line = format!("(\n{command}\n) </dev/null 2>&1; status=$?; echo; echo '@@'{}=$status.\n", self.steps);
        self.heard.clear();
        self.port.write_all(line.as_bytes())?;
        let text = self.hear(&mark, limit).with_context(|| format!("the step: {command}"))?;
        let status = self.hear(".", Duration::from_secs(10))?;
        let status = status.trim().parse().with_context(|| format!("an exit status: {status:?}"))?;
        Ok(Said { text: text.trim().to_owned(), status })
    }

    /// Runs a command that has to succeed, and gives what it printed.
    ///
    /// # Errors
    /// As [`Console::run`]; or it ends with something else than 0.
    pub fn ok(&mut self, command: &str, limit: Duration) -> Result<String> {
        let said = self.run(command, limit)?;
        ensure!(said.status == 0, "{command}\nended with {}: {}", said.status, said.text);
        Ok(said.text)
    }

    /// Runs a command again and again until it succeeds, and gives what it printed then.
    ///
    /// # Errors
    /// It has not within `limit`.
    pub fn until(&mut self, command: &str, limit: Duration) -> Result<String> {
        let begun = Instant::now();
        loop {
            let said = self.run(command, limit)?;
            if said.status == 0 {
                return Ok(said.text);
            }
            if begun.elapsed() > limit {
                bail!("not within {limit:?}: {command}\nat last: {}", said.text);
            }
            std::thread::sleep(Duration::from_millis(200));
        }
    }

    /// What is heard before `mark`, which is taken away with it.
    fn hear(&mut self, mark: &str, limit: Duration) -> Result<String> {
        let begun = Instant::now();
        let mut block = [0; 4096];
        loop {
            if let Some(at) = self.heard.windows(mark.len()).position(|window| window == mark.as_bytes()) {
                let text = String::from_utf8_lossy(self.heard.get(..at).unwrap_or_default()).into_owned();
                self.heard.drain(..at + mark.len());
                return Ok(text);
            }
            if begun.elapsed() > limit {
                bail!("nothing within {limit:?}; it said: {}", self.tail());
            }
            match self.port.read(&mut block) {
                Ok(0) => bail!("the machine has gone; it said: {}", self.tail()),
                Ok(count) => self.heard.extend_from_slice(block.get(..count).unwrap_or_default()),
                Err(error) if error.kind() == std::io::ErrorKind::WouldBlock => {}
                Err(error) => return Err(error).context("the serial port"),
            }
        }
    }

    fn tail(&self) -> String {
        let from = self.heard.len().saturating_sub(2000);
        String::from_utf8_lossy(self.heard.get(from..).unwrap_or_default()).into_owned()
    }
}

/// A connection to a socket that will be there soon.
pub(super) fn connected(socket: &Path, limit: Duration) -> Result<UnixStream> {
    let begun = Instant::now();
    loop {
        match UnixStream::connect(socket) {
            Ok(stream) => return Ok(stream),
            Err(error) if begun.elapsed() > limit => {
                return Err(error).with_context(|| socket.display().to_string());
            }
            Err(_) => std::thread::sleep(Duration::from_millis(50)),
        }
    }
}
