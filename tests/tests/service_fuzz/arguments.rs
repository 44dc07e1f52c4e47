//! Random arguments: some valid, most invalid.

use std::collections::HashMap;
use std::fs::File;
use std::os::fd::OwnedFd;
use std::os::unix::fs::OpenOptionsExt as _;
use std::os::unix::net::UnixStream;

use anyhow::{Result, bail};
use butterdock_dbus::names::interface;
use butterdock_tests::trees::{Content, Random};
use butterdock_tests::{Load, Service};
use nix::fcntl::OFlag;
use zbus::wire::StructureBuilder;
use zbus::{Fd, Structure, Variant};

use crate::drives::{BLUE, RED, RED_SIZE};
use crate::methods::Method;

/// So many words are drawn from.
const WORDS: usize = 24;
/// The options of every method, and no others.
const OPTIONS: &[&str] = &[
    "revision",
    "reset",
    "create",
    "name",
    "verify",
    "force_decompress",
    "total",
    "estimate",
    "backup",
    "format",
    "size",
    "serial",
    "label",
];

/// Descriptors of every kind, the streams that some of them lead to, and words that mean something here.
pub(crate) struct Arguments {
    folder: std::path::PathBuf,
    words: Vec<String>,
    silent: OwnedFd,
    _writer: OwnedFd,
}

impl Arguments {
    pub(crate) fn new(fixture: &Service) -> Result<Self> {
        let folder = fixture.join("fuzz");
        std::fs::create_dir(&folder)?;
        let load = Load::new("fuzzed", 5, 3);
        std::fs::write(folder.join("whole"), load.bytes())?;
        std::fs::write(folder.join("cut"), load.bytes().get(..load.bytes().len() / 2).unwrap_or_default())?;
        std::fs::write(folder.join("noise"), Content::Noise.bytes(10_000, 1))?;
        let (silent, writer) = std::io::pipe()?;
        let words = [BLUE, RED, "home", "whole.btrfs"].map(str::to_owned).into();
        Ok(Self { folder, words, silent: silent.into(), _writer: writer.into() })
    }

    /// Something that means something from now on: the uuid of a snapshot. The latest few are drawn.
    pub(crate) fn learn(&mut self, word: String) {
        if !self.words.contains(&word) {
            self.words.push(word);
        }
        if self.words.len() > WORDS {
            // Those that are there from the beginning stay.
            self.words.remove(4);
        }
    }

    /// The body of a call; none where there are no arguments.
    pub(crate) fn random(&self, method: &Method, random: &mut Random) -> Result<Option<Structure<'static>>> {
        if method.name == "Enrol" && random.below(6) == 0 {
            return Ok(Some(StructureBuilder::new().append_field(Variant::from(format(random))).build()?));
        }
        let mut body = StructureBuilder::new();
        for signature in &method.arguments {
            body.push_value(match signature.as_str() {
                // What the other calls need stays configured.
                "s" if method.name.starts_with("Remove") => format!("not {}", self.text(random)).into(),
                "s" => self.text(random).into(),
                "as" => Variant::from(vec![self.text(random)]),
                "ay" => Variant::from(self.text(random).into_bytes()),
                "aay" => Variant::from(vec![self.text(random).into_bytes()]),
                "h" => Variant::Fd(Fd::from(self.descriptor(method, random)?)),
                "a{sv}" => Variant::from(self.options(random)),
                "v" => Variant::Variant(Box::new(self.value(random))),
                other => bail!("nothing is drawn for arguments of type {other} yet: {method:?}"),
            });
        }
        Ok(if method.arguments.is_empty() { None } else { Some(body.build()?) })
    }

    fn text(&self, random: &mut Random) -> String {
        match random.below(14) {
            0 => String::new(),
            1 => "\u{1b}[2J\u{202e}\n".to_owned(),
            2 => "x".repeat(usize::try_from(random.below(100_000)).unwrap_or(0)),
            3 => "../../etc".to_owned(),
            4 => pick(random, &["State", "Free", "Version", "NoSuchProperty"]).to_owned(),
            5 => pick(random, &interface::ALL).to_owned(),
            6 => "org.freedesktop.DBus.Properties".to_owned(),
            7 => "日本 été".to_owned(),
            8 => "pool".to_owned(),
            9..=11 => {
                let at = usize::try_from(random.below(self.words.len() as u64)).unwrap_or(0);
                self.words.get(at).cloned().unwrap_or_default()
            }
            _ => "tank".to_owned(),
        }
    }

    fn options(&self, random: &mut Random) -> HashMap<String, Variant<'static>> {
        // Most calls have no options: wrong ones are refused before the method begins.
        let count = random.below(6).saturating_sub(3);
        let key = |random: &mut Random| match random.below(6) {
            0 => self.text(random),
            _ => pick(random, OPTIONS).to_owned(),
        };
        (0..count).map(|_| (key(random), self.value(random))).collect()
    }

    fn value(&self, random: &mut Random) -> Variant<'static> {
        match random.below(12) {
            0 => Variant::from(random.number()),
            1 => Variant::from(random.below(2) == 0),
            2 => Variant::from(f64::NAN),
            3 => Variant::from(u32::MAX),
            4 => Variant::from(i64::MIN),
            5 => Variant::from(self.text(random)),
            6 => Variant::from(Content::Noise.bytes(usize::try_from(random.below(300)).unwrap_or(0), random.number())),
            7 => Variant::from(vec![self.text(random), self.text(random)]),
            8 => Variant::Variant(Box::new(Variant::from(vec![random.number()]))),
            9 => Variant::from(format!("n{}", random.below(50))),
            10 => Variant::from(format!("n{}", random.below(50)).into_bytes()),
            _ => Variant::from(u64::MAX),
        }
    }

    fn descriptor(&self, method: &Method, random: &mut Random) -> Result<OwnedFd> {
        let file = |name: &str| Ok(OwnedFd::from(File::open(self.folder.join(name))?));
        match random.below(12) {
            0 => file("cut"),
            1 => file("noise"),
            2 => file("."),
            3 => Ok(File::open("/dev/null")?.into()),
            4 => Ok(File::options().read(true).custom_flags(OFlag::O_PATH.bits()).open("/proc/version")?.into()),
            5 => Ok(File::options().write(true).open("/dev/null")?.into()),
            6 => Ok(std::io::pipe()?.0.into()),
            7 => Ok(std::io::pipe()?.1.into()),
            8 => Ok(UnixStream::pair()?.0.into()),
            // A secret is waited for ten seconds: few of them are enough.
            9 if !["Unlock", "EnrolEncrypted"].contains(&&*method.name) || random.below(32) == 0 => {
                Ok(self.silent.try_clone()?)
            }
            _ => file("whole"),
        }
    }
}

/// The options that format a drive, of the one drive that may be formatted.
fn format(random: &mut Random) -> HashMap<&'static str, Variant<'static>> {
    let mut all = HashMap::from([
        ("format", Variant::from(true)),
        ("size", Variant::from(RED_SIZE)),
        ("serial", Variant::from("")),
        ("label", Variant::from(RED)),
    ]);
    if random.below(3) == 0 {
        all.remove(pick(random, &["format", "size", "serial", "label"]));
    }
    all
}

fn pick(random: &mut Random, words: &[&'static str]) -> &'static str {
    let at = usize::try_from(random.below(words.len() as u64)).unwrap_or(0);
    words.get(at).copied().unwrap_or_default()
}
