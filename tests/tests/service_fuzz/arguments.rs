//! Random arguments: some valid, most invalid.

use std::collections::{BTreeMap, HashMap};
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

/// The names of what is configured.
const NAMES: [&str; 4] = ["home", "tank", "pool", BLUE];
/// So many snapshots are drawn from.
const SNAPSHOTS: usize = 20;

/// Descriptors of every kind, the streams that some of them lead to, and words that mean something here.
pub(crate) struct Arguments {
    folder: std::path::PathBuf,
    words: Vec<String>,
    /// The uuids of the latest snapshots that were listed.
    snapshots: Vec<String>,
    /// The options of each method, by its interface and name, as the service has named them.
    options: BTreeMap<(String, String), Vec<String>>,
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
        let (snapshots, options) = (Vec::new(), BTreeMap::new());
        Ok(Self { folder, words, snapshots, options, silent: silent.into(), _writer: writer.into() })
    }

    /// The uuid of a snapshot. The latest few are drawn.
    pub(crate) fn learn(&mut self, snapshot: String) {
        if !self.snapshots.contains(&snapshot) {
            self.snapshots.push(snapshot);
        }
        if self.snapshots.len() > SNAPSHOTS {
            self.snapshots.remove(0);
        }
    }

    /// The options of a method, from its answer to one that it does not have.
    pub(crate) fn learn_options(&mut self, method: &Method, sentence: &str) {
        let Some((_, rest)) = sentence.split_once("there is no option \"") else { return };
        let named = rest.split_once("; there is only ").or_else(|| rest.split_once("; there are "));
        let Some((_, named)) = named else { return };
        let key = (method.interface.clone(), method.name.clone());
        self.options.insert(key, named.split(", ").map(str::to_owned).collect());
    }

    /// The body of a call; none where there are no arguments.
    pub(crate) fn random(&self, method: &Method, random: &mut Random) -> Result<Option<Structure<'static>>> {
        if method.name == "Enrol" && random.below(6) == 0 {
            return Ok(Some(StructureBuilder::new().append_field(Variant::from(format(random))).build()?));
        }
        let mut body = StructureBuilder::new();
        for (name, signature) in &method.arguments {
            body.push_value(match signature.as_str() {
                "s" if name == "snapshot" => self.snapshot(random).into(),
                "as" if name == "snapshots" => Variant::from(vec![self.snapshot(random)]),
                // What the other calls need stays configured.
                "s" if method.name.starts_with("Remove") => format!("not {}", self.text(random)).into(),
                "s" if name == "volume" && random.below(3) > 0 => pick(random, &["tank", "pool"]).to_owned().into(),
                "s" if name == "name" && random.below(2) > 0 => pick(random, &NAMES).to_owned().into(),
                "s" => self.text(random).into(),
                "as" => Variant::from(vec![self.text(random)]),
                // The root of a snapshot: no other path that is drawn exists.
                "ay" if name == "path" && random.below(2) > 0 => Variant::from(Vec::<u8>::new()),
                "ay" => Variant::from(self.text(random).into_bytes()),
                "aay" => Variant::from(vec![self.text(random).into_bytes()]),
                "h" => Variant::Fd(Fd::from(self.descriptor(method, random)?)),
                "a{sv}" => Variant::from(self.options(method, random)),
                "v" => Variant::Variant(Box::new(self.value(random))),
                other => bail!("nothing is drawn for arguments of type {other} yet: {method:?}"),
            });
        }
        Ok(if method.arguments.is_empty() { None } else { Some(body.build()?) })
    }

    fn snapshot(&self, random: &mut Random) -> String {
        let at = usize::try_from(random.below(self.snapshots.len().max(1) as u64)).unwrap_or(0);
        match self.snapshots.get(at) {
            Some(snapshot) if random.below(3) > 0 => snapshot.clone(),
            Some(_) | None => self.text(random),
        }
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
                let all = || self.words.iter().chain(&self.snapshots);
                let at = usize::try_from(random.below(all().count() as u64)).unwrap_or(0);
                all().nth(at).cloned().unwrap_or_default()
            }
            _ => "tank".to_owned(),
        }
    }

    fn options(&self, method: &Method, random: &mut Random) -> HashMap<String, Variant<'static>> {
        // Most calls have no options: wrong ones are refused before the method begins.
        let count = random.below(6).saturating_sub(3);
        let known = self.options.get(&(method.interface.clone(), method.name.clone())).map_or(&[][..], Vec::as_slice);
        let key = |random: &mut Random| {
            let at = usize::try_from(random.below(known.len().max(1) as u64)).unwrap_or(0);
            match known.get(at) {
                Some(key) if random.below(6) > 0 => key.clone(),
                Some(_) | None => self.text(random),
            }
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
