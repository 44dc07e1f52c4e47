//! Tests how `cryptsetup` is called, with a script in its place.

use std::os::unix::fs::PermissionsExt as _;

use super::*;

/// A tool that writes down what it was given, then does `what`.
fn tool(folder: &Path, what: &str) -> Cryptsetup {
    let tool = folder.join("cryptsetup");
    let at = folder.display();
    let script =
        format!("#!/bin/sh\nprintf '%s\\n' \"$@\" > {at}/arguments\n/usr/bin/env > {at}/environment\n{what}\n");
    fs::write(&tool, script).expect("written");
    fs::set_permissions(&tool, fs::Permissions::from_mode(0o755)).expect("set");
    Cryptsetup { tool, limit: Duration::from_secs(20) }
}

fn secret_of(bytes: &[u8]) -> Secret {
    Secret::new(SecretMemory::copy_of(bytes).expect("memory"))
}

fn called(folder: &Path) -> Vec<String> {
    fs::read_to_string(folder.join("arguments")).expect("called").lines().map(str::to_owned).collect()
}

fn unlock(tool: &Cryptsetup, luks: Uuid, secret: &Secret) -> Result<()> {
    let mut command = tool.command(&["open", "--key-file", "-"]);
    command.arg("--").arg("/dev/sdb").arg(mapping_name(luks));
    tool.run(command, Some(secret), &"unlocking the drive".into())
}

#[test]
fn a_secret_passes_only_through_a_pipe() {
    let folder = tempfile::tempdir().expect("a folder");
    let tool = tool(folder.path(), &format!("/bin/cat > {}/secret", folder.path().display()));
    let secret: Vec<u8> = (0..=255).cycle().take(200_000).collect();
    let luks = Uuid::new_v4();
    unlock(&tool, luks, &secret_of(&secret)).expect("opened");
    assert_eq!(called(folder.path()), ["open", "--key-file", "-", "--", "/dev/sdb", &format!("butterdock-{luks}")]);
    assert_eq!(fs::read(folder.path().join("secret")).expect("read"), secret);
    let environment = fs::read_to_string(folder.path().join("environment")).expect("read");
    // The shell adds some of its own.
    let own = ["PWD=", "SHLVL=", "_=", "OLDPWD="];
    let untrusted_fd: Vec<_> =
        environment.lines().filter(|line| !own.iter().any(|own| line.starts_with(own))).collect();
    assert_eq!(untrusted_fd, ["LC_ALL=C"]);
    assert_eq!(format!("{:?}", secret_of(b"x")), "Secret(SecretMemory)");
}

#[test]
fn closing_names_only_our_mapping() {
    let folder = tempfile::tempdir().expect("a folder");
    let tool = tool(folder.path(), "exit 0");
    let luks = Uuid::new_v4();
    tool.close(luks).expect("closed");
    assert_eq!(called(folder.path()), ["close", "--", &format!("butterdock-{luks}")]);
    tool.close_deferred(luks).expect("closed");
    assert_eq!(called(folder.path()), ["close", "--deferred", "--", &format!("butterdock-{luks}")]);
}

#[test]
fn a_new_container_and_a_key_get_the_secret_by_a_pipe() {
    let folder = tempfile::tempdir().expect("a folder");
    let tool = tool(folder.path(), &format!("/bin/cat > {}/secret", folder.path().display()));
    let (luks, secret) = (Uuid::new_v4(), secret_of(b"correct horse\n"));
    tool.format(Path::new("/dev/sdb"), luks, &secret).expect("made");
    let arguments = "luksFormat --type luks2 --batch-mode --key-file - --uuid";
    assert_eq!(called(folder.path()).join(" "), format!("{arguments} {luks} -- /dev/sdb"));
    assert_eq!(fs::read(folder.path().join("secret")).expect("read"), b"correct horse\n");
    let (null, key) = (Path::new("/dev/null"), folder.path().join("key"));
    let refused = tool.add_key(null, 1, &secret, &key).expect_err("it is no block device");
    assert!(refused.to_string().contains("has changed to another device"), "{refused}");
}

#[test]
fn every_end_of_the_tool_is_a_sentence() {
    let folder = tempfile::tempdir().expect("a folder");
    for (what, words) in
        [("exit 2", "is wrong"), ("exit 5", "in use"), ("echo gone >&2; exit 9", "gone"), ("kill -9 $$", "signal")]
    {
        let text = tool(folder.path(), what).close(Uuid::nil()).expect_err("refused");
        assert!(text.to_string().contains(words), "{what}: {text}");
        assert_eq!(text.code() == crate::types::ErrorCode::WrongPassphrase, what == "exit 2", "{what}: {text:?}");
        assert!(!text.public().contains("gone"), "the public text has a word of the tool's: {text:?}");
    }
}

#[test]
fn a_tool_that_hangs_is_killed() {
    let folder = tempfile::tempdir().expect("a folder");
    let tool = Cryptsetup { limit: Duration::from_millis(300), ..tool(folder.path(), "exec /bin/sleep 600") };
    let begun = Instant::now();
    let text = unlock(&tool, Uuid::nil(), &secret_of(&vec![1; 1 << 20])).expect_err("ended").to_string();
    assert!(text.contains("too long"), "{text}");
    assert!(begun.elapsed() < Duration::from_secs(500));
}

#[test]
fn only_our_mappings_are_stale() {
    let sys = tempfile::tempdir().expect("a folder");
    let ours = Uuid::new_v4();
    for (device, name) in
        [("dm-0", mapping_name(ours)), ("dm-1", "luks-x".to_owned()), ("dm-2", "butterdock-x".to_owned())]
    {
        let folder = sys.path().join("block").join(device).join("dm");
        fs::create_dir_all(&folder).expect("made");
        fs::write(folder.join("name"), format!("{name}\n")).expect("written");
    }
    assert_eq!(stale(sys.path()), [ours]);
}

#[test]
fn empty_secrets_and_readable_keys_are_refused() {
    let folder = tempfile::tempdir().expect("a folder");
    let key = folder.path().join("key");
    fs::write(&key, "key").expect("written");
    fs::set_permissions(&key, fs::Permissions::from_mode(0o644)).expect("set");
    let refused = Secret::of_file(&key).expect_err("refused");
    assert!(refused.to_string().contains(key.to_str().expect("text")), "{refused}");
    assert!(refused.public().contains("chmod 600") && !refused.public().contains('/'), "{refused:?}");
    fs::write(&key, "").expect("written");
    assert!(Secret::read(&File::open(&key).expect("opened")).is_err());
}
