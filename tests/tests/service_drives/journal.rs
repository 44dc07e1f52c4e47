//! The service's journal entries, received by a socket of the test.

use std::collections::HashMap;
use std::fs;
use std::os::unix::net::UnixDatagram;
use std::process::Command;
use std::time::{Duration, Instant};

use anyhow::{Context as _, Result, bail, ensure};
use butterdock_dbus::names::BUS_NAME;
use butterdock_tests::{Disk, DriveFixture, TIMEOUT, butterdockd, shipped, start};

/// Where every journald listens.
const SOCKET: &str = "/run/systemd/journal/socket";

/// The fields of one message, in the journal's own protocol: a name, the length, the bytes; or all in a line.
fn fields(mut message: &[u8]) -> Result<HashMap<String, String>> {
    let mut fields = HashMap::new();
    while let Some(end) = message.iter().position(|byte| *byte == b'\n') {
        let name = String::from_utf8(message[..end].to_vec())?;
        if let Some((name, value)) = name.split_once('=') {
            fields.insert(name.to_owned(), value.to_owned());
            message = &message[end + 1..];
            continue;
        }
        let length = message.get(end + 1..end + 9).context("a length")?;
        let length = usize::try_from(u64::from_le_bytes(length.try_into()?))?;
        let value = message.get(end + 9..end + 9 + length).context("a value")?;
        fields.insert(name, String::from_utf8(value.to_vec())?);
        message = message.get(end + 10 + length..).context("a line's end")?;
    }
    Ok(fields)
}

/// The id of the catalogue's entry with this subject.
fn id(subject: &str) -> Result<String> {
    let text = fs::read_to_string(shipped("daemon/data/butterdock.catalog"))?;
    let entry = text.split("\n-- ").find(|entry| entry.contains(&format!("\nSubject: {subject}\n")));
    Ok(entry.and_then(|entry| entry.lines().next()).with_context(|| format!("no entry: {subject}"))?.to_owned())
}

#[test]
fn the_journal_has_an_unknown_drive_with_fields() -> Result<()> {
    let mut fixture = DriveFixture::set()?;
    fixture.stop()?;
    // The stage has a /run of its own.
    fs::create_dir_all("/run/systemd/journal")?;
    let journal = UnixDatagram::bind(SOCKET)?;
    journal.set_read_timeout(Some(Duration::from_millis(500)))?;
    // As systemd has it: standard error is what the variable names.
    let mut command = Command::new("sh");
    command.args(["-c", "JOURNAL_STREAM=$(stat -Lc %d:%i /proc/self/fd/2) exec \"$0\" serve --config \"$1\""]);
    command.arg(butterdockd()?).arg(&fixture.configuration).env("BUTTERDOCK_BUS_ADDRESS", fixture.bus.address());
    let mut running = start(command.env_remove("NOTIFY_SOCKET"))?;
    let began = Instant::now();
    while !fixture.client.has_owner(BUS_NAME)? {
        ensure!(!running.has_ended()? && began.elapsed() < TIMEOUT, "the service does not start");
        std::thread::sleep(Duration::from_millis(5));
    }
    let image = fixture.image("a", "Blue")?;
    let disk = Disk::attach(&image)?;
    let wanted = id("An unknown drive is attached")?;
    let mut buffer = vec![0; 1 << 16];
    let told = loop {
        if let Ok(length) = journal.recv(&mut buffer) {
            let fields = fields(&buffer[..length])?;
            if fields.get("MESSAGE_ID") == Some(&wanted) {
                break fields;
            }
        } else if began.elapsed() > TIMEOUT {
            bail!("nothing of it is in the journal");
        }
    };
    let is = |name: &str, value: &str| told.get(name).is_some_and(|has| has == value);
    ensure!(is("SYSLOG_IDENTIFIER", "butterdockd") && is("PRIORITY", "5"), "{told:#?}");
    ensure!(told.get("BUTTERDOCK_DRIVE").is_some_and(|id| !id.is_empty()), "{told:#?}");
    ensure!(told["MESSAGE"].contains(&disk.name()) && told["MESSAGE"].contains("Blue"), "{told:#?}");
    Ok(())
}
