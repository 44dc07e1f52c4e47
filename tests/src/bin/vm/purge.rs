//! The journal's explanations, and the state after a purge.

use anyhow::{Result, ensure};

use crate::environment::Environment;

/// The catalogue has an explanation for each thing that happened, and nothing is left of the package.
///
/// # Errors
///
/// It has not, or something is.
pub(crate) fn leaves_nothing(lab: &mut Environment) -> Result<()> {
    lab.step("the journal explains every event that happened");
    lab.run(EXPLAINED)?;
    let told = lab.run("journalctl --no-pager -q -t butterdockd -x | grep -o 'Subject: .*' | sort | uniq -c")?;
    for subject in [
        "An unknown drive is attached",
        "A drive was enrolled",
        "An enrolled drive is attached",
        "A backup is done",
        "A backup failed",
        "A drive was unplugged while it was in use",
        "A drive is safe to unplug",
        "A drive was forgotten",
        "A job has started",
        "A job is done",
    ] {
        ensure!(told.contains(subject), "the journal does not say \"{subject}\", but\n{told}");
    }

    lab.step("purged, nothing is left");
    lab.run(
        "rm -f /etc/butterdock/*.key; DEBIAN_FRONTEND=noninteractive apt-get purge -y butterdock butterdock-cockpit
         left=$(find / /run -xdev -iname '*butterdock*' -not -path '/srv/*' -not -path '/var/cache/*')
         [ -z \"$left\" ] || { echo \"left: $left\"; exit 1; }
         systemctl list-unit-files | none grep butterdock; busctl list | none grep Butterdock
         none grep -qs butterdock /proc/[0-9]*/comm",
    )?;
    lab.run(COMPARED).map(drop)
}

/// The catalogue has an entry of ours for each id that the service gave to a message.
const EXPLAINED: &str = "ids() { journalctl --no-pager -q -t butterdockd -o json | grep -o '\"MESSAGE_ID\" *: *\"[0-9a-f]*' | grep -o '[0-9a-f]*$' | sort -u; }
[ $(ids | wc -l) -ge 10 ]
for id in $(ids); do
    journalctl --no-pager --dump-catalog $id | grep -q 'Defined-By: butterdock' || { echo \"no word of $id\"; exit 1; }
done";

/// The list that was made before the package was installed is that of now, but for what a machine writes as it runs; in /etc the
/// contents are compared too, but for what the tools that change groups keep of them as they were.
const COMPARED: &str = "find / -xdev | sort >/run/after; sort /root/before >/run/before
runs='^/(var/(log|cache|tmp|lib/(systemd|dpkg|apt|dbus))|tmp|root|srv|home|lost.found)(/|$)'
comm -13 /run/before /run/after | { grep -vE $runs || true; } | tee /run/more
find /etc -type f -exec sha256sum {} + | sort >/run/etc
sort /root/before.etc | comm -13 - /run/etc | { grep -vE '  /etc/g?(group|shadow)-$' || true; } | tee -a /run/more
[ ! -s /run/more ]";
