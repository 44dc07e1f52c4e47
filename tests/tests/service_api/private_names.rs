//! Only authorized callers see names and paths.

use anyhow::{Context as _, Result, ensure};
use butterdock_dbus::names::ROOT;
use butterdock_dbus::names::interface::{JOB, MANAGER, VOLUME};
use butterdock_tests::wire::{Attribute, Attributes, Stream};
use butterdock_tests::{
    Client, Layout, Recorder, Service, Setup, TANK, error_name, file_of, introspected_objects, no_options, small, tank,
    unfinished,
};
use zbus::message::Type;
use zbus::{Message, Variant};

/// In every name that a stream or the machine can have.
const MARKER: &str = "quetzal";

/// Each stream, and how its job ends.
fn streams() -> Vec<(&'static str, Stream, &'static str)> {
    let good = || {
        let xattr = format!("user.{MARKER}");
        unfinished(MARKER).mkfile(MARKER).xattr(MARKER, &xattr, MARKER).symlink("link", MARKER)
    };
    let inside = |name: &str| Stream::new(2).subvol(format!("{MARKER}{name}")).mkdir(MARKER);
    let unknown = Attributes::path(MARKER).bytes_of(Attribute::XattrName, MARKER);
    let there = format!("{MARKER}/{MARKER}");
    vec![
        ("everything that has a name", good().end(), ""),
        ("a name that is taken", good().end(), "Exists"),
        ("a path that climbs", inside("1").mkfile(format!("../{MARKER}")).end(), "InvalidStream"),
        ("a subvolume's name with a slash", Stream::new(2).subvol(format!("{MARKER}/x")).end(), "InvalidStream"),
        (
            "a subvolume with a hidden name",
            Stream::new(2).subvol(format!(".butterdock-{MARKER}")).end(),
            "InvalidStream",
        ),
        (
            "a payload that is no zstd",
            inside("2").mkfile(&there).encoded(&there, 0, (4096, 4096, 0), 2, MARKER.repeat(9)).end(),
            "InvalidStream",
        ),
        ("a damaged command", inside("3").mkfile(&there).spoil(3), "InvalidStream"),
        ("an early end", inside("4").mkfile(&there), "TruncatedStream"),
        (
            "a parent that is not there",
            Stream::new(2).snapshot(format!("{MARKER}p"), [7; 16], 9).end(),
            "ParentMissing",
        ),
        ("a file that is not there", inside("5").write(format!("{MARKER}/no"), 0, "x").end(), "Failed"),
        ("a directory that is not empty", inside("6").mkfile(&there).rmdir(MARKER).end(), "Failed"),
        ("an xattr of a file that is not there", inside("7").xattr(&there, MARKER, MARKER).end(), "Failed"),
        ("a rename to nowhere", inside("8").rename(MARKER, format!("no/{MARKER}")).end(), "Failed"),
        ("an unknown command", inside("9").command(77, &unknown).end(), "UnsupportedStream"),
        (
            "a clone of what is not there",
            inside("10").mkfile(&there).clone_from(&there, 0, 4096, ((*b"quetzal--quetzal", 3), &there, 0)).end(),
            "ParentMissing",
        ),
    ]
}

/// What must not be in a message: the marker, as it is or in hexadecimal digits; where the volume is; hidden names.
fn betrayal(message: &Message) -> Option<String> {
    let hex: String = MARKER.bytes().map(|byte| format!("{byte:02x}")).collect();
    let bytes = message.data().bytes();
    let needles = [
        MARKER.to_owned(),
        hex.clone(),
        hex.to_uppercase(),
        "butterdock-sandbox-".to_owned(),
        ".butterdock-".to_owned(),
    ];
    needles.into_iter().find(|needle| holds(bytes, needle))
}

fn holds(bytes: &[u8], needle: &str) -> bool {
    bytes.windows(needle.len()).any(|part| part == needle.as_bytes())
}

/// Everything that every user may read.
fn public(client: &Client) -> Result<Vec<Message>> {
    let mut all = vec![
        client.call(ROOT, ("org.freedesktop.DBus.ObjectManager", "GetManagedObjects"), &())?,
        client.call(ROOT, (MANAGER, "ListHistory"), &no_options())?,
    ];
    for object in introspected_objects(client)? {
        for one in object.node.interfaces() {
            let get_all = ("org.freedesktop.DBus.Properties", "GetAll");
            all.extend(client.call(&object.path, get_all, &one.name().as_str()));
        }
        all.push(client.call(&object.path, ("org.freedesktop.DBus.Introspectable", "Introspect"), &())?);
    }
    Ok(all)
}

#[test]
fn public_signals_and_properties_have_no_names() -> Result<()> {
    let mkfs = ["-L", MARKER].map(str::to_owned).to_vec();
    let layout = Layout { mkfs, ..Layout::default() };
    let service = Service::new(&Setup { folder: MARKER, layout, ..Setup::default() })?;
    std::fs::create_dir(service.path(TANK).join(format!("{MARKER}-directory")))?;
    let client = service.client()?;
    let recorder = Recorder::start(&service.bus)?;
    let mut told = 0;
    let mut jobs = Vec::new();
    for (what, stream, error) in streams() {
        let job = client.receive_with(file_of(stream.bytes())?, &no_options())?;
        let ended = client.end_of(&job)?;
        ensure!(ended.1 == error, "{what}: {ended:?}");
        let details = client.call(&job, (JOB, "GetErrorDetails"), &no_options())?;
        told += usize::from(holds(details.data().bytes(), MARKER));
        jobs.push(job);
    }
    ensure!(told >= 10, "only {told} of the details told the name, which is what they are for");
    let mut named = no_options();
    for name in [format!("{MARKER}-chosen"), format!("{MARKER}-directory")] {
        named.insert("name", Variant::from(name));
        let job = client.receive_with(file_of(small("x").bytes())?, &named)?;
        jobs.push(job.clone());
        client.end_of(&job)?;
    }
    named.insert("name", Variant::from(format!("{MARKER}/x")));
    let refused = client.receive_with(file_of(small("x").bytes())?, &named).err().context("a name with a slash")?;
    ensure!(error_name(&refused).ends_with("InvalidArgs"), "{refused}");
    let listed = client.call(&tank(), (VOLUME, "ListSubvolumes"), &no_options())?;
    ensure!(holds(listed.data().bytes(), MARKER), "a caller who may list sees names");
    for message in public(&client)? {
        ensure!(betrayal(&message).is_none(), "{:?} is in {message} {:?}", betrayal(&message), text(&message));
    }
    let recording = recorder.finish(&client)?;
    let mut heard = 0;
    for message in recording.broadcasts() {
        heard += 1;
        ensure!(betrayal(message).is_none(), "{:?} is in {message} {:?}", betrayal(message), text(message));
    }
    ensure!(heard > 3 * jobs.len(), "only {heard} broadcasts for {} jobs", jobs.len());
    // The search finds the marker.
    let found = recording.messages(Type::MethodReturn).filter(|message| betrayal(message).is_some()).count();
    ensure!(found > told, "the recording of answers has the marker {found} times only");
    Ok(())
}

fn text(message: &Message) -> String {
    String::from_utf8_lossy(message.data().bytes()).into_owned()
}
