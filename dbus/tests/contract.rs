//! Compares the shipped files, the XML, the proxies and the authority table with each other.

#![expect(clippy::expect_used, clippy::panic, clippy::print_stderr, reason = "helpers of tests, outside #[test]")]

use std::collections::BTreeSet;
use std::io::{BufRead as _, BufReader};
use std::path::Path;
use std::process::{Command, Stdio};

use butterdock_dbus::authority::{TABLE, markdown, policy};
use butterdock_dbus::names::{BUS_NAME, interface};
use butterdock_dbus::{
    BackupOptions, EnrolOptions, HISTORY_MAX, HISTORY_PAGE, ImportOptions, ListBackupsOptions, ListHistoryOptions,
    PROBLEMS, ReceiveOptions, RemoveOptions, RestoreOptions, RunOptions, SECRET_MAX, SUBVOLUMES_MAX,
    SafelyRemoveOptions, SetOptions, UnpinOptions, introspection, problems_markdown,
};
use zbus_xml::{ArgDirection, Interface, Node, PropertyAccess};

const POLICY: &str = include_str!("../data/org.butterdock.Butterdock1.policy");
const BUS_POLICY: &str = include_str!("../data/org.butterdock.Butterdock1.conf");
const ACTIVATION: &str = include_str!("../data/org.butterdock.Butterdock1.service");
const README: &str = include_str!("../README.md");
const CATALOGUE: &str = include_str!("../../daemon/data/butterdock.catalog");
const PROXIES: [&str; 6] = [
    include_str!("../src/proxy/manager.rs"),
    include_str!("../src/proxy/volume.rs"),
    include_str!("../src/proxy/drive.rs"),
    include_str!("../src/proxy/destination.rs"),
    include_str!("../src/proxy/backup.rs"),
    include_str!("../src/proxy/job.rs"),
];

/// Checks the one interface of each file.
fn each(mut check: impl FnMut(&Interface<'_>)) {
    for (text, name) in introspection::ALL.into_iter().zip(interface::ALL) {
        let node = Node::try_from(text).unwrap_or_else(|error| panic!("{name}: {error}"));
        let [interface] = node.interfaces() else { panic!("{name}: not one interface") };
        assert_eq!(interface.name().as_str(), name);
        check(interface);
    }
}

/// Runs a tool if it is installed.
fn tool(name: &str, arguments: &[&str]) {
    match Command::new(name).args(arguments).output() {
        Ok(done) => assert!(done.status.success(), "{name} {arguments:?}: {}", String::from_utf8_lossy(&done.stderr)),
        Err(error) => eprintln!("not checked with {name}: {error}"),
    }
}

fn data(name: &str) -> String {
    Path::new(env!("CARGO_MANIFEST_DIR")).join(name).display().to_string()
}

#[test]
fn the_xml_and_the_permission_table_have_the_same_methods() {
    let mut described = BTreeSet::new();
    each(|interface| {
        for method in interface.methods() {
            described.insert((interface.name().to_string(), method.name().to_string()));
        }
    });
    let table = TABLE.iter().map(|row| (row.interface.to_owned(), row.method.to_owned())).collect::<BTreeSet<_>>();
    assert_eq!(described, table);
}

#[test]
fn every_method_takes_options_last_and_every_argument_has_a_name() {
    each(|interface| {
        for method in interface.methods() {
            let what = format!("{}.{}", interface.name(), method.name());
            assert!(method.args().iter().all(|arg| arg.name().is_some()), "{what}");
            let last = method.args().iter().rfind(|arg| arg.direction() == Some(ArgDirection::In));
            let last = last.map(|arg| (arg.name().unwrap_or_default(), arg.ty().to_string()));
            assert_eq!(last, Some(("options", "a{sv}".to_owned())), "{what}");
        }
        for signal in interface.signals() {
            assert!(signal.args().iter().all(|arg| arg.name().is_some()), "{}", signal.name());
        }
    });
}

#[test]
fn the_xml_documents_every_option() {
    let [no_backup @ .., "rename_from"] = SetOptions::KEYS else { panic!("{:?}", SetOptions::KEYS) };
    for (xml, method, keys) in [
        (introspection::MANAGER, "Receive", ReceiveOptions::KEYS),
        (introspection::MANAGER, "ListBackups", ListBackupsOptions::KEYS),
        (introspection::MANAGER, "ListHistory", ListHistoryOptions::KEYS),
        (introspection::BACKUP, "Run", RunOptions::KEYS),
        (introspection::MANAGER, "SetBackup", SetOptions::KEYS),
        (introspection::MANAGER, "RemoveBackup", RemoveOptions::KEYS),
        (introspection::MANAGER, "SetVolume", no_backup),
        (introspection::MANAGER, "RemoveVolume", RemoveOptions::KEYS),
        (introspection::MANAGER, "SetDestination", no_backup),
        (introspection::MANAGER, "RemoveDestination", RemoveOptions::KEYS),
        (introspection::DRIVE, "Enrol", EnrolOptions::KEYS),
        (introspection::DRIVE, "SafelyRemove", SafelyRemoveOptions::KEYS),
        (introspection::DRIVE, "Import", ImportOptions::KEYS),
        (introspection::DESTINATION, "Backup", BackupOptions::KEYS),
        (introspection::DESTINATION, "Restore", RestoreOptions::KEYS),
        (introspection::DESTINATION, "Unpin", UnpinOptions::KEYS),
    ] {
        // The comment above the method.
        let before = xml.split(&format!("<method name=\"{method}\">")).next().unwrap_or_default();
        let comment = before.rsplit("<!--").next().unwrap_or_default();
        for key in keys {
            assert!(comment.contains(&format!(" {key} (")), "{method}: {key}");
        }
    }
}

#[test]
fn all_properties_are_read_only() {
    each(|interface| {
        for property in interface.properties() {
            assert_eq!(property.access(), PropertyAccess::Read, "{}", property.name());
        }
    });
}

/// The functions of an interface's proxy, named as on the bus, with the attributes above them.
fn functions(interface: &str) -> Vec<(String, String)> {
    let line = format!("interface = \"{interface}\",");
    let (_, source) = PROXIES.iter().find_map(|file| file.split_once(&line)).expect("a proxy of this interface");
    let body = source.split_once("pub trait").expect("a trait").1;
    let mut above = String::new();
    let mut found = Vec::new();
    for line in body.lines().take_while(|line| *line != "}").map(str::trim) {
        if let Some(rest) = line.strip_prefix("fn ") {
            let name = rest.split('(').next().unwrap_or_default();
            let words = name.split('_').map(|word| word[..1].to_uppercase() + &word[1..]);
            found.push((words.collect::<String>(), std::mem::take(&mut above)));
        } else if line.starts_with("#[") {
            above.push_str(line);
        }
    }
    found
}

#[test]
fn proxies_and_xml_have_the_same_members() {
    each(|interface| {
        let functions = functions(interface.name().as_str());
        let named = |wanted: &dyn Fn(&str) -> bool| {
            let kept = functions.iter().filter(|(_, above)| wanted(above)).map(|(name, _)| name.clone());
            kept.collect::<BTreeSet<_>>()
        };
        let methods = interface.methods().map(|method| method.name().to_string()).collect();
        assert_eq!(named(&|above| !above.contains("(property") && !above.contains("(signal")), methods);
        let signals = interface.signals().map(|signal| signal.name().to_string()).collect();
        assert_eq!(named(&|above| above.contains("(signal")), signals);
        let properties = |constant: bool| {
            let kept = interface.properties().filter(|property| {
                let value = "org.freedesktop.DBus.Property.EmitsChangedSignal";
                property.annotations().iter().any(|a| a.name() == value && a.value() == "const") == constant
            });
            kept.map(|property| property.name().to_string()).collect::<BTreeSet<_>>()
        };
        assert_eq!(named(&|above| above.contains("\"const\"")), properties(true));
        let changing = named(&|above| above.contains("(property") && !above.contains("\"const\""));
        assert_eq!(changing, properties(false));
    });
}

#[test]
fn proxies_allow_password_dialogs_where_the_table_has_an_action() {
    for interface in interface::ALL {
        for (name, above) in functions(interface) {
            let Some(row) = TABLE.iter().find(|row| (row.interface, row.method) == (interface, name.as_str())) else {
                continue;
            };
            assert_eq!(above.contains("allow_interactive_auth"), row.rule.actions().count() > 0, "{interface}.{name}");
        }
    }
}

#[test]
fn the_shipped_polkit_file_matches_the_actions() {
    assert!(POLICY == policy(), "data/org.butterdock.Butterdock1.policy should be:\n{}", policy());
    tool("xmllint", &["--noout", "--nonet", &data("data/org.butterdock.Butterdock1.policy")]);
}

#[test]
fn the_readme_contains_the_permission_tables() {
    assert!(README.contains(&markdown()), "README.md should have:\n{}", markdown());
}

#[test]
fn the_readme_and_the_catalogue_have_every_problem() {
    assert!(README.contains(&problems_markdown()), "README.md should have:\n{}", problems_markdown());
    let lines: BTreeSet<&str> = CATALOGUE.lines().collect();
    let missing: Vec<String> = PROBLEMS
        .iter()
        .map(|row| format!("{}: {}", row.code, row.remedy))
        .filter(|line| !lines.contains(line.as_str()))
        .collect();
    assert!(missing.is_empty(), "butterdock.catalog should have:\n{}", missing.join("\n"));
    let is_problem =
        |line: &str| line.split_once(": ").is_some_and(|(code, _)| code.starts_with("drive-") && !code.contains(' '));
    for line in lines.into_iter().filter(|line| is_problem(line)) {
        assert!(PROBLEMS.iter().any(|row| line.starts_with(&format!("{}: ", row.code))), "unknown: {line}");
    }
}

#[test]
fn the_bus_policy_allows_every_interface() {
    tool("xmllint", &["--noout", "--nonet", &data("data/org.butterdock.Butterdock1.conf")]);
    for name in interface::ALL {
        assert!(BUS_POLICY.contains(&format!("send_interface=\"{name}\"")), "{name}");
    }
    assert!(BUS_POLICY.contains(&format!("<allow own=\"{BUS_NAME}\"/>")));
}

#[test]
fn the_activation_file_names_the_unit() {
    let lines = ["Name=org.butterdock.Butterdock1", "Exec=/bin/false", "SystemdService=butterdockd.service"];
    assert!(lines.iter().all(|line| ACTIVATION.lines().any(|other| other == *line)));
}

#[test]
fn the_xml_files_are_well_formed() {
    for name in interface::ALL {
        tool("xmllint", &["--noout", "--nonet", &data(&format!("xml/{name}.xml"))]);
    }
}

#[test]
fn dbus_daemon_accepts_the_bus_policy() {
    let folder = tempfile::tempdir().expect("a folder");
    let configuration = folder.path().join("bus.conf");
    let text = format!(
        "<busconfig><type>session</type><listen>unix:path={}/bus</listen><auth>EXTERNAL</auth><include>{}</include></busconfig>",
        folder.path().display(),
        data("data/org.butterdock.Butterdock1.conf")
    );
    std::fs::write(&configuration, text).expect("written");
    let mut bus = Command::new("dbus-daemon");
    let bus = bus.arg(format!("--config-file={}", configuration.display())).args(["--nofork", "--print-address=1"]);
    let mut bus = bus.stdout(Stdio::piped()).stderr(Stdio::null()).spawn().expect("dbus-daemon (package dbus) starts");
    // It prints its address after it has read its configuration.
    let mut address = String::new();
    let out = bus.stdout.take().expect("piped");
    BufReader::new(out).read_line(&mut address).expect("read");
    bus.kill().expect("ended");
    bus.wait().expect("ended");
    assert!(address.starts_with("unix:path="), "dbus-daemon does not accept it: {address:?}");
}

#[test]
fn the_documentation_has_the_limits_of_the_code() {
    let volume = include_str!("../xml/org.butterdock.Butterdock1.Volume.xml");
    let drive = include_str!("../xml/org.butterdock.Butterdock1.Drive.xml");
    let manual = include_str!("../../cli/man/more.roff");
    assert!(volume.contains(&format!("Lists up to {SUBVOLUMES_MAX}")));
    assert!(manual.contains(&format!("up to {SUBVOLUMES_MAX} of them")));
    assert!(drive.contains(&format!("up to {SECRET_MAX} bytes")));
    assert!(introspection::MANAGER.contains(&format!("1 to {HISTORY_MAX} (default: {HISTORY_PAGE})")));
}
