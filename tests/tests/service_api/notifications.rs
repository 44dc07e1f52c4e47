//! Notifications, from the bus and the record to a server on the loopback, through the real `butterdock-net`.

use std::collections::HashMap;
use std::fs;
use std::io::{BufRead as _, BufReader, Read as _, Write as _};
use std::net::{TcpListener, TcpStream};
use std::os::fd::OwnedFd;
use std::os::unix::net::UnixListener;
use std::path::Path;
use std::process::Command;
use std::sync::mpsc::{Receiver, Sender, channel};
use std::thread;

use anyhow::{Context as _, Result, ensure};
use butterdock_dbus::names::ROOT;
use butterdock_dbus::names::interface::MANAGER;
use butterdock_dbus::{Error, ErrorName, ManagerProxy, NotificationChannel, Problem, SetOptions};
use butterdock_tests::{Client, Recorder, Recording, Service, TIMEOUT, butterdockd, no_options, wait_until};
use serde_json::Value;
use zbus::{OwnedVariant, Variant};

/// In place of systemd: starts the program for each connection.
fn open_socket(run: &Path, credentials: &Path) -> Result<()> {
    let program = butterdockd()?.with_file_name("butterdock-net");
    ensure!(program.exists(), "run `cargo build --workspace --bins`");
    // systemd makes it for the socket; the service, for its first drive.
    fs::create_dir_all(run)?;
    let socket = UnixListener::bind(run.join("net.socket"))?;
    let credentials = credentials.to_owned();
    thread::spawn(move || {
        for stream in socket.incoming().map_while(Result::ok) {
            let Ok(input) = stream.try_clone() else { return };
            let mut command = Command::new(&program);
            command.env_clear().env("CREDENTIALS_DIRECTORY", &credentials);
            command.stdin(OwnedFd::from(input)).stdout(OwnedFd::from(stream));
            // One that fails is seen by the service.
            drop(command.status());
        }
    });
    Ok(())
}

/// A server that answers each request with the next status, and then with 200.
fn serve(statuses: &'static [u16]) -> Result<(u16, Receiver<(String, Value)>)> {
    serve_when(statuses, || true)
}

/// The same; it answers each when `answers` returns, and ends when that is false.
fn serve_when(
    statuses: &'static [u16],
    answers: impl Fn() -> bool + Send + 'static,
) -> Result<(u16, Receiver<(String, Value)>)> {
    let listener = TcpListener::bind("127.0.0.1:0")?;
    let port = listener.local_addr()?.port();
    let (hear, heard) = channel();
    thread::spawn(move || {
        let mut statuses = statuses.iter();
        for stream in listener.incoming().map_while(Result::ok) {
            if !answers() || answer(&stream, statuses.next().copied().unwrap_or(200), &hear).is_err() {
                return;
            }
        }
    });
    Ok((port, heard))
}

fn answer(mut stream: &TcpStream, status: u16, hear: &Sender<(String, Value)>) -> Result<()> {
    let mut reader = BufReader::new(stream);
    let (mut head, mut length) = (String::new(), 0);
    loop {
        let mut line = String::new();
        reader.read_line(&mut line)?;
        if line.trim().is_empty() {
            break;
        }
        if let Some(number) = line.to_ascii_lowercase().strip_prefix("content-length: ") {
            length = number.trim().parse()?;
        }
        head.push_str(&line);
    }
    let mut body = vec![0; length];
    reader.read_exact(&mut body)?;
    write!(stream, "HTTP/1.1 {status} X\r\nContent-Length: 0\r\nConnection: close\r\n\r\n")?;
    hear.send((head, serde_json::from_slice(&body)?))?;
    Ok(())
}

fn hook(port: u16) -> String {
    format!(
        "[[notify]]\nname = \"hook\"\nkind = \"webhook\"\nurl = \"http://127.0.0.1:{port}/hook?key=s3cret\"\n\
         credential = \"hook\"\n"
    )
}

fn list(client: &Client) -> Result<Vec<NotificationChannel>> {
    let manager = client.block_on(ManagerProxy::new(client.connection()))?;
    Ok(client.block_on(manager.list_notifications(no_options()))?)
}

#[test]
fn a_test_reaches_the_server_or_says_why_not() -> Result<()> {
    let (port, heard) = serve(&[401])?;
    let service = Service::with(&["tank"], &hook(port))?;
    let client = service.client()?;
    let manager = client.block_on(ManagerProxy::new(client.connection()))?;
    let test = |name| client.block_on(manager.test_notification(name, no_options()));
    let said = test("hook")?;
    ensure!(!said.delivered && said.cause.as_deref() == Some("program"), "no socket: {said:?}");
    let credentials = service.join("credentials");
    fs::create_dir(&credentials)?;
    open_socket(&service.join("run"), &credentials)?;
    let said = test("hook")?;
    ensure!(said.cause.as_deref() == Some("credential"), "{said:?}");
    fs::write(credentials.join("butterdock_hook"), "t0ken\n")?;
    let said = test("hook")?;
    ensure!(said.cause.as_deref() == Some("login"), "{said:?}");
    let (head, _) = heard.recv_timeout(TIMEOUT)?;
    ensure!(head.starts_with("POST /hook?key=s3cret ") && head.contains("Bearer t0ken"), "{head}");
    let said = test("hook")?;
    ensure!(said.delivered && said.cause.is_none(), "{said:?}");
    let (_, body) = heard.recv_timeout(TIMEOUT)?;
    ensure!(body["event"] == "test" && body["version"] == 1, "{body}");
    let unknown = test("other");
    ensure!(matches!(unknown, Err(Error::Named(ErrorName::NotFound, _))), "{unknown:?}");
    let said = service.butterdock(&["notify", "test", "hook"])?.output()?;
    ensure!(said.status.success(), "{}", String::from_utf8_lossy(&said.stderr));
    Ok(())
}

/// The id of a notification that waits.
const WAITING: &str = "0f1e2d3c-4b5a-4978-8796-a5b4c3d2e1f0";

/// Writes it down for a service that does not run.
fn write_waiting(service: &Service) -> Result<()> {
    let now = std::time::SystemTime::now().duration_since(std::time::UNIX_EPOCH)?.as_micros();
    let record = format!(
        "{{\"id\":\"{WAITING}\",\"channel\":\"hook\",\"about\":\"overdue\",\"time\":{now},\"drive\":\"\",\"label\":\"\",\
         \"backup\":\"home\",\"job\":null,\"error\":\"\",\"message\":\"x\",\"attempts\":0,\"tried\":0}}"
    );
    fs::write(service.join("state").join("notifications").join(format!("{WAITING}.json")), record)?;
    Ok(())
}

/// The values of `NotificationProblems` in the signals of the manager, as codes, in their order.
fn signalled(recording: &Recording) -> Result<Vec<Vec<String>>> {
    let mut all = Vec::new();
    for message in recording.broadcasts() {
        let (header, body) = (message.header(), message.body());
        let is_change = header.member().is_some_and(|member| member.as_str() == "PropertiesChanged");
        if !is_change || header.path().is_none_or(|path| path.as_str() != ROOT) {
            continue;
        }
        let (of, changed, _): (String, HashMap<String, OwnedVariant>, Vec<String>) = body.deserialize()?;
        ensure!(of == MANAGER, "{of}");
        let Some(value) = changed.get("NotificationProblems") else { continue };
        let problems = Vec::<Problem>::try_from(value.try_clone()?)?;
        all.push(problems.into_iter().map(|problem| problem.code).collect());
    }
    Ok(all)
}

#[test]
fn a_channel_that_fails_and_recovers_is_signalled() -> Result<()> {
    let (go, is_told) = channel();
    let (port, heard) = serve_when(&[500], move || is_told.recv().is_ok())?;
    let mut service = Service::with(&["tank"], &hook(port).replace("credential", "#credential"))?;
    service.stop()?.success()?;
    write_waiting(&service)?;
    open_socket(&service.join("run"), Path::new("/nonexistent"))?;
    service.start_daemon()?;
    let client = service.client()?;
    let manager = client.block_on(ManagerProxy::new(client.connection()))?;
    let now = || client.get::<Vec<Problem>>(ROOT, MANAGER, "NotificationProblems");
    ensure!(now()?.is_empty(), "it is not answered yet: {:?}", now()?);
    let recorder = Recorder::start(&service.bus)?;
    go.send(())?;
    let failing = || vec![vec!["notification-failed".to_owned()]];
    recorder.until("it fails", |recording| Ok(signalled(recording)? == failing()))?;
    let problems = now()?;
    let problem = problems.first().context("a problem")?;
    ensure!(problem.params.channel.as_deref() == Some("hook"), "{problem:?}");
    ensure!(problem.params.cause.as_deref() == Some("later"), "{problem:?}");
    ensure!(!format!("{problem:?}").contains("127.0.0.1"), "all users may read it: {problem:?}");
    // One for the test, and one for what waits.
    go.send(())?;
    go.send(())?;
    let said = client.block_on(manager.test_notification("hook", no_options()))?;
    ensure!(said.delivered, "{said:?}");
    recorder.until("it works", |recording| Ok(signalled(recording)? == [failing(), vec![Vec::new()]].concat()))?;
    ensure!(now()?.is_empty(), "{:?}", now()?);
    for _ in 0..3 {
        heard.recv_timeout(TIMEOUT)?;
    }
    Ok(())
}

#[test]
fn what_waited_is_sent_once_after_a_restart() -> Result<()> {
    let (port, heard) = serve(&[])?;
    let mut service = Service::with(&["tank"], &hook(port).replace("credential", "#credential"))?;
    service.stop()?.success()?;
    let (id, folder) = (WAITING, service.join("state").join("notifications"));
    write_waiting(&service)?;
    open_socket(&service.join("run"), Path::new("/nonexistent"))?;
    service.start_daemon()?;
    let (_, body) = heard.recv_timeout(TIMEOUT)?;
    ensure!(body["id"] == id && body["event"] == "overdue" && body["backup"] == "home", "{body}");
    let client = service.client()?;
    wait_until("it is delivered", || Ok(list(&client)?.first().is_some_and(|one| one.last_delivered.is_some())))?;
    ensure!(fs::read_dir(&folder)?.next().is_none(), "its record stays");
    service.stop()?.success()?;
    service.start_daemon()?;
    let client = service.client()?;
    let channels = list(&client)?;
    let channel = channels.first().context("a channel")?;
    ensure!((channel.queued, channel.dropped) == (0, 0) && channel.problems.is_none(), "{channel:?}");
    ensure!(heard.try_recv().is_err(), "it was sent twice");
    Ok(())
}

#[test]
fn channels_are_changed_only_in_the_file() -> Result<()> {
    let service = Service::with(&["tank"], &hook(9))?;
    let client = service.client()?;
    let manager = client.block_on(ManagerProxy::new(client.connection()))?;
    let (settings, _) = client.block_on(manager.get_settings(no_options()))?;
    ensure!(settings.read_only.iter().any(|key| key == "notify"), "{:?}", settings.read_only);
    ensure!(settings.values.contains_key("notify"), "they are shown");
    let values = HashMap::from([("notify", Variant::from("x"))]);
    let options = SetOptions::default();
    let refused = client.block_on(manager.set_defaults(values, options.to_options()));
    let Err(Error::Named(ErrorName::NotAllowed, why)) = &refused else { anyhow::bail!("{refused:?}") };
    ensure!(why.contains(&service.configuration().display().to_string()), "it names the file: {why}");
    let listed = list(&client)?;
    let channel = listed.first().context("a channel")?;
    ensure!((channel.name.as_str(), channel.kind.as_str()) == ("hook", "webhook"), "{channel:?}");
    Ok(())
}
