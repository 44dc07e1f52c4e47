//! Mails.

use std::io;
use std::time::Duration;

use butterdock_net_protocol::{
    Authority as OrderAuthority, Cause, CredentialName, Delivery, Host, Line, Mail, MailAddress, MailSecurity, Report,
};
use nix::sys::resource::{UsageWho, getrusage};

use super::authority::Authority;
use super::program::Program;
use super::server::{Peer, Server};

fn mail(server: &Server, security: MailSecurity, authority: OrderAuthority) -> Mail {
    let address = |text: &str| MailAddress::try_from(text.to_owned()).expect("an address");
    Mail {
        server: Host::try_from("localhost".to_owned()).expect("a host"),
        port: server.port,
        security,
        authority,
        login: None,
        from: address("nas@example.org"),
        to: vec![address("ann@example.org"), address("bob@example.org")],
        id: Line::of("7"),
        time: 1_700_000_000,
        subject: Line::of("Drive \u{201c}Blue\r\nBcc: eve@example.org\u{201d} failed"),
        text: "One line.\n.\nRCPT TO:<eve@example.org>\n.dot\u{e9}\n".to_owned(),
    }
}

/// A server that takes a mail and notes what it hears; `answer` may answer a command instead.
fn serve(peer: &mut Peer, offers: &str, answer: impl Fn(&str) -> Option<&'static str>) -> io::Result<()> {
    peer.say("220 test\r\n")?;
    take(peer, offers, answer)
}

fn take(peer: &mut Peer, offers: &str, answer: impl Fn(&str) -> Option<&'static str>) -> io::Result<()> {
    loop {
        let line = peer.line()?;
        if line.is_empty() {
            return Ok(());
        }
        peer.note(line.clone());
        if let Some(other) = answer(&line) {
            peer.say(other)?;
            continue;
        }
        match line.split(' ').next().unwrap_or_default() {
            "EHLO" => peer.say(&format!("250-test\r\n{offers}250 SIZE\r\n"))?,
            "STARTTLS" => {
                peer.say("220 go\r\n")?;
                peer.upgrade();
            }
            "DATA" => {
                peer.say("354 go\r\n")?;
                loop {
                    let line = peer.line()?;
                    peer.note(line.clone());
                    if line == "." {
                        break;
                    }
                }
                peer.say("250 taken\r\n")?;
                return Ok(());
            }
            "AUTH" => peer.say("235 welcome\r\n")?,
            _ => peer.say("250 ok\r\n")?,
        }
    }
}

fn with_tls(offers: &'static str, answer: fn(&str) -> Option<&'static str>) -> (Report, Vec<String>) {
    let authority = Authority::new();
    let server = Server::start(Some(authority.server(&["localhost"])), move |peer| serve(peer, offers, answer));
    let report = Program::new().carry_out(Delivery::Mail(mail(&server, MailSecurity::Tls, authority.trusted())));
    (report, server.heard())
}

fn login(mail: Mail) -> (Mail, tempfile::TempDir) {
    let folder = tempfile::tempdir().expect("a folder");
    std::fs::write(folder.path().join("butterdock_mail"), "pass word\n").expect("written");
    let name = CredentialName::try_from("mail".to_owned()).expect("a name");
    (Mail { login: Some((Line::of("ann"), name)), ..mail }, folder)
}

#[test]
fn a_mail_arrives_over_tls_and_nothing_in_it_is_a_command() {
    let (report, heard) = with_tls("", |_| None);
    assert_eq!(report, Report::Delivered);
    let commands = heard.iter().take_while(|line| line.as_str() != "DATA");
    let commands: Vec<_> = commands.filter(|line| line.starts_with("RCPT") || line.starts_with("MAIL")).collect();
    assert_eq!(commands[..], ["MAIL FROM:<nas@example.org>", "RCPT TO:<ann@example.org>", "RCPT TO:<bob@example.org>"]);
    assert!(!heard.iter().any(|line| line.starts_with("Bcc")), "{heard:?}");
    let has = |line: &str| assert!(heard.iter().any(|heard| heard == line), "{line}: {heard:?}");
    has("To: ann@example.org, bob@example.org");
    has("Message-ID: <7@butterdock.invalid>");
    has("Auto-Submitted: auto-generated");
    has("Date: Tue, 14 Nov 2023 22:13:20 +0000");
    let text = heard.iter().skip_while(|line| !line.is_empty()).collect::<Vec<_>>();
    assert_eq!(text.iter().filter(|line| line.as_str() == ".").count(), 1, "{text:?}");
}

#[test]
fn a_login_is_sent_only_over_tls() {
    let authority = Authority::new();
    let config = authority.server(&["localhost"]);
    let offers = "250-STARTTLS\r\n250-AUTH PLAIN LOGIN\r\n";
    let server = Server::start_plain(Some(config), move |peer| serve(peer, offers, |_| None));
    let (mail, folder) = login(mail(&server, MailSecurity::Starttls, authority.trusted()));
    let program = Program::new().env("CREDENTIALS_DIRECTORY", folder.path().to_str().expect("text"));
    assert_eq!(program.carry_out(Delivery::Mail(mail)), Report::Delivered);
    let heard = server.heard();
    // NUL ann NUL pass word
    let at = |begin: &str| heard.iter().position(|line| line.starts_with(begin));
    assert!(at("STARTTLS").expect("it") < at("AUTH PLAIN AGFubgBwYXNzIHdvcmQ=").expect("it"), "{heard:?}");
}

#[test]
fn a_server_without_starttls_gets_no_mail() {
    let authority = Authority::new();
    let server = Server::start_plain(None, |peer| serve(peer, "250-AUTH PLAIN\r\n", |_| None));
    let (mail, folder) = login(mail(&server, MailSecurity::Starttls, authority.trusted()));
    let program = Program::new().env("CREDENTIALS_DIRECTORY", folder.path().to_str().expect("text"));
    let report = program.carry_out(Delivery::Mail(mail));
    assert!(matches!(report, Report::Failed(Cause::Unsupported(_))), "{report:?}");
    let heard = server.heard();
    assert!(!heard.iter().any(|line| line.starts_with("AUTH") || line.starts_with("MAIL")), "{heard:?}");
}

#[test]
fn an_answer_before_tls_is_not_taken_for_one_of_the_server() {
    let authority = Authority::new();
    let server = Server::start_plain(Some(authority.server(&["localhost"])), |peer| {
        peer.say("220 test\r\n")?;
        peer.line()?;
        peer.say("250-test\r\n250 STARTTLS\r\n")?;
        peer.line()?;
        // A stranger on the way adds answers to the one without TLS, and keeps what follows from the server.
        peer.say("220 go\r\n250 forged\r\n250 a\r\n250 b\r\n250 c\r\n354 d\r\n250 taken\r\n221 bye\r\n")?;
        peer.upgrade();
        peer.hang()
    });
    let mail = mail(&server, MailSecurity::Starttls, authority.trusted());
    let report = Program::new().carry_out_within(Delivery::Mail(mail), Duration::from_secs(2));
    assert!(matches!(report, Report::Failed(Cause::Protocol(_))), "{report:?}");
}

#[test]
fn a_mail_that_is_taken_is_delivered_without_an_answer_to_the_farewell() {
    let authority = Authority::new();
    let server = Server::start(Some(authority.server(&["localhost"])), |peer| {
        peer.say("220 test\r\n")?;
        take(peer, "", |_| None)?;
        peer.hang()
    });
    let mail = mail(&server, MailSecurity::Tls, authority.trusted());
    let report = Program::new().carry_out_within(Delivery::Mail(mail), Duration::from_secs(2));
    assert_eq!(report, Report::Delivered);
}

#[test]
fn only_a_trusted_certificate_of_the_name_gets_a_mail() {
    let (trusted, other) = (Authority::new(), Authority::new());
    for config in [other.server(&["localhost"]), trusted.server(&["mail.example.org"]), trusted.expired()] {
        for security in [MailSecurity::Tls, MailSecurity::Starttls] {
            let script = |peer: &mut Peer| serve(peer, "250-STARTTLS\r\n", |_| None);
            let server = match security {
                MailSecurity::Tls => Server::start(Some(config.clone()), script),
                MailSecurity::Starttls | MailSecurity::None => Server::start_plain(Some(config.clone()), script),
            };
            let report = Program::new().carry_out(Delivery::Mail(mail(&server, security, trusted.trusted())));
            assert!(matches!(report, Report::Failed(Cause::Tls(_))), "{report:?}");
            assert!(!server.heard().iter().any(|line| line.starts_with("MAIL")));
        }
    }
}

#[test]
fn a_relay_on_this_machine_needs_no_tls_and_no_other_does_without() {
    let server = Server::start_plain(None, |peer| serve(peer, "", |_| None));
    let here = mail(&server, MailSecurity::None, OrderAuthority::System);
    assert_eq!(Program::new().carry_out(Delivery::Mail(here.clone())), Report::Delivered);
    let there = Mail { server: Host::try_from("mail.example.org".to_owned()).expect("a host"), ..here };
    let report = Program::new().carry_out(Delivery::Mail(there));
    assert!(matches!(report, Report::Failed(Cause::Order(_))), "{report:?}");
}

#[test]
fn a_refused_login_and_a_refused_mail_have_their_causes() {
    let authority = Authority::new();
    let server = Server::start(Some(authority.server(&["localhost"])), |peer| {
        serve(peer, "250-AUTH PLAIN\r\n", |line| line.starts_with("AUTH").then_some("535 5.7.8 no\r\n"))
    });
    let (mail, folder) = login(mail(&server, MailSecurity::Tls, authority.trusted()));
    let program = Program::new().env("CREDENTIALS_DIRECTORY", folder.path().to_str().expect("text"));
    let report = program.carry_out(Delivery::Mail(mail));
    assert!(matches!(&report, Report::Failed(Cause::Login(_))), "{report:?}");
    let (report, _) = with_tls("", |line| line.starts_with("RCPT").then_some("550 5.1.1 unknown\r\n"));
    assert!(
        matches!(&report, Report::Failed(Cause::Refused(550, said)) if said.as_str().contains("unknown")),
        "{report:?}"
    );
}

#[test]
fn a_greylisted_mail_is_for_later_and_the_next_order_succeeds() {
    let authority = Authority::new();
    let server = Server::start(Some(authority.server(&["localhost"])), |peer| {
        let number = peer.number;
        serve(peer, "", move |line| (line.starts_with("RCPT") && number == 0).then_some("451 4.7.1 greylisted\r\n"))
    });
    let mail = mail(&server, MailSecurity::Tls, authority.trusted());
    let first = Program::new().carry_out(Delivery::Mail(mail.clone()));
    assert!(matches!(first, Report::Failed(Cause::Later(451, _))), "{first:?}");
    assert_eq!(Program::new().carry_out(Delivery::Mail(mail)), Report::Delivered);
}

#[test]
fn a_mail_server_that_hangs_is_given_up() {
    let authority = Authority::new();
    let server = Server::start(Some(authority.server(&["localhost"])), Peer::hang);
    let mail = mail(&server, MailSecurity::Tls, authority.trusted());
    let report = Program::new().carry_out_within(Delivery::Mail(mail), Duration::from_millis(400));
    assert_eq!(report, Report::Failed(Cause::Timeout));
}

#[test]
fn an_answer_without_an_end_takes_no_memory() {
    let authority = Authority::new();
    for begin in ["220 ", "220-a\r\n220-"] {
        let server = Server::start(Some(authority.server(&["localhost"])), move |peer| {
            peer.say(begin)?;
            loop {
                peer.write(&[b'x'; 65536])?;
            }
        });
        let mail = mail(&server, MailSecurity::Tls, authority.trusted());
        let report = Program::new().carry_out_within(Delivery::Mail(mail), Duration::from_secs(20));
        assert!(matches!(report, Report::Failed(Cause::Protocol(_))), "{report:?}");
    }
    let used = getrusage(UsageWho::RUSAGE_CHILDREN).expect("usage").max_rss();
    assert!(used < 64 << 10, "{used} KiB");
}
