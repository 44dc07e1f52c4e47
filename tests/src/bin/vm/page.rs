//! The page in Cockpit, in a browser outside of the machine: it encrypts a drive and unlocks it.

use std::path::Path;
use std::process::Command;

use anyhow::Result;

use crate::environment::{Environment, FAST, tool};
use crate::other_drives::LOCKED;

/// The passphrase that is typed into the page. It must not be in the journal.
const PASSPHRASE: &str = "correct zebra";

/// The page erases, encrypts and enrols a drive, refuses another passphrase, unlocks it with the right one, and removes it safely.
///
/// # Errors
///
/// It does not, or the passphrase is where others can read it.
pub(crate) fn encrypts_and_unlocks(lab: &mut Environment) -> Result<()> {
    lab.step("Cockpit is there, and its port is forwarded");
    lab.run(BEGIN)?;
    let port = lab.machine()?.forward(9091)?;
    lab.drive("teal")?;
    lab.plug("teal", FAST)?;
    lab.drive_is("present")?;
    let page = |lab: &mut Environment, what: &str| {
        lab.step(&format!("  in the browser: {what}"));
        let script = Path::new(env!("CARGO_MANIFEST_DIR")).join("../web/test/encrypted.mjs");
        let address = format!("http://127.0.0.1:{port}");
        tool(Command::new("node").arg(script).args([what, &address, "SERIAL-teal", PASSPHRASE]))
    };

    page(lab, "encrypt")?;
    lab.wait_for(LOCKED)?;
    lab.run("cryptsetup luksDump /dev/sda | grep -x 'Version:.*2'; none ls /var/lib/butterdock/keys/* 2>/dev/null")?;
    lab.pull("teal")?;
    lab.plug("teal", FAST)?;
    lab.drive_is("locked")?;
    page(lab, "unlock")?;
    lab.wait_for(LOCKED)?;
    lab.run(&END.replace("PASSPHRASE", PASSPHRASE))?;
    lab.pull("teal")
}

/// Who logs in is root. What is changed for that is kept, see [`END`]. Without TLS: a certificate takes this machine long.
const BEGIN: &str = "mkdir -p /run/systemd/network
printf '[Match]\nDriver=virtio_net\n[Network]\nAddress=10.0.2.15/24\nLinkLocalAddressing=no\nIPv6AcceptRA=no\n' >/run/systemd/network/50-page.network
systemctl start systemd-networkd
cp -a /etc/shadow /root/shadow; echo 'root:page' | chpasswd
[ ! -e /etc/cockpit/disallowed-users ] || mv /etc/cockpit/disallowed-users /root
systemd-run --quiet --unit=page /usr/lib/cockpit/cockpit-ws --no-tls --port=9091";

const END: &str = "none journalctl --no-pager -q -b --grep 'PASSPHRASE'
none grep -qs 'PASSPHRASE' /proc/[0-9]*/cmdline
butterdock forget Teal
systemctl stop page systemd-networkd
mv /root/shadow /etc/shadow
[ ! -e /root/disallowed-users ] || mv /root/disallowed-users /etc/cockpit";
