//! Checkpoints that must not be used: the transfer starts over, with a sentence that says why, and never a wrong tree.

use std::fs;
use std::path::PathBuf;

use anyhow::{Context as _, Result, ensure};
use butterdock_tests::compare::{Rules, Tree};
use butterdock_tests::snapshot::{self, Proto};
use butterdock_tests::trees::{Content, Random};
use butterdock_tests::{Layout, Receiver, Sandbox, TIMEOUT, Volume, names, rounds, run, seed};

use crate::fixture::{Said, Transfer};

const MIB: u64 = 1 << 20;

struct Interrupted {
    source: Volume,
    stream: PathBuf,
    volume: Volume,
    sandbox: Sandbox,
}

impl Interrupted {
    /// A transfer of 12 MiB that was killed after a checkpoint.
    fn new() -> Result<Self> {
        let sandbox = Sandbox::new()?;
        let source = sandbox.volume("source", &Layout::sized(1024, ""))?;
        let live = source.join("live");
        snapshot::create(&live)?;
        for number in 0..12_u64 {
            fs::write(live.join(format!("f{number}")), Content::Noise.bytes(1 << 20, number))?;
        }
        snapshot::freeze(&live, &source.join("s1"))?;
        let stream = sandbox.join("stream");
        snapshot::send(Proto::Two, None, &source.join("s1"), &stream)?;
        let volume = sandbox.plain_volume("ours")?;
        let new = Self { source, stream, volume, sandbox };
        new.interrupt()?;
        Ok(new)
    }

    fn transfer(&self) -> Transfer<'_> {
        Transfer { stream: self.stream.clone(), volume: &self.volume, bytes: 2 * MIB }
    }

    fn interrupt(&self) -> Result<()> {
        self.transfer().killed_after(1).map(drop)
    }

    fn journal(&self) -> Result<PathBuf> {
        let (_, hidden) = names(self.volume.path())?;
        let is_journal = |name: &&String| name.starts_with("checkpoints/") && !name.contains('.');
        let name = hidden.iter().find(is_journal).with_context(|| format!("no journal: {hidden:?}"))?;
        let folder = self.volume.join(".butterdock-staging/checkpoints");
        let inner = fs::read_dir(folder)?.next().context("a folder")??.path();
        Ok(inner.join(name.trim_start_matches("checkpoints/")))
    }

    fn checkpoint(&self) -> Result<PathBuf> {
        let (_, hidden) = names(self.volume.path())?;
        // The run may have died before it deleted the older one.
        let text = fs::read_to_string(self.journal()?)?;
        let slot = if text.contains("\"slot\":\"A\"") { "-a" } else { "-b" };
        let is_checkpoint = |name: &&String| name.contains(".butterdock-checkpoint-") && name.ends_with(slot);
        let name = hidden.iter().find(is_checkpoint);
        Ok(self.volume.join(name.with_context(|| format!("no checkpoint: {hidden:?}"))?))
    }

    /// Finishes; it must not resume, and say why.
    fn starts_over(&self, why: &str) -> Result<()> {
        let said = Said::of(&self.transfer().finish()?.out())?;
        ensure!(said.resumed.is_none(), "{why}: resumed from {:?}", said.resumed);
        ensure!(
            said.warnings.iter().any(|warning| warning.contains("starts over") && warning.contains(why)),
            "{why}: {:?}",
            said.warnings
        );
        self.is_whole()
    }

    fn is_whole(&self) -> Result<()> {
        self.transfer().is_whole("s1", &Tree::read(&self.source.join("s1"))?, Rules::SOURCE)
    }

    fn begin_again(&self) -> Result<()> {
        snapshot::delete(&self.volume.join("s1"))?;
        self.interrupt()
    }
}

#[test]
fn an_interrupted_transfer_resumes_where_the_progress_was() -> Result<()> {
    let interrupted = Interrupted::new()?;
    let said = Said::of(&interrupted.transfer().finish()?.out())?;
    let resumed = said.resumed.context("resumed")?;
    ensure!(resumed >= 2 * MIB, "{resumed}");
    ensure!(said.progress.iter().all(|bytes| *bytes == 0 || *bytes >= resumed), "{resumed}: {:?}", said.progress);
    let length = fs::metadata(&interrupted.stream)?.len();
    ensure!(said.bytes == Some(length), "{:?} of {length} bytes", said.bytes);
    interrupted.is_whole()
}

/// What was received without a check of its payloads is not said to be verified.
#[test]
fn other_options_start_over() -> Result<()> {
    let interrupted = Interrupted::new()?;
    let mut command = interrupted.transfer().command()?;
    let said = Said::of(&run(command.arg("--verify"), TIMEOUT)?.success()?.out())?;
    ensure!(said.resumed.is_none(), "{said:?}");
    ensure!(said.warnings.iter().any(|text| text.contains("begun with other options")), "{:?}", said.warnings);
    interrupted.is_whole()
}

#[test]
fn a_checkpoint_that_does_not_fit_is_not_used() -> Result<()> {
    let interrupted = Interrupted::new()?;
    // Another machine's journal.
    let journal = interrupted.journal()?;
    let text = fs::read_to_string(&journal)?;
    let forged = text.replacen(text.get(..1).context("a digit")?, if text.starts_with('0') { "1" } else { "0" }, 1);
    fs::write(&journal, forged)?;
    interrupted.starts_over("this machine did not write it")?;

    interrupted.begin_again()?;
    fs::remove_file(interrupted.journal()?)?;
    let said = Said::of(&interrupted.transfer().finish()?.out())?;
    ensure!(said.resumed.is_none(), "{said:?}");
    interrupted.is_whole()?;

    interrupted.begin_again()?;
    let journal = interrupted.journal()?;
    let length = fs::metadata(&journal)?.len();
    fs::File::options().write(true).open(&journal)?.set_len(length / 2)?;
    interrupted.starts_over("damaged")?;

    interrupted.begin_again()?;
    let checkpoint = interrupted.checkpoint()?;
    snapshot::set_read_only(&checkpoint, false)?;
    fs::write(checkpoint.join("added"), "by someone else")?;
    snapshot::set_read_only(&checkpoint, true)?;
    interrupted.starts_over("changed or replaced")?;

    interrupted.begin_again()?;
    let checkpoint = interrupted.checkpoint()?;
    let aside = interrupted.volume.join("aside");
    snapshot::freeze(&checkpoint, &aside)?;
    snapshot::delete(&checkpoint)?;
    snapshot::freeze(&aside, &checkpoint)?;
    snapshot::delete(&aside)?;
    interrupted.starts_over("changed or replaced")
}

#[test]
fn a_sweep_deletes_what_killed_runs_left() -> Result<()> {
    let interrupted = Interrupted::new()?;
    let checkpoint = interrupted.checkpoint()?;
    // Killed between the snapshot and the journal: the other slot.
    let other = checkpoint.to_str().context("UTF-8")?;
    let (front, slot) = other.split_at(other.len() - 1);
    let other = PathBuf::from(format!("{front}{}", if slot == "a" { "b" } else { "a" }));
    // The run may have died before it deleted the older one.
    if !other.exists() {
        snapshot::freeze(&checkpoint, &other)?;
    }
    fs::write(format!("{}.new", interrupted.journal()?.display()), "torn")?;
    let small = interrupted.sandbox.join("small");
    let source = interrupted.source.join("small");
    snapshot::create(&source)?;
    snapshot::set_read_only(&source, true)?;
    snapshot::send(Proto::Two, None, &source, &small)?;
    Receiver::Ours.receive(&small, interrupted.volume.path())?;
    let (_, hidden) = names(interrupted.volume.path())?;
    ensure!(hidden.len() == 2, "not the checkpoint and its journal alone: {hidden:?}");
    // Killed between the deletion of the snapshot and that of the journal.
    snapshot::delete(&checkpoint)?;
    snapshot::delete(&interrupted.volume.join("small"))?;
    Receiver::Ours.receive(&small, interrupted.volume.path())?;
    let (_, hidden) = names(interrupted.volume.path())?;
    ensure!(hidden.is_empty(), "{hidden:?}");
    Ok(())
}

/// Two machines that share a drive have keys of their own.
#[test]
fn the_checkpoint_of_another_machine_is_neither_used_nor_deleted() -> Result<()> {
    let interrupted = Interrupted::new()?;
    let checkpoint = interrupted.checkpoint()?;
    let other = interrupted.sandbox.join("state");
    fs::create_dir(&other)?;
    let mut command = interrupted.transfer().command()?;
    let said = Said::of(&run(command.env("STATE_DIRECTORY", &other), TIMEOUT)?.success()?.out())?;
    ensure!(said.resumed.is_none() && said.warnings.is_empty(), "{said:?}");
    ensure!(checkpoint.exists(), "it was deleted");
    snapshot::delete(&interrupted.volume.join("s1"))?;
    let said = Said::of(&interrupted.transfer().finish()?.out())?;
    ensure!(said.resumed.is_some(), "{said:?}");
    interrupted.is_whole()
}

/// A run that died after the publication leaves its checkpoint.
#[test]
fn the_checkpoint_of_a_published_subvolume_is_deleted() -> Result<()> {
    let interrupted = Interrupted::new()?;
    let mut command = Receiver::Ours.command()?;
    command.args(["--checkpoint-bytes", "0", "-f"]).arg(&interrupted.stream).arg(interrupted.volume.path());
    run(&mut command, TIMEOUT)?.success()?;
    interrupted.checkpoint()?;
    let again = run(&mut interrupted.transfer().command()?, TIMEOUT)?;
    ensure!(again.code() == 1 && again.err().contains("exists"), "{}", again.err());
    interrupted.is_whole()
}

#[test]
fn no_resume_starts_over_and_discard_deletes() -> Result<()> {
    let interrupted = Interrupted::new()?;
    let discard = |sign: &str| -> Result<String> {
        let mut command = Receiver::Ours.command()?;
        Ok(run(command.args(["--discard", sign]).arg(interrupted.volume.path()), TIMEOUT)?.success()?.out())
    };
    ensure!(discard("--json")?.contains("\"checkpoints\":1"));
    let (_, hidden) = names(interrupted.volume.path())?;
    ensure!(!hidden.iter().any(|name| name.contains("checkpoint")), "{hidden:?}");
    ensure!(discard("-v")?.starts_with("0 "));
    interrupted.interrupt()?;
    let mut command = interrupted.transfer().command()?;
    let said = Said::of(&run(command.arg("--no-resume"), TIMEOUT)?.success()?.out())?;
    ensure!(said.resumed.is_none() && said.warnings.is_empty(), "{said:?}");
    interrupted.is_whole()
}

#[test]
fn mutated_journals_never_make_a_wrong_tree() -> Result<()> {
    let interrupted = Interrupted::new()?;
    let mut random = Random::new(seed(3)?);
    let journal = interrupted.journal()?;
    let whole = fs::read(&journal)?;
    for _ in 0..rounds(8, 2000) {
        let mut bytes = whole.clone();
        for _ in 0..=random.below(3) {
            let at = usize::try_from(random.below(bytes.len() as u64))?;
            match random.below(3) {
                0 => bytes[at] = u8::try_from(random.below(256))?,
                1 => bytes.truncate(at.max(1)),
                _ => bytes.insert(at, u8::try_from(random.below(256))?),
            }
        }
        let same = bytes == whole;
        let Ok(path) = interrupted.journal() else { anyhow::bail!("the journal is gone") };
        fs::write(&path, &bytes)?;
        let said = Said::of(&interrupted.transfer().finish()?.out())?;
        ensure!(said.resumed.is_none() || same, "a mutated journal was used: {}", bytes.escape_ascii());
        interrupted.is_whole()?;
        interrupted.begin_again()?;
    }
    Ok(())
}
