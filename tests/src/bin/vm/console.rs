//! The root shell on the machine's serial console: a step goes in as a script, and comes back as text and an exit status.

use std::io::{Read as _, Write as _};
use std::process::{ChildStdin, ChildStdout};
use std::sync::mpsc::{Receiver, RecvTimeoutError, channel};
use std::time::{Duration, Instant};

use anyhow::{Context as _, Result, bail};

/// What [`Console::run`] brings back.
#[derive(Debug)]
pub(crate) struct Answer {
    /// The exit status.
    pub(crate) status: i32,
    /// What it wrote to either output.
    pub(crate) text: String,
}

/// The serial line. Its reader ends with the machine.
#[derive(Debug)]
pub(crate) struct Console {
    input: ChildStdin,
    heard: Receiver<Vec<u8>>,
    /// What came and belongs to no answer yet.
    line: String,
    steps: u32,
}

/// What every script knows: `!` alone would not end it, and of the history the newest backup is asked for.
const WORDS: &str = "none() { ! \"$@\"; }
newest() { butterdock --json history | tr '{' '\\n' | awk '/\"kind\":\"backup\"/ && !seen++'; }
";

impl Console {
    /// Of the machine whose standard input and output are its serial line.
    pub(crate) fn new(input: ChildStdin, mut output: ChildStdout) -> Self {
        let (tell, heard) = channel();
        std::thread::spawn(move || {
            let mut block = [0; 4096];
            while let Ok(len @ 1..) = output.read(&mut block) {
                if tell.send(block.get(..len).unwrap_or_default().to_vec()).is_err() {
                    break;
                }
            }
        });
        Self { input, heard, line: String::new(), steps: 0 }
    }

    /// Waits until the shell answers, `within`.
    ///
    /// # Errors
    ///
    /// It does not; with the end of what was said instead.
    pub(crate) fn wait_for_shell(&mut self, within: Duration) -> Result<()> {
        let until = Instant::now() + within;
        loop {
            // What is written before the shell is there may be lost.
            match self.run(":", Duration::from_secs(2)) {
                Ok(_) => return Ok(()),
                Err(error) if Instant::now() > until => return Err(error.context("no shell on the console")),
                Err(_) => {}
            }
        }
    }

    /// Runs a bash script, which ends at its first failure, within this time.
    ///
    /// # Errors
    ///
    /// It takes longer, or the machine is gone.
    pub(crate) fn run(&mut self, script: &str, within: Duration) -> Result<Answer> {
        self.steps += 1;
        let (begin, end) = (format!("<begin {}>\n", self.steps), format!("\n<end {} ", self.steps));
        // The marks are put together there, so that an echo of the script is not taken for them.
        let step = format!(
            "printf '<%s %d>\\n' begin {n}; bash -euo pipefail /dev/stdin 2>&1 <<'STEP-{n}'\n{WORDS}{script}\nSTEP-{n}\n\
             printf '\\n<%s %d %d>\\n' end {n} $?\n",
            n = self.steps
        );
        self.input.write_all(step.as_bytes()).context("the machine is gone")?;
        let until = Instant::now() + within;
        loop {
            if let Some((before, rest)) = self.line.split_once(&end)
                && let Some((status, _)) = rest.split_once(">\n")
            {
                let text = before.split_once(&begin).map_or(before, |(_, text)| text);
                let answer = Answer { status: status.parse()?, text: text.to_owned() };
                self.line.clear();
                return Ok(answer);
            }
            match self.heard.recv_timeout(until.saturating_duration_since(Instant::now())) {
                Ok(block) => self.line.push_str(&String::from_utf8_lossy(&block).replace('\r', "")),
                Err(RecvTimeoutError::Timeout) => bail!("no answer after {within:?} to\n{script}\n{}", self.last()),
                Err(RecvTimeoutError::Disconnected) => bail!("the machine ended\n{}", self.last()),
            }
        }
    }

    fn last(&self) -> String {
        let lines: Vec<_> = self.line.lines().rev().take(20).collect();
        lines.into_iter().rev().map(|line| format!("    {line}\n")).collect()
    }
}
