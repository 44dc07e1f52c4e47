//! The service has no network and no bus: what it is built from.

use std::process::Command;

/// The crates that a package is built from.
fn crates(package: &str) -> Vec<String> {
    let mut tree = Command::new(env!("CARGO"));
    tree.args(["tree", "--offline", "--prefix", "none", "--edges", "normal", "--format", "{p}", "--package", package]);
    let done = tree.current_dir(env!("CARGO_MANIFEST_DIR")).output().expect("cargo runs");
    assert!(done.status.success(), "{}", String::from_utf8_lossy(&done.stderr));
    let text = String::from_utf8_lossy(&done.stdout).into_owned();
    text.lines().filter_map(|line| line.split(' ').next()).map(str::to_owned).collect()
}

#[test]
fn only_butterdock_net_has_network_libraries() {
    const NETWORK: [&str; 5] = ["lettre", "ring", "rustls", "ureq", "butterdock-net"];
    let net = crates("butterdock-net");
    assert!(NETWORK.iter().all(|name| net.iter().any(|used| used == name)), "{net:?}");
    for package in ["butterdockd", "butterdock"] {
        let all = crates(package);
        assert!(all.len() > 30 && !all.iter().any(|used| NETWORK.contains(&used.as_str())), "{package}: {all:?}");
    }
}

#[test]
fn the_service_and_butterdock_net_have_no_bus() {
    for package in ["butterdock-service", "butterdock-net"] {
        let all = crates(package);
        assert!(all.len() > 10 && !all.iter().any(|used| used == "zbus"), "{package}: {all:?}");
    }
}
