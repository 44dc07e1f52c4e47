//! Random arguments: some that mean something, more that do not.

use std::collections::HashMap;
use std::fs::File;
use std::os::fd::OwnedFd;
use std::os::unix::fs::OpenOptionsExt as _;
use std::os::unix::net::UnixStream;

use anyhow::{Result, bail};
use butterdock_dbus::names::interface;
use butterdock_tests::chaos::{Load, Stage};
use butterdock_tests::trees::{Content, Random};
use nix::fcntl::OFlag;
use zbus::wire::StructureBuilder;
use zbus::{Fd, Structure, Variant};

use crate::methods::Method;

/// Descriptors of every kind, and the streams that some of them lead to.
pub(crate) struct Arguments {
    folder: std::path::PathBuf,
    silent: OwnedFd,
    _writer: OwnedFd,
}

impl Arguments {
    pub(crate) fn new(stage: &Stage) -> Result<Self> {
        let folder = stage.join("fuzz");
        std::fs::create_dir(&folder)?;
        let load = Load::new("fuzzed", 5, 3);
        std::fs::write(folder.join("whole"), load.bytes())?;
        std::fs::write(folder.join("cut"), load.bytes().get(..load.bytes().len() / 2).unwrap_or_default())?;
        std::fs::write(folder.join("noise"), Content::Noise.bytes(10_000, 1))?;
        let (silent, writer) = std::io::pipe()?;
        Ok(Self { folder, silent: silent.into(), _writer: writer.into() })
    }

    /// The body of a call; none where there are no arguments.
    pub(crate) fn random(&self, method: &Method, random: &mut Random) -> Result<Option<Structure<'static>>> {
        let mut body = StructureBuilder::new();
        for signature in &method.arguments {
            body.push_value(match signature.as_str() {
                "s" => text(random).into(),
                "h" => Variant::Fd(Fd::from(self.descriptor(random)?)),
                "a{sv}" => Variant::from(options(random)),
                "v" => Variant::Variant(Box::new(value(random))),
                other => bail!("nothing is drawn for arguments of type {other} yet: {method:?}"),
            });
        }
        Ok(if method.arguments.is_empty() { None } else { Some(body.build()?) })
    }

    fn descriptor(&self, random: &mut Random) -> Result<OwnedFd> {
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
            9 => Ok(self.silent.try_clone()?),
            _ => file("whole"),
        }
    }
}

fn text(random: &mut Random) -> String {
    match random.below(12) {
        0 => String::new(),
        1 => "\u{1b}[2J\u{202e}\n".to_owned(),
        2 => "x".repeat(usize::try_from(random.below(100_000)).unwrap_or(0)),
        3 => "../../etc".to_owned(),
        4 => pick(random, &["State", "Free", "Version", "NoSuchProperty"]).to_owned(),
        5 => pick(random, &interface::ALL).to_owned(),
        6 => "org.freedesktop.DBus.Properties".to_owned(),
        7 => "日本 été".to_owned(),
        8 => "pool".to_owned(),
        _ => "tank".to_owned(),
    }
}

fn options(random: &mut Random) -> HashMap<String, Variant<'static>> {
    // Most calls are to come through this door.
    let count = random.below(6).saturating_sub(3);
    let key = |random: &mut Random| match random.below(6) {
        0 => text(random),
        _ => pick(random, &["name", "verify", "force_decompress", "total"]).to_owned(),
    };
    (0..count).map(|_| (key(random), value(random))).collect()
}

fn value(random: &mut Random) -> Variant<'static> {
    match random.below(12) {
        0 => Variant::from(random.number()),
        1 => Variant::from(random.below(2) == 0),
        2 => Variant::from(f64::NAN),
        3 => Variant::from(u32::MAX),
        4 => Variant::from(i64::MIN),
        5 => Variant::from(text(random)),
        6 => Variant::from(Content::Noise.bytes(usize::try_from(random.below(300)).unwrap_or(0), random.number())),
        7 => Variant::from(vec![text(random), text(random)]),
        8 => Variant::Variant(Box::new(Variant::from(vec![random.number()]))),
        9 => Variant::from(format!("n{}", random.below(50))),
        10 => Variant::from(format!("n{}", random.below(50)).into_bytes()),
        _ => Variant::from(u64::MAX),
    }
}

fn pick(random: &mut Random, words: &[&'static str]) -> &'static str {
    let at = usize::try_from(random.below(words.len() as u64)).unwrap_or(0);
    words.get(at).copied().unwrap_or_default()
}
