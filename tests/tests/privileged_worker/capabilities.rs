//! Which capabilities the engine needs: all that a worker keeps, and no other.

use std::fs::File;
use std::os::fd::AsFd as _;
use std::path::{Path, PathBuf};

use anyhow::{Context as _, Result, anyhow, ensure};
use butterdock_receive::{Control, Options, Silent, receive};
use butterdock_tests::compare::{Rules, Tree, differences};
use butterdock_tests::snapshot::{self, Proto};
use butterdock_tests::{Layout, Sandbox, Volume, trees};
use rustix::thread::{CapabilitySet, CapabilitySets, set_capabilities};

/// What a worker keeps.
pub(crate) const KEPT: CapabilitySet = CapabilitySet::SYS_ADMIN
    .union(CapabilitySet::CHOWN)
    .union(CapabilitySet::DAC_OVERRIDE)
    .union(CapabilitySet::FOWNER)
    .union(CapabilitySet::FSETID)
    .union(CapabilitySet::MKNOD)
    .union(CapabilitySet::SETFCAP)
    .union(CapabilitySet::LINUX_IMMUTABLE);

/// Streams that ask for everything that a stream can ask for, and what they were made from.
struct Everything {
    streams: Vec<(PathBuf, PathBuf, Rules)>,
    // They keep the snapshots mounted.
    _volumes: [Volume; 2],
}

type Step = fn(&Path) -> Result<()>;

impl Everything {
    fn new(sandbox: &Sandbox) -> Result<Self> {
        const FLAGS: Rules = Rules { flags: true, ..Rules::SOURCE_OF_INCREMENT };
        const STEPS: [(&str, Step, Proto, Rules); 4] = [
            ("everything", trees::build, Proto::TwoCompressed, Rules::SOURCE),
            ("f0", trees::prepare_flags, Proto::Two, FLAGS),
            ("f1", trees::set_flags, Proto::Two, FLAGS),
            ("f2", trees::clear_and_change, Proto::Two, FLAGS),
        ];
        let volumes =
            [sandbox.volume("compressed", &Layout::sized(2048, "compress=zstd"))?, sandbox.plain_volume("plain")?];
        let [compressed, plain] = &volumes;
        let mut streams: Vec<(PathBuf, PathBuf, Rules)> = Vec::new();
        for (name, step, proto, rules) in STEPS {
            let volume = if proto == Proto::Two { plain } else { compressed };
            let (live, frozen, file) = (volume.join("live"), volume.join(name), sandbox.join(name));
            let parent = live.exists().then(|| streams.last().map(|(_, before, _)| before.clone())).flatten();
            if parent.is_none() {
                snapshot::create(&live)?;
            }
            step(&live)?;
            snapshot::freeze(&live, &frozen)?;
            snapshot::send(proto, parent.as_deref(), &frozen, &file)?;
            streams.push((file, frozen, rules));
        }
        Ok(Self { streams, _volumes: volumes })
    }

    /// Receives it all with these capabilities alone; answers what went wrong.
    fn received_with(&self, capabilities: CapabilitySet, into: &Path) -> Result<Vec<String>> {
        let mut wrong = Vec::new();
        for (stream, source, rules) in &self.streams {
            let (input, directory) = (File::open(stream)?, File::open(into)?);
            let run = move || -> Result<Option<String>> {
                let sets = CapabilitySets {
                    effective: capabilities,
                    permitted: capabilities,
                    inheritable: CapabilitySet::empty(),
                };
                set_capabilities(None, sets)?;
                let (options, control) = (Options::default(), Control::new()?);
                let received = receive(input.as_fd(), directory.as_fd(), &options, &control, &Silent);
                Ok(received.err().map(|failure| failure.to_string()))
            };
            // A thread of its own: what it gives up is the thread's.
            let failed = std::thread::spawn(run).join().map_err(|_panic| anyhow!("the engine panicked"))??;
            match failed {
                Some(failure) => wrong.push(failure),
                None => {
                    let name = source.file_name().context("a snapshot's name")?;
                    wrong.extend(differences(&Tree::read(source)?, &Tree::read(&into.join(name))?, *rules));
                }
            }
        }
        Ok(wrong)
    }
}

#[test]
fn the_engine_needs_exactly_the_workers_capabilities() -> Result<()> {
    let sandbox = Sandbox::new()?;
    let everything = Everything::new(&sandbox)?;
    let receive_with = |capabilities: CapabilitySet, name: &str| -> Result<Vec<String>> {
        let volume = sandbox.plain_volume(name)?;
        everything.received_with(capabilities, volume.path())
    };
    let with_all = receive_with(KEPT, "all").context("with all that it keeps")?;
    ensure!(with_all.is_empty(), "something is missing: {with_all:?}");
    let mut needless = Vec::new();
    for (name, one) in KEPT.iter_names() {
        let without = receive_with(KEPT.difference(one), name).with_context(|| format!("without {name}"))?;
        if without.is_empty() {
            needless.push(name);
        }
        println!("without {name}: {without:#?}");
    }
    ensure!(needless.is_empty(), "kept for nothing: {needless:?}");
    Ok(())
}
