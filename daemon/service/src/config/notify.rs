//! `[[notify]]`: who hears of failures, and how.

use std::path::PathBuf;

use butterdock_net_protocol::{CredentialName, Host, HttpUrl, Line, MailAddress, MailSecurity};
use serde::Deserialize;

use super::validated::{AbsolutePath, VolumeName};

/// Limit of receivers of a mail.
const MOST_RECEIVERS: usize = 20;

/// A channel for notifications.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct NotifyRule {
    /// Its name for callers.
    pub name: VolumeName,
    /// Where it leads.
    pub channel: NotifyChannel,
    /// The events that it reports.
    pub events: Vec<NotifyEvent>,
    /// Only of these backups; all if it is empty.
    pub backups: Vec<String>,
    /// The certificates of the server's authority (default: those that the system trusts).
    pub ca: Option<PathBuf>,
}

/// Where a channel leads.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum NotifyChannel {
    /// Mails by SMTP.
    Mail(MailRule),
    /// JSON to a URL.
    Webhook {
        /// The URL.
        url: HttpUrl,
        /// The credential that is sent as a bearer token.
        token: Option<CredentialName>,
    },
    /// A topic of an ntfy server.
    Ntfy {
        /// The server.
        server: HttpUrl,
        /// The topic.
        topic: Line,
        /// The credential that is sent as a bearer token.
        token: Option<CredentialName>,
    },
    /// A check of healthchecks.io, or of a server with the same API: it raises an alarm when nothing comes.
    Healthchecks {
        /// The URL of the check.
        url: HttpUrl,
    },
}

/// Mails by SMTP.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct MailRule {
    /// The server that takes them.
    pub server: Host,
    /// Its port.
    pub port: u16,
    /// How the connection is protected.
    pub security: MailSecurity,
    /// The user at the server, and the credential that has the password.
    pub login: Option<(Line, CredentialName)>,
    /// The sender.
    pub from: MailAddress,
    /// The receivers.
    pub to: Vec<MailAddress>,
}

/// An event that a channel can report.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub enum NotifyEvent {
    /// A backup failed.
    BackupFailed,
    /// A backup failed for lack of space.
    Full,
    /// A backup had no good run for too long.
    Overdue,
    /// It is no longer overdue.
    Recovered,
    /// A verify found damage on a drive.
    VerifyFailed,
    /// A drive was unplugged before it was safe.
    Pulled,
}

/// The events that a channel reports by default.
const USUAL: [NotifyEvent; 5] = [
    NotifyEvent::BackupFailed,
    NotifyEvent::Full,
    NotifyEvent::Overdue,
    NotifyEvent::Recovered,
    NotifyEvent::VerifyFailed,
];

/// `[[notify]]`.
#[derive(Debug, Deserialize)]
#[serde(try_from = "Written")]
pub(super) struct Notify {
    pub(super) rule: NotifyRule,
    pub(super) enabled: bool,
}

#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
struct Written {
    name: VolumeName,
    kind: Kind,
    events: Option<Vec<NotifyEvent>>,
    #[serde(default)]
    backups: Vec<String>,
    url: Option<HttpUrl>,
    server: Option<Host>,
    port: Option<u16>,
    security: Option<MailSecurity>,
    user: Option<Line>,
    credential: Option<CredentialName>,
    from: Option<MailAddress>,
    to: Option<Vec<MailAddress>>,
    ca: Option<AbsolutePath>,
    #[serde(default = "super::file::enabled")]
    enabled: bool,
}

#[derive(Clone, Copy, Deserialize)]
#[serde(rename_all = "kebab-case")]
enum Kind {
    Mail,
    Webhook,
    Ntfy,
    Healthchecks,
}

impl TryFrom<Written> for Notify {
    type Error = &'static str;

    fn try_from(mut written: Written) -> Result<Self, Self::Error> {
        let channel = match written.kind {
            Kind::Mail => NotifyChannel::Mail(written.mail()?),
            Kind::Webhook => {
                let (url, token) = (written.only_url()?, written.credential.take());
                NotifyChannel::Webhook { url, token }
            }
            Kind::Ntfy => {
                let (url, token) = (written.only_url()?, written.credential.take());
                let (server, topic) = topic(&url)?;
                NotifyChannel::Ntfy { server, topic, token }
            }
            Kind::Healthchecks => NotifyChannel::Healthchecks { url: written.check()? },
        };
        let Written { name, events, backups, ca, enabled, .. } = written;
        let events = events.unwrap_or_else(|| USUAL.to_vec());
        Ok(Self { rule: NotifyRule { name, channel, events, backups, ca: ca.map(|path| path.0) }, enabled })
    }
}

impl Written {
    fn mail(&mut self) -> Result<MailRule, &'static str> {
        if self.url.is_some() {
            return Err("a channel of the kind mail has no `url`; it has `server`");
        }
        let (Some(server), Some(from), Some(to)) = (self.server.take(), self.from.take(), self.to.take()) else {
            return Err("a channel of the kind mail needs `server`, `from` and `to`");
        };
        if to.is_empty() || to.len() > MOST_RECEIVERS {
            return Err("a mail has 1 to 20 receivers");
        }
        let security = self.security.unwrap_or(MailSecurity::Tls);
        let port = match (self.port, security) {
            (Some(0), _) => return Err("a port is a number from 1 to 65535"),
            (Some(port), _) => port,
            (None, MailSecurity::Tls) => 465,
            (None, MailSecurity::Starttls) => 587,
            (None, MailSecurity::None) => 25,
        };
        if security == MailSecurity::None && !server.is_loopback() {
            return Err("security = \"none\" is only for a server on this machine (localhost)");
        }
        let login = match (self.user.take(), self.credential.take()) {
            (Some(user), Some(credential)) => Some((user, credential)),
            (None, None) => None,
            (Some(_), None) | (None, Some(_)) => {
                return Err("`user` and `credential` (the password) are set together, or neither is");
            }
        };
        Ok(MailRule { server, port, security, login, from, to })
    }

    fn only_url(&mut self) -> Result<HttpUrl, &'static str> {
        let Self { server, port, security, user, from, to, .. } = self;
        if server.is_some() || port.is_some() || security.is_some() || user.is_some() || from.is_some() || to.is_some()
        {
            return Err("only a channel of the kind mail has `server`, `port`, `security`, `user`, `from` and `to`");
        }
        self.url.take().ok_or("this channel needs a `url`")
    }

    fn check(&mut self) -> Result<HttpUrl, &'static str> {
        let url = self.only_url()?;
        if self.events.is_some() {
            return Err("a channel of the kind healthchecks has no `events`: it reports each end of a backup");
        }
        if self.credential.is_some() {
            return Err("a channel of the kind healthchecks has no `credential`: its URL is the secret");
        }
        if url.path().contains('?') || url.path().ends_with('/') {
            return Err("the URL of a check ends with its id, such as https://hc-ping.com/<id>");
        }
        Ok(url)
    }
}

/// The server and the topic of an ntfy URL.
fn topic(url: &HttpUrl) -> Result<(HttpUrl, Line), &'static str> {
    let wrong = "the URL of ntfy ends with the topic: letters, digits, - and _, such as https://ntfy.sh/my-nas";
    let (folder, topic) = url.path().rsplit_once('/').ok_or(wrong)?;
    let is_letter = |letter: u8| letter.is_ascii_alphanumeric() || b"-_".contains(&letter);
    if !(1..=64).contains(&topic.len()) || !topic.bytes().all(is_letter) {
        return Err(wrong);
    }
    Ok((url.with_path(&format!("{folder}/"))?, Line::of(topic)))
}

impl NotifyRule {
    /// The rule in words, for `check-config`, without a secret.
    pub(crate) fn words(&self) -> String {
        let Self { name, channel, events, backups, ca: _ } = self;
        let of = match backups.as_slice() {
            [] => "of all backups".to_owned(),
            names => format!("of the backups {}", names.join(", ")),
        };
        let events = events.iter().map(|event| event.word()).collect::<Vec<_>>().join(", ");
        match channel {
            NotifyChannel::Mail(MailRule { server, to, .. }) => {
                let to = to.iter().map(ToString::to_string).collect::<Vec<_>>().join(", ");
                format!("Notify \"{name}\": mails to {to} through {server} about {events} {of}.")
            }
            NotifyChannel::Webhook { url, .. } => {
                format!("Notify \"{name}\": a request to {} about {events} {of}.", url.server())
            }
            NotifyChannel::Ntfy { server, .. } => {
                format!("Notify \"{name}\": ntfy at {} about {events} {of}.", server.server())
            }
            NotifyChannel::Healthchecks { url } => {
                format!("Notify \"{name}\": the check at {} hears of each end {of}.", url.server())
            }
        }
    }
}

impl NotifyChannel {
    /// The kind, as in the file.
    #[must_use]
    pub fn kind(&self) -> &'static str {
        match self {
            Self::Mail(_) => "mail",
            Self::Webhook { .. } => "webhook",
            Self::Ntfy { .. } => "ntfy",
            Self::Healthchecks { .. } => "healthchecks",
        }
    }
}

impl NotifyEvent {
    /// The word in the file.
    #[must_use]
    pub fn word(self) -> &'static str {
        match self {
            Self::BackupFailed => "backup-failed",
            Self::Full => "full",
            Self::Overdue => "overdue",
            Self::Recovered => "recovered",
            Self::VerifyFailed => "verify-failed",
            Self::Pulled => "pulled",
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const MAIL: &str =
        "kind = \"mail\"\nserver = \"mail.example.org\"\nfrom = \"nas@example.org\"\nto = [\"ann@example.org\"]\n";

    fn rule(text: &str) -> Result<NotifyRule, String> {
        let read = toml::from_str::<Notify>(&format!("name = \"me\"\n{text}"));
        read.map(|notify| notify.rule).map_err(|error| error.message().to_owned())
    }

    #[test]
    fn a_mail_is_encrypted_unless_it_stays_on_this_machine() {
        let NotifyChannel::Mail(mail) = rule(MAIL).expect("good").channel else { panic!("a mail") };
        assert_eq!((mail.port, mail.security, mail.login), (465, MailSecurity::Tls, None));
        let none = "security = \"none\"\n";
        assert!(rule(&format!("{MAIL}{none}")).is_err_and(|text| text.contains("only for a server on this machine")));
        let here = MAIL.replace("mail.example.org", "localhost");
        assert!(rule(&format!("{here}{none}")).is_ok());
        let login = "user = \"nas\"\ncredential = \"mail\"\nsecurity = \"starttls\"\n";
        let NotifyChannel::Mail(mail) = rule(&format!("{MAIL}{login}")).expect("good").channel else {
            panic!("a mail")
        };
        assert!(mail.port == 587 && mail.login.is_some());
    }

    #[test]
    fn never_mails_of_success() {
        let events = |list: &str| rule(&format!("{MAIL}events = {list}\n")).map(|rule| rule.events);
        assert_eq!(rule(MAIL).expect("good").events, USUAL);
        assert_eq!(events("[\"pulled\"]"), Ok(vec![NotifyEvent::Pulled]));
        assert!(events("[\"backup-done\"]").is_err_and(|text| text.contains("unknown variant `backup-done`")));
    }

    #[test]
    fn each_kind_has_only_its_own_keys() {
        let ntfy = rule("kind = \"ntfy\"\nurl = \"https://ntfy.example.org/x/my-nas\"\ncredential = \"ntfy\"\n");
        let NotifyChannel::Ntfy { server, topic, .. } = ntfy.expect("good").channel else { panic!("ntfy") };
        assert_eq!((server.to_string().as_str(), topic.as_str()), ("https://ntfy.example.org/x/", "my-nas"));
        assert!(rule("kind = \"webhook\"\nurl = \"http://localhost:8080/hook?key=1\"\n").is_ok());
        assert!(rule("kind = \"healthchecks\"\nurl = \"https://hc-ping.com/1-2\"\nbackups = [\"home\"]\n").is_ok());
        for (wrong, what) in [
            ("kind = \"webhook\"\nurl = \"http://example.org/\"\n".to_owned(), "only for this machine"),
            ("kind = \"webhook\"\nurl = \"ftp://example.org/\"\n".to_owned(), "begins with https"),
            ("kind = \"webhook\"\n".to_owned(), "needs a `url`"),
            (
                "kind = \"webhook\"\nurl = \"https://a.b/\"\nfrom = \"a@b\"\n".to_owned(),
                "only a channel of the kind mail",
            ),
            ("kind = \"ntfy\"\nurl = \"https://ntfy.sh/\"\n".to_owned(), "ends with the topic"),
            ("kind = \"healthchecks\"\nurl = \"https://hc.org/x\"\nevents = []\n".to_owned(), "has no `events`"),
            ("kind = \"healthchecks\"\nurl = \"https://hc.org/x\"\ncredential = \"a\"\n".to_owned(), "no `credential`"),
            ("kind = \"healthchecks\"\nurl = \"https://hc.org/x/\"\n".to_owned(), "ends with its id"),
            (format!("{MAIL}url = \"https://a.b/\"\n"), "has no `url`"),
            (format!("{MAIL}user = \"a\"\n"), "set together"),
            (format!("{MAIL}user = \"a\"\ncredential = \"/etc/shadow\"\n"), "name of a credential"),
            (MAIL.replace("ann@example.org", "a@b>\\nRCPT TO:<c@d"), "a mail address is"),
            (MAIL.replace("[\"ann@example.org\"]", "[]"), "1 to 20 receivers"),
            ("kind = \"sms\"\n".to_owned(), "unknown variant"),
        ] {
            let refused = rule(&wrong).expect_err(&wrong);
            assert!(refused.contains(what), "{wrong}: {refused}");
        }
    }

    #[test]
    fn words_have_no_secret() {
        let words = rule("kind = \"healthchecks\"\nurl = \"https://hc-ping.com/5ecret\"\n").expect("good").words();
        assert!(words.contains("https://hc-ping.com") && !words.contains("5ecret"), "{words}");
    }
}
