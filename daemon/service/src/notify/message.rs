//! The words of a notification, and the order for them.

use butterdock_net_protocol::{Authority, ContentType, Delivery, HttpUrl, Line, Mail, Order, Post};
use serde_json::json;

use super::NotifyFailure;
use super::notification::{About, Notification};
use crate::config::{MailRule, NotifyChannel, NotifyRule};

/// The time for an order.
const TIMEOUT_MS: u32 = 60_000;

/// What carries a notification over a channel. `machine` is the name of this one.
///
/// # Errors
/// The URL cannot be completed.
pub(super) fn order(
    rule: &NotifyRule,
    notification: &Notification,
    machine: &str,
    authority: Authority,
) -> Result<Order, NotifyFailure> {
    let delivery = match &rule.channel {
        NotifyChannel::Mail(mail) => Delivery::Mail(of_mail(mail, notification, machine, authority)),
        NotifyChannel::Webhook { url, token } => Delivery::Post(Post {
            url: url.clone(),
            authority,
            token: token.clone(),
            content_type: ContentType::Json,
            body: of_webhook(notification, machine),
        }),
        NotifyChannel::Ntfy { server, topic, token } => Delivery::Post(Post {
            url: server.clone(),
            authority,
            token: token.clone(),
            content_type: ContentType::Json,
            body: of_ntfy(topic, notification, machine),
        }),
        NotifyChannel::Healthchecks { url } => Delivery::Post(Post {
            url: ping(url, notification.about)?,
            authority,
            token: None,
            content_type: ContentType::Text,
            body: text(notification, machine),
        }),
    };
    Ok(Order { version: env!("CARGO_PKG_VERSION").to_owned(), timeout_ms: TIMEOUT_MS, delivery })
}

fn of_mail(rule: &MailRule, notification: &Notification, machine: &str, authority: Authority) -> Mail {
    let MailRule { server, port, security, login, from, to } = rule;
    Mail {
        server: server.clone(),
        port: *port,
        security: *security,
        authority,
        login: login.clone(),
        from: from.clone(),
        to: to.clone(),
        id: Line::of(&notification.id.to_string()),
        time: notification.time / 1_000_000,
        subject: Line::of(&format!("{machine}: {}", headline(notification))),
        text: text(notification, machine),
    }
}

fn of_webhook(notification: &Notification, machine: &str) -> String {
    let Notification { id, channel: _, about, time, drive, label, backup, job, error, message, .. } = notification;
    json!({
        "version": 1,
        "id": id,
        "event": about.word(),
        "time": time,
        "machine": machine,
        "drive": drive,
        "label": label,
        "backup": backup,
        "job": job,
        "error": error,
        "message": message,
        "text": headline(notification),
    })
    .to_string()
}

fn of_ntfy(topic: &Line, notification: &Notification, machine: &str) -> String {
    let (priority, tag) = match notification.about {
        About::BackupFailed | About::Full | About::Overdue | About::VerifyFailed | About::Pulled => (4, "warning"),
        About::BackupDone | About::Recovered | About::Test => (3, "white_check_mark"),
    };
    json!({
        "topic": topic,
        "title": format!("{machine}: {}", headline(notification)),
        "message": if notification.message.is_empty() { headline(notification) } else { notification.message.clone() },
        "priority": priority,
        "tags": [tag],
    })
    .to_string()
}

/// The URL of a check for an event.
fn ping(url: &HttpUrl, about: About) -> Result<HttpUrl, NotifyFailure> {
    let end = match about {
        About::BackupDone => "",
        About::BackupFailed | About::Full | About::VerifyFailed | About::Overdue | About::Pulled => "/fail",
        // It is shown there, and changes nothing.
        About::Test | About::Recovered => "/log",
    };
    url.with_path(&format!("{}{end}", url.path())).map_err(|why| NotifyFailure::Program(Line::of(why)))
}

/// What happened, in a sentence without an end.
fn headline(notification: &Notification) -> String {
    let Notification { about, label, drive, backup, .. } = notification;
    let drive = if label.is_empty() { drive } else { label };
    let to = if drive.is_empty() { String::new() } else { format!(" to the drive \"{drive}\"") };
    match about {
        About::BackupDone => format!("the backup \"{backup}\"{to} succeeded"),
        About::BackupFailed => format!("the backup \"{backup}\"{to} failed"),
        About::Full => format!("the backup \"{backup}\"{to} failed for lack of space"),
        About::Overdue => format!("the backup \"{backup}\" is overdue"),
        // A verify found a drive good again.
        About::Recovered if backup.is_empty() => format!("the backup drive \"{drive}\" is no longer damaged"),
        About::Recovered => format!("the backup \"{backup}\" is no longer overdue"),
        About::VerifyFailed => format!("the backup drive \"{drive}\" is damaged"),
        About::Pulled => format!("the backup drive \"{drive}\" was unplugged before it was safe"),
        About::Test => "this is a test of butterdock's notifications".to_owned(),
    }
}

fn text(notification: &Notification, machine: &str) -> String {
    let mut text = format!("{machine}: {}.\n", headline(notification));
    if !notification.message.is_empty() {
        text.push_str(&format!("\n{}.\n", notification.message));
    }
    if notification.about != About::Test {
        text.push_str("\nOn that machine, `butterdock backups` and `butterdock drives` show the state.\n");
    }
    text
}

#[cfg(test)]
mod tests {
    use serde_json::Value;
    use uuid::Uuid;

    use super::*;
    use crate::config::{NotifyEvent, VolumeName};
    use crate::hooks::{Event, Kind};

    fn rule(channel: NotifyChannel) -> NotifyRule {
        let name = VolumeName::try_from("me".to_owned()).expect("a name");
        NotifyRule { name, channel, events: vec![NotifyEvent::BackupFailed], backups: Vec::new(), ca: None }
    }

    fn url(text: &str) -> HttpUrl {
        HttpUrl::try_from(text.to_owned()).expect("a URL")
    }

    fn hostile() -> Event {
        let label = "Blue\r\nBcc: eve@example.org\",\"event\":\"backup-done\u{1b}[2J";
        let message = "no\n.\nQUIT".to_owned();
        Event {
            backup: "home".to_owned(),
            message,
            job: Some(Uuid::nil()),
            ..Event::of(Kind::BackupFailed, "7-7", label)
        }
    }

    fn ordered(channel: NotifyChannel) -> Delivery {
        let rule = rule(channel);
        let notification = Notification::of(&hostile(), &rule, 7_000_000).expect("wanted");
        order(&rule, &notification, "nas", Authority::System).expect("an order").delivery
    }

    fn mail() -> NotifyChannel {
        let address = |text: &str| text.to_owned().try_into().expect("an address");
        NotifyChannel::Mail(MailRule {
            server: "localhost".to_owned().try_into().expect("a host"),
            port: 25,
            security: butterdock_net_protocol::MailSecurity::None,
            login: None,
            from: address("nas@example.org"),
            to: vec![address("ann@example.org")],
        })
    }

    #[test]
    fn a_label_adds_no_line_to_a_mail() {
        let Delivery::Mail(mail) = ordered(mail()) else { panic!("a mail") };
        assert!(
            mail.subject.as_str().starts_with("nas: the backup \"home\" to the drive \"Blue\\r\\nBcc:"),
            "{mail:?}"
        );
        let is_plain = |text: &str| text.chars().all(|letter| letter == '\n' || !letter.is_control());
        assert!(is_plain(&mail.text) && !mail.subject.as_str().contains('\n'), "{mail:?}");
        assert!(!mail.text.lines().any(|line| line == "." || line == "QUIT"), "{mail:?}");
        assert_eq!(mail.time, 7);
    }

    #[test]
    fn a_label_adds_no_key_to_json() {
        let Delivery::Post(post) = ordered(NotifyChannel::Webhook { url: url("https://a.b/hook"), token: None }) else {
            panic!("a request")
        };
        let body: Value = serde_json::from_str(&post.body).expect("JSON");
        assert_eq!(
            (&body["event"], &body["backup"], &body["machine"]),
            (&"backup-failed".into(), &"home".into(), &"nas".into())
        );
        assert!(body["label"].as_str().is_some_and(|label| label.starts_with("Blue\\r\\nBcc: eve")), "{body}");
        let ntfy = NotifyChannel::Ntfy { server: url("https://ntfy.sh/"), topic: Line::of("nas"), token: None };
        let Delivery::Post(post) = ordered(ntfy) else { panic!("a request") };
        let body: Value = serde_json::from_str(&post.body).expect("JSON");
        assert_eq!((&body["topic"], &body["priority"]), (&"nas".into(), &4.into()));
    }

    #[test]
    fn a_check_hears_of_each_end_of_a_backup_and_of_nothing_else() {
        let rule = rule(NotifyChannel::Healthchecks { url: url("https://hc-ping.com/1-2") });
        let asked = |kind| {
            let event = Event { backup: "home".to_owned(), ..Event::of(kind, "7-7", "Blue") };
            let notification = Notification::of(&event, &rule, 7)?;
            match order(&rule, &notification, "nas", Authority::System).expect("an order").delivery {
                Delivery::Post(post) => Some(post.url.to_string()),
                Delivery::Mail(_) => None,
            }
        };
        assert_eq!(asked(Kind::BackupDone).as_deref(), Some("https://hc-ping.com/1-2"));
        assert_eq!(asked(Kind::BackupFailed).as_deref(), Some("https://hc-ping.com/1-2/fail"));
        assert_eq!(asked(Kind::Full).as_deref(), Some("https://hc-ping.com/1-2/fail"));
        for kind in [Kind::BackupStarted, Kind::BackupCancelled, Kind::Overdue, Kind::Safe, Kind::Unknown] {
            assert_eq!(asked(kind), None, "{kind:?}");
        }
    }

    #[test]
    fn other_channels_hear_only_of_their_events_and_backups() {
        let mail = rule(mail());
        let of = |rule: &NotifyRule, kind, backup: &str| {
            let event = Event { backup: backup.to_owned(), ..Event::of(kind, "7-7", "Blue") };
            Notification::of(&event, rule, 7).is_some()
        };
        assert!(of(&mail, Kind::BackupFailed, "home"));
        assert!(!of(&mail, Kind::BackupDone, "home") && !of(&mail, Kind::Overdue, "home"));
        let one = NotifyRule { backups: vec!["etc".to_owned()], ..mail };
        assert!(of(&one, Kind::BackupFailed, "etc") && !of(&one, Kind::BackupFailed, "home"));
    }
}
