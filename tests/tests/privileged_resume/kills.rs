//! Chained kills of one transfer, until it is done.

use std::fs;
use std::path::Path;
use std::process::Command;

use anyhow::{Context as _, Result, ensure};
use butterdock_tests::compare::{Rules, Tree};
use butterdock_tests::snapshot::{self, Proto};
use butterdock_tests::trees::{self, Content, Random};
use butterdock_tests::{Layout, Receiver, Sandbox, TIMEOUT, Volume, names, rounds, run, seed};

use crate::fixture::{Said, Transfer, check};

const MIB: u64 = 1 << 20;

/// The bytes that were written to the device of a volume so far.
fn written(volume: &Volume) -> Result<u64> {
    let device = volume.device()?;
    let name = Path::new(&device).file_name().context("a device")?;
    let stat = fs::read_to_string(Path::new("/sys/block").join(name).join("stat"))?;
    // Documentation/block/stat.rst: the seventh number is in sectors of 512 bytes.
    Ok(stat.split_whitespace().nth(6).context("a seventh number")?.parse::<u64>()? * 512)
}

/// Kills the transfer again and again, each time after at least one new checkpoint, as long as enough of the stream is left; then
/// lets it finish.
fn chained(transfer: &Transfer<'_>, kills: u32, random: &mut Random) -> Result<Said> {
    let (mut reached, length) = (None, fs::metadata(&transfer.stream)?.len());
    for kill in 0..kills {
        if length.saturating_sub(reached.unwrap_or_default()) < 4 * transfer.bytes {
            ensure!(kill * 2 >= kills, "only {kill} kills of {kills}: the stream is too short");
            break;
        }
        let said = transfer.killed_after(1 + usize::try_from(random.below(2))?)?;
        ensure!(said.resumed == reached, "kill {kill}: resumed from {:?}, not from {reached:?}", said.resumed);
        ensure!(said.warnings.is_empty(), "{:?}", said.warnings);
        let last = said.checkpoints.last().copied().context("a checkpoint")?;
        ensure!(reached.is_none_or(|before| before < last), "kill {kill}: {said:?} after {reached:?}");
        let (visible, _) = names(transfer.volume.path())?;
        ensure!(visible.iter().all(|name| name != "s1"), "kill {kill}: {visible:?} can be seen");
        // The run may have made another one before it died.
        reached = resumable(transfer, last)?;
    }
    let said = Said::of(&transfer.finish()?.out())?;
    ensure!(said.resumed >= reached, "resumed from {:?}, not from {reached:?}", said.resumed);
    Ok(said)
}

/// From where the next run resumes: at least the last checkpoint that the killed run reported.
fn resumable(transfer: &Transfer<'_>, reported: u64) -> Result<Option<u64>> {
    let journals = transfer.volume.join(".butterdock-staging/checkpoints");
    let folder = fs::read_dir(&journals)?.next().context("a folder of journals")??.path();
    for entry in fs::read_dir(folder)? {
        let path = entry?.path();
        if path.is_file() && path.extension().is_none() {
            let text = fs::read_to_string(&path)?;
            let journal: serde_json::Value = serde_json::from_str(text.split_once('\n').context("two lines")?.1)?;
            let offset = journal["prefix"]["offset"].as_u64().context("an offset")?;
            ensure!(offset >= reported, "the journal has {offset}, and {reported} was reported");
            return Ok(Some(offset));
        }
    }
    anyhow::bail!("no journal")
}

#[test]
fn a_full_transfer_that_is_killed_again_and_again_is_whole() -> Result<()> {
    let (sandbox, mut random, kills) = (Sandbox::new()?, Random::new(seed(1)?), rounds(5, 60));
    let source = sandbox.volume("source", &Layout::sized(6144, "compress=zstd"))?;
    let live = source.join("live");
    snapshot::create(&live)?;
    trees::build(&live)?;
    // Each kill has two checkpoints and what the run reads until it dies.
    for number in 0..u64::from(kills) * 8 {
        let content = if number % 4 == 0 { Content::Mixed } else { Content::Noise };
        fs::write(live.join(format!("data{number}")), content.bytes(8 << 20, number))?;
    }
    snapshot::freeze(&live, &source.join("s1"))?;
    let stream = sandbox.join("stream");
    snapshot::send(Proto::TwoCompressed, None, &source.join("s1"), &stream)?;
    let mut volume = sandbox.volume("ours", &Layout::sized(8192, ""))?;
    let before = written(&volume)?;
    let transfer = Transfer { stream: stream.clone(), volume: &volume, bytes: 16 * MIB };
    chained(&transfer, kills, &mut random)?;
    transfer.is_whole("s1", &Tree::read(&source.join("s1"))?, Rules::SOURCE)?;
    nix::unistd::syncfs(fs::File::open(volume.path())?)?;
    let (written, length) = (written(&volume)? - before, fs::metadata(&stream)?.len());
    println!("{kills} kills: {written} bytes written for a stream of {length}");
    ensure!(written * 10 <= length * 13, "{written} bytes written for a stream of {length}");
    volume.unmount()?;
    check(volume.image())
}

#[test]
fn an_increment_with_clones_and_renames_that_is_killed_is_whole() -> Result<()> {
    let (sandbox, mut random, kills) = (Sandbox::new()?, Random::new(seed(2)?), rounds(5, 60));
    let source = sandbox.volume("source", &Layout::sized(3072, "compress=zstd"))?;
    let live = source.join("live");
    snapshot::create(&live)?;
    trees::build(&live)?;
    for number in 0..40_u64 {
        fs::create_dir_all(live.join(format!("many/{number}")))?;
        for file in 0..20_u64 {
            fs::write(live.join(format!("many/{number}/{file}")), Content::Mixed.bytes(20_000, number * 20 + file))?;
        }
    }
    snapshot::freeze(&live, &source.join("s0"))?;
    trees::change(&live)?;
    let shared = live.join("shared");
    fs::create_dir(&shared)?;
    for number in 0..u64::from(kills) * 12 {
        let data = live.join(format!("data{number}"));
        fs::write(&data, Content::Noise.bytes(1 << 20, number))?;
        reflink(&data, &shared.join(format!("copy{number}")))?;
        let from = live.join(format!("many/{}", number % 40));
        if from.exists() {
            fs::rename(&from, shared.join(format!("moved{number}")))?;
        }
    }
    snapshot::freeze(&live, &source.join("s1"))?;
    let (full, stream) = (sandbox.join("full"), sandbox.join("stream"));
    snapshot::send(Proto::TwoCompressed, None, &source.join("s0"), &full)?;
    snapshot::send(Proto::TwoCompressed, Some(&source.join("s0")), &source.join("s1"), &stream)?;
    let volume = sandbox.volume("ours", &Layout::sized(3072, ""))?;
    Receiver::Ours.receive(&full, volume.path())?;
    let transfer = Transfer { stream, volume: &volume, bytes: MIB };
    chained(&transfer, kills, &mut random)?;
    transfer.is_whole("s1", &Tree::read(&source.join("s1"))?, Rules::SOURCE_OF_INCREMENT)?;
    // As in one go, by the standard tool.
    let standard = sandbox.volume("standard", &Layout::sized(3072, ""))?;
    Receiver::Standard.receive(&full, standard.path())?;
    Receiver::Standard.receive(&transfer.stream, standard.path())?;
    transfer.is_whole("s1", &Tree::read(&standard.join("s1"))?, Rules::COPIES)?;
    for number in 0..u64::from(kills) * 12 {
        let (data, copy) = (volume.join(format!("s1/data{number}")), volume.join(format!("s1/shared/copy{number}")));
        ensure!(first_extent(&data)? == first_extent(&copy)?, "the extents of copy{number} are not shared");
    }
    // The standard tool takes the result as a parent, and sends it on.
    fs::write(live.join("later"), "later")?;
    snapshot::freeze(&live, &source.join("s2"))?;
    let next = sandbox.join("next");
    snapshot::send(Proto::TwoCompressed, Some(&source.join("s1")), &source.join("s2"), &next)?;
    Receiver::Standard.receive(&next, volume.path())?;
    snapshot::send(Proto::TwoCompressed, Some(&volume.join("s0")), &volume.join("s1"), &sandbox.join("onward"))?;
    let mut volume = volume;
    volume.unmount()?;
    check(volume.image())
}

fn reflink(from: &Path, to: &Path) -> Result<()> {
    rustix::fs::ioctl_ficlone(fs::File::create(to)?, fs::File::open(from)?)?;
    Ok(())
}

/// Where the first extent of a file lies.
fn first_extent(file: &Path) -> Result<String> {
    let found = run(Command::new("filefrag").arg("-v").arg(file), TIMEOUT)?.success()?;
    let line = found.out().lines().find(|line| line.trim_start().starts_with("0:")).map(str::to_owned);
    Ok(line.context("an extent")?.split(':').nth(2).context("a physical offset")?.to_owned())
}
