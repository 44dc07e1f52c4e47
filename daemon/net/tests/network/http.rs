//! HTTP requests.

use std::io;
use std::time::Duration;

use butterdock_net_protocol::{
    Authority as OrderAuthority, Cause, ContentType, CredentialName, Delivery, HttpUrl, Post, Report,
};
use nix::sys::resource::{UsageWho, getrusage};

use super::authority::Authority;
use super::program::Program;
use super::server::{Peer, Server};

const OK: &str = "HTTP/1.1 200 OK\r\nContent-Length: 2\r\n\r\nok";
const SHORT: Duration = Duration::from_millis(400);

fn post(url: &str, authority: OrderAuthority) -> Post {
    let url = HttpUrl::try_from(url.to_owned()).expect("a URL");
    let body = "{\"label\":\"Blue\\nline\"}".to_owned();
    Post { url, authority, token: None, content_type: ContentType::Json, body }
}

/// Orders a request to a TLS server with this script.
fn carry_out(script: impl Fn(&mut Peer) -> io::Result<()> + Send + Sync + 'static) -> (Report, Server) {
    carry_out_within(Duration::from_secs(60), script)
}

fn carry_out_within(
    time: Duration,
    script: impl Fn(&mut Peer) -> io::Result<()> + Send + Sync + 'static,
) -> (Report, Server) {
    let authority = Authority::new();
    let server = Server::start(Some(authority.server(&["localhost"])), script);
    let post = post(&format!("https://localhost:{}/hook?a=b", server.port), authority.trusted());
    (Program::new().carry_out_within(Delivery::Post(post), time), server)
}

fn answered(answer: &'static str) -> Report {
    let script = move |peer: &mut Peer| {
        peer.request()?;
        peer.say(answer)
    };
    carry_out(script).0
}

#[test]
fn a_request_is_sent_as_ordered() {
    let authority = Authority::new();
    let server = Server::start(Some(authority.server(&["localhost"])), |peer| {
        peer.request()?;
        peer.say(OK)
    });
    let folder = tempfile::tempdir().expect("a folder");
    std::fs::write(folder.path().join("butterdock_hook"), "s3cret\n").expect("written");
    let folder = folder.path().to_str().expect("text");
    let token = Some(CredentialName::try_from("hook".to_owned()).expect("a name"));
    let post = Post { token, ..post(&format!("https://localhost:{}/hook?a=b", server.port), authority.trusted()) };
    assert_eq!(
        Program::new().env("CREDENTIALS_DIRECTORY", folder).carry_out(Delivery::Post(post.clone())),
        Report::Delivered
    );
    let [heard] = server.heard().try_into().expect("one request");
    assert!(heard.starts_with("POST /hook?a=b HTTP/1.1\n"), "{heard}");
    let head = heard.to_ascii_lowercase();
    for header in ["content-type: application/json", "user-agent: butterdock/9.9", "authorization: bearer s3cret"] {
        assert!(head.contains(&format!("\n{header}\n")), "{heard}");
    }
    assert!(heard.ends_with("\n\n{\"label\":\"Blue\\nline\"}"), "{heard}");
    // Without the credential nothing is sent.
    let report = Program::new().carry_out(Delivery::Post(post));
    assert!(
        matches!(&report, Report::Failed(Cause::Credential(why)) if why.as_str().starts_with("hook: ")),
        "{report:?}"
    );
    assert_eq!(server.heard(), Vec::<String>::new());
}

#[test]
fn only_certificates_of_the_authority_for_the_name_are_trusted() {
    let (trusted, other) = (Authority::new(), Authority::new());
    for config in [other.server(&["localhost"]), trusted.server(&["example.org"]), trusted.expired()] {
        let server = Server::start(Some(config), |peer| {
            peer.request()?;
            peer.say(OK)
        });
        let post = post(&format!("https://localhost:{}/", server.port), trusted.trusted());
        let report = Program::new().carry_out(Delivery::Post(post));
        assert!(matches!(report, Report::Failed(Cause::Tls(_))), "{report:?}");
        assert_eq!(server.heard(), Vec::<String>::new());
    }
}

#[test]
fn a_system_without_authorities_trusts_no_server() {
    let folder = tempfile::tempdir().expect("a folder");
    let empty = folder.path().join("none.pem");
    std::fs::write(&empty, "").expect("written");
    let program = Program::new().env("SSL_CERT_FILE", empty.to_str().expect("text"));
    let report = program.carry_out(Delivery::Post(post("https://localhost:1/", OrderAuthority::System)));
    assert_eq!(report, Report::Failed(Cause::NoAuthorities));
}

#[test]
fn a_server_without_tls_gets_no_request() {
    let server = Server::start(None, |peer| {
        let line = peer.line()?;
        peer.note(line);
        peer.say("HTTP/1.1 200 OK\r\n\r\n")
    });
    let post = post(&format!("https://localhost:{}/", server.port), Authority::new().trusted());
    let report = Program::new().carry_out_within(Delivery::Post(post), Duration::from_secs(2));
    assert!(matches!(report, Report::Failed(Cause::Tls(_) | Cause::Timeout)), "{report:?}");
    assert!(server.heard().iter().all(|line| !line.contains("POST")));
}

#[test]
fn this_machine_is_reached_without_tls() {
    let server = Server::start(None, |peer| {
        peer.request()?;
        peer.say(OK)
    });
    let post = post(&format!("http://127.0.0.1:{}/", server.port), OrderAuthority::System);
    assert_eq!(Program::new().carry_out(Delivery::Post(post)), Report::Delivered);
}

#[test]
fn a_failure_of_the_server_is_for_later_and_the_next_order_succeeds() {
    let authority = Authority::new();
    let server = Server::start(Some(authority.server(&["localhost"])), |peer| {
        peer.request()?;
        peer.say(if peer.number == 0 { "HTTP/1.1 500 Oh\r\nContent-Length: 5\r\n\r\nsorry" } else { OK })
    });
    let post = post(&format!("https://localhost:{}/", server.port), authority.trusted());
    let first = Program::new().carry_out(Delivery::Post(post.clone()));
    assert!(matches!(&first, Report::Failed(Cause::Later(500, said)) if said.as_str() == "sorry"), "{first:?}");
    assert_eq!(Program::new().carry_out(Delivery::Post(post)), Report::Delivered);
}

#[test]
fn each_refusal_has_its_cause() {
    let refused = answered("HTTP/1.1 404 No\r\nContent-Length: 4\r\n\r\na\nb\0");
    assert!(matches!(&refused, Report::Failed(Cause::Refused(404, said)) if said.as_str() == "a b "), "{refused:?}");
    let login = answered("HTTP/1.1 401 No\r\nContent-Length: 0\r\n\r\n");
    assert!(matches!(login, Report::Failed(Cause::Login(_))), "{login:?}");
    let later = answered("HTTP/1.1 429 Slow\r\nContent-Length: 0\r\n\r\n");
    assert!(matches!(later, Report::Failed(Cause::Later(429, _))), "{later:?}");
    let no_http = answered("SSH-2.0-x\r\n\r\n");
    assert!(matches!(no_http, Report::Failed(Cause::Protocol(_))), "{no_http:?}");
}

#[test]
fn a_redirect_leads_only_to_the_same_server() {
    let elsewhere = Server::start(None, |peer| {
        peer.request()?;
        peer.say(OK)
    });
    let port = elsewhere.port;
    for to in [
        format!("http://localhost:{port}/"),
        format!("https://localhost:{port}/"),
        format!("https://127.0.0.1:{port}/"),
        format!("//127.0.0.1:{port}/"),
        "file:///etc/passwd".to_owned(),
    ] {
        let said = to.clone();
        let (report, _) = carry_out(move |peer| {
            peer.request()?;
            peer.say(&format!("HTTP/1.1 308 Moved\r\nLocation: {said}\r\nContent-Length: 0\r\n\r\n"))
        });
        assert!(matches!(&report, Report::Failed(Cause::Redirect(at)) if at.as_str() == to), "{to}: {report:?}");
    }
    assert_eq!(elsewhere.connections(), 0);
    let (report, server) = carry_out(|peer| {
        peer.request()?;
        if peer.number == 0 {
            return peer.say("HTTP/1.1 307 Moved\r\nLocation: /new\r\nContent-Length: 0\r\nConnection: close\r\n\r\n");
        }
        peer.say(OK)
    });
    assert_eq!(report, Report::Delivered);
    let heard = server.heard();
    assert!(heard.len() == 2 && heard[1].starts_with("POST /new ") && heard[1].contains("Blue"), "{heard:?}");
    let (report, server) = carry_out(|peer| {
        peer.request()?;
        peer.say("HTTP/1.1 307 Moved\r\nLocation: /again\r\nContent-Length: 0\r\nConnection: close\r\n\r\n")
    });
    assert!(matches!(report, Report::Failed(Cause::Redirect(_))), "{report:?}");
    assert_eq!(server.heard().len(), 4, "it ends");
    let other = answered("HTTP/1.1 302 Found\r\nLocation: /x\r\nContent-Length: 0\r\n\r\n");
    assert!(matches!(other, Report::Failed(Cause::Redirect(_))), "{other:?}");
}

#[test]
fn a_server_that_hangs_or_drips_is_given_up() {
    let (report, _) = carry_out_within(SHORT, |peer| peer.hang());
    assert_eq!(report, Report::Failed(Cause::Timeout));
    let (report, _) = carry_out_within(SHORT, |peer| {
        peer.request()?;
        loop {
            // Each byte comes in time.
            peer.say("H")?;
            std::thread::sleep(Duration::from_millis(20));
        }
    });
    // The headers have a limit, too.
    assert!(matches!(report, Report::Failed(Cause::Timeout | Cause::Protocol(_))), "{report:?}");
}

#[test]
fn answers_without_an_end_take_no_memory() {
    let endless = |head: &'static str, more: &'static [u8]| {
        carry_out(move |peer| {
            peer.request()?;
            peer.say(head)?;
            loop {
                peer.write(more)?;
            }
        })
        .0
    };
    let body = endless("HTTP/1.1 500 Oh\r\nContent-Length: 99999999999\r\n\r\n", &[b'x'; 65536]);
    assert!(matches!(&body, Report::Failed(Cause::Later(500, said)) if said.as_str().len() == 255), "{body:?}");
    let chunks = endless("HTTP/1.1 400 Oh\r\nTransfer-Encoding: chunked\r\n\r\n", b"4\r\nabcd\r\n");
    assert!(matches!(chunks, Report::Failed(Cause::Refused(400, _))), "{chunks:?}");
    assert_eq!(endless("HTTP/1.1 200 OK\r\n\r\n", &[b'x'; 65536]), Report::Delivered);
    let headers = endless("HTTP/1.1 200 OK\r\n", b"X-Endless: aaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaa\r\n");
    assert!(matches!(headers, Report::Failed(Cause::Protocol(_))), "{headers:?}");
    let line = endless("", &[b'x'; 65536]);
    assert!(matches!(line, Report::Failed(Cause::Protocol(_))), "{line:?}");
    let used = getrusage(UsageWho::RUSAGE_CHILDREN).expect("usage").max_rss();
    assert!(used < 64 << 10, "{used} KiB");
}

#[test]
fn a_wrong_length_does_not_matter() {
    assert_eq!(answered("HTTP/1.1 200 OK\r\nContent-Length: 1000\r\n\r\nshort"), Report::Delivered);
    let failed = answered("HTTP/1.1 503 Oh\r\nContent-Length: 1000\r\n\r\nshort");
    assert!(matches!(failed, Report::Failed(Cause::Later(503, _))), "{failed:?}");
    let nothing = answered("");
    assert!(matches!(nothing, Report::Failed(Cause::Connection(_) | Cause::Protocol(_))), "{nothing:?}");
}

#[test]
fn a_proxy_of_the_environment_is_not_used() {
    let authority = Authority::new();
    let server = Server::start(Some(authority.server(&["localhost"])), |peer| {
        peer.request()?;
        peer.say(OK)
    });
    let mut program = Program::new();
    for name in ["HTTPS_PROXY", "https_proxy", "ALL_PROXY", "http_proxy"] {
        program = program.env(name, "http://127.0.0.1:1");
    }
    let post = post(&format!("https://localhost:{}/", server.port), authority.trusted());
    assert_eq!(program.carry_out(Delivery::Post(post)), Report::Delivered);
}

#[test]
fn a_server_that_is_not_there_is_a_failed_connection() {
    let report = Program::new().carry_out(Delivery::Post(post("http://127.0.0.1:1/", OrderAuthority::System)));
    assert!(matches!(report, Report::Failed(Cause::Connection(_))), "{report:?}");
    let unknown = post("https://nothing.invalid/", Authority::new().trusted());
    let report = Program::new().carry_out(Delivery::Post(unknown));
    assert!(matches!(report, Report::Failed(Cause::Name(_) | Cause::Timeout)), "{report:?}");
}
