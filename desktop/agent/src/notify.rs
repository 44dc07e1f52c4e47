//! Messages as desktop notifications: `org.freedesktop.Notifications`.
//!
//! What a server can do decides how a message looks there. Progress is shown only by dunst and mako, which draw the hint `value`
//! beside the text; for all others a backup has a notification at its start and one at its end. A message that a person has
//! closed does not come back before it says something else.

use std::collections::{BTreeMap, HashMap};

use zbus::names::OwnedUniqueName;
use zbus::{Connection, Variant};

use crate::story::{Action, Activity, Button, Key, Message, Tone};
use butterdock_desktop::output::complain;

/// The name of the server, and of its interface.
pub(crate) const NAME: &str = "org.freedesktop.Notifications";
/// The desktop file of the agent, without its extension: servers find the settings of the program by it.
pub(crate) const DESKTOP_ENTRY: &str = "org.butterdock.Agent";

const PATH: &str = "/org/freedesktop/Notifications";
/// The program's name in notifications.
const PROGRAM: &str = "butterdock";

/// The notifications that are shown.
#[derive(Debug)]
pub(crate) struct Notifier {
    session: Connection,
    server: Option<Server>,
    shown: BTreeMap<Key, Shown>,
    /// The number of the last buttons.
    revision: u64,
    /// Whether the missing server was reported.
    complained: bool,
}

/// A notification, and what it says.
#[derive(Debug)]
struct Shown {
    /// Since a server has shown it.
    id: Option<u32>,
    /// Whether a person or the server has closed it. The signal may also mean what was replaced at that moment under the same id.
    dismissed: bool,
    content: Content,
    /// The number of its buttons: others under the same id have another one, because a press may still be of the old ones.
    revision: u64,
}

#[derive(Debug)]
enum Content {
    Message(Message),
    Activity(Activity),
}

impl Notifier {
    /// Shows nothing yet, and asks no server before there is something to show.
    pub(crate) fn new(session: Connection) -> Self {
        Self { session, server: None, shown: BTreeMap::new(), revision: 0, complained: false }
    }

    /// Shows a message in place of the one about the same.
    pub(crate) async fn show(&mut self, message: Message) {
        self.send(message.key.clone(), Content::Message(message)).await;
    }

    /// Shows a running backup, or what is new of it.
    pub(crate) async fn show_activity(&mut self, activity: Activity) {
        if let Some(shown) = self.shown.get_mut(&activity.key)
            && let Content::Activity(_) = shown.content
        {
            let is_updated = self.server.as_ref().is_some_and(|server| server.draws_value);
            if shown.dismissed || !is_updated {
                shown.content = Content::Activity(activity);
                return;
            }
        }
        self.send(activity.key.clone(), Content::Activity(activity)).await;
    }

    /// Closes a message that is not true any more.
    pub(crate) async fn close(&mut self, key: &Key) {
        if let Some(Shown { id: Some(id), dismissed, .. }) = self.shown.remove(key) {
            self.withdraw(id, dismissed).await;
        }
    }

    /// The server has closed a notification.
    pub(crate) fn closed(&mut self, id: u32) {
        if let Some(shown) = self.shown.values_mut().find(|shown| shown.id == Some(id)) {
            shown.dismissed = true;
        }
    }

    /// The action of the button with this key of a notification.
    pub(crate) fn action(&self, id: u32, key: &str) -> Option<Action> {
        let shown = self.shown.values().find(|shown| shown.id == Some(id))?;
        shown.action(key)
    }

    /// The server has this unique name now, or is not there any more: a new one shows what the old one showed.
    pub(crate) async fn server_changed(&mut self, owner: Option<OwnedUniqueName>) {
        let is_known = matches!((&self.server, &owner), (Some(server), Some(owner)) if server.has_name(owner));
        if !is_known {
            self.server = None;
            self.shown.values_mut().for_each(|shown| shown.id = None);
        }
        if owner.is_some() {
            self.complained = false;
            for (key, shown) in std::mem::take(&mut self.shown) {
                if shown.dismissed || shown.id.is_some() {
                    self.shown.insert(key, shown);
                } else {
                    self.send(key, shown.content).await;
                }
            }
        }
    }

    async fn send(&mut self, key: Key, content: Content) {
        let shown = self.shown.remove(&key);
        let revision = match &shown {
            Some(shown) if shown.content.buttons() == content.buttons() => shown.revision,
            Some(_) | None => {
                self.revision = self.revision.wrapping_add(1);
                self.revision
            }
        };
        let replaced = match shown {
            Some(Shown { id: Some(id), dismissed: true, .. }) => {
                self.withdraw(id, true).await;
                0
            }
            Some(Shown { id, .. }) => id.unwrap_or_default(),
            None => 0,
        };
        let id = self.notify(replaced, &content, revision).await;
        self.shown.insert(key, Shown { id, dismissed: false, content, revision });
    }

    /// Closes a notification. One that was dismissed is most likely closed: then the server answers with an error.
    async fn withdraw(&self, id: u32, dismissed: bool) {
        let done = self.session.call_method(Some(NAME), PATH, Some(NAME), "CloseNotification", &id).await;
        if let (Err(error), false) = (done, dismissed) {
            complain(&format!("a notification stays: {error}"));
        }
    }

    /// Sends a notification; its id. Without a server it is shown when one comes.
    async fn notify(&mut self, replaced: u32, content: &Content, revision: u64) -> Option<u32> {
        let sent = async {
            if self.server.is_none() {
                self.server = Some(Server::ask(&self.session).await?);
            }
            let Some(server) = &self.server else { return Ok(None) };
            let Notification { icon, title, body, actions, hints, expires } = server.notification(content, revision);
            let arguments = (PROGRAM, replaced, icon, title, body, actions, hints, expires);
            let reply = self.session.call_method(Some(NAME), PATH, Some(NAME), "Notify", &arguments).await?;
            reply.body().deserialize::<u32>().map(Some)
        };
        match sent.await {
            Ok(id) => id,
            Err(error) => {
                if !self.complained {
                    complain(&format!("no notification server shows messages: {error}; waiting for one"));
                    self.complained = true;
                }
                None
            }
        }
    }
}

impl Shown {
    /// The action of the button with this key.
    fn action(&self, key: &str) -> Option<Action> {
        let mut buttons = self.content.buttons().iter().enumerate();
        let (_, button) = buttons.find(|(number, _)| action_key(self.revision, *number) == key)?;
        Some(button.action.clone())
    }
}

/// The key of a button.
fn action_key(revision: u64, number: usize) -> String {
    format!("{revision}.{number}")
}

impl Content {
    /// The buttons.
    fn buttons(&self) -> &[Button] {
        match self {
            Self::Message(message) => &message.buttons,
            Self::Activity(activity) => activity.stop.as_slice(),
        }
    }
}

/// What the server can do.
#[derive(Debug, PartialEq, Eq)]
struct Server {
    /// Its unique name.
    owner: Option<OwnedUniqueName>,
    /// It draws a bar for the hint `value`, and shows text and buttons beside it.
    draws_value: bool,
    has_body: bool,
    has_markup: bool,
    has_buttons: bool,
    has_sound: bool,
}

/// The arguments of `Notify`.
#[derive(Debug)]
struct Notification {
    icon: &'static str,
    title: String,
    body: String,
    /// Keys and labels in turn.
    actions: Vec<String>,
    hints: HashMap<&'static str, Variant<'static>>,
    /// -1: the server decides; 0: never.
    expires: i32,
}

impl Server {
    async fn ask(session: &Connection) -> zbus::Result<Self> {
        let reply = session.call_method(Some(NAME), PATH, Some(NAME), "GetServerInformation", &()).await?;
        let owner = reply.header().sender().map(|sender| sender.to_owned().into());
        let (name, _vendor, _version, _spec): (String, String, String, String) = reply.body().deserialize()?;
        let reply = session.call_method(Some(NAME), PATH, Some(NAME), "GetCapabilities", &()).await?;
        Ok(Self::new(owner, &name, &reply.body().deserialize::<Vec<String>>()?))
    }

    fn new(owner: Option<OwnedUniqueName>, name: &str, capabilities: &[String]) -> Self {
        let can = |capability: &str| capabilities.iter().any(|known| known == capability);
        Self {
            owner,
            draws_value: ["dunst", "mako"].contains(&name),
            has_body: can("body"),
            has_markup: can("body-markup"),
            has_buttons: can("actions"),
            has_sound: can("sound"),
        }
    }

    /// Whether it is the one with this unique name. The bus says that the name of the servers has a new owner also after the first
    /// call of the agent has started the server.
    fn has_name(&self, owner: &OwnedUniqueName) -> bool {
        self.owner.as_ref() == Some(owner)
    }

    fn notification(&self, content: &Content, revision: u64) -> Notification {
        let (icon, sound, title, body, stays) = match content {
            Content::Message(message) => {
                let (icon, sound) = appearance(message.tone);
                (icon, sound, &message.title, &message.body, message.stays)
            }
            Content::Activity(activity) => (RUNNING_ICON, None, &activity.title, &activity.body, true),
        };
        let mut hints = HashMap::from([
            ("desktop-entry", Variant::from(DESKTOP_ENTRY)),
            ("urgency", Variant::from(NORMAL)),
            ("resident", Variant::from(stays)),
        ]);
        if let Content::Activity(activity) = content
            && self.draws_value
        {
            hints.insert("urgency", Variant::from(LOW));
            if let Some(percent) = activity.percent {
                hints.insert("value", Variant::from(i32::try_from(percent).unwrap_or_default()));
            }
        }
        if let (true, Some(sound)) = (self.has_sound, sound) {
            hints.insert("sound-name", Variant::from(sound));
        }
        let buttons = content.buttons().iter().filter(|_| self.has_buttons).enumerate();
        let actions = buttons.flat_map(|(key, button)| [action_key(revision, key), button.label.clone()]).collect();
        let (title, body) = match (self.has_body, self.has_markup) {
            (false, _) => (format!("{title}: {body}"), String::new()),
            (true, true) => (title.clone(), escaped(body)),
            (true, false) => (title.clone(), body.clone()),
        };
        Notification { icon, title, body, actions, hints, expires: if stays { 0 } else { -1 } }
    }
}

/// Urgencies of the specification. None is critical: that would break through do-not-disturb.
const LOW: u8 = 0;
const NORMAL: u8 = 1;

const RUNNING_ICON: &str = "butterdock";

/// The icon and the sound of a message. The icons are the package's own: dunst does not find the old ones of Adwaita.
fn appearance(tone: Tone) -> (&'static str, Option<&'static str>) {
    match tone {
        Tone::Safe => ("butterdock-safe", Some("complete")),
        Tone::Neutral => (RUNNING_ICON, None),
        Tone::Warning => ("butterdock-warning", Some("dialog-warning")),
        Tone::Error => ("butterdock-error", Some("dialog-error")),
    }
}

/// Text for a server that reads markup.
fn escaped(text: &str) -> String {
    text.replace('&', "&amp;").replace('<', "&lt;").replace('>', "&gt;")
}

#[cfg(test)]
mod tests {
    use super::*;

    fn server(name: &str, capabilities: &[&str]) -> Server {
        Server::new(None, name, &capabilities.iter().map(|word| (*word).to_owned()).collect::<Vec<_>>())
    }

    fn message(tone: Tone) -> Content {
        let action = Action::Verify { destination: "/d".to_owned() };
        let buttons = vec![Button { label: "Verify".to_owned(), action }];
        let (title, body) = ("<Blue> & co".to_owned(), "<b>Blue</b> & co".to_owned());
        Content::Message(Message { key: Key::Drive("/d".to_owned()), title, body, buttons, tone, stays: true })
    }

    fn activity() -> Content {
        Content::Activity(Activity {
            key: Key::Drive("/d".to_owned()),
            title: "Backing up to Blue".to_owned(),
            backup: "home".to_owned(),
            body: "home: 42 % of about 1.0 GB".to_owned(),
            percent: Some(42),
            bytes: 420,
            total: 1000,
            rate: 7,
            stop: None,
        })
    }

    #[test]
    fn the_server_that_a_call_started_is_not_a_new_one() {
        let unique = |name: &str| OwnedUniqueName::try_from(name).expect("a unique name");
        let server = Server::new(Some(unique(":1.7")), "x", &[]);
        assert!(server.has_name(&unique(":1.7")) && !server.has_name(&unique(":1.8")));
        assert!(!Server::new(None, "x", &[]).has_name(&unique(":1.7")));
    }

    #[test]
    fn a_press_of_a_replaced_button_does_nothing() {
        let shown = Shown { id: Some(1), dismissed: false, content: message(Tone::Error), revision: 7 };
        assert_eq!(shown.action("7.0"), Some(Action::Verify { destination: "/d".to_owned() }));
        for key in ["6.0", "7.1", "0", "", "default"] {
            assert_eq!(shown.action(key), None, "{key}");
        }
    }

    #[test]
    fn markup_is_escaped_where_the_server_reads_it() {
        let shown = |capabilities: &[&str]| server("x", capabilities).notification(&message(Tone::Safe), 1);
        let (with, without) = (shown(&["body", "body-markup"]), shown(&["body"]));
        assert_eq!((&*with.title, &*with.body), ("<Blue> & co", "&lt;b&gt;Blue&lt;/b&gt; &amp; co"));
        assert_eq!(without.body, "<b>Blue</b> & co");
        assert_eq!(shown(&[]).title, "<Blue> & co: <b>Blue</b> & co");
    }

    #[test]
    fn a_bar_is_for_servers_that_keep_the_text_beside_it() {
        let has_value =
            |name: &str| server(name, &["body", "actions"]).notification(&activity(), 1).hints.contains_key("value");
        assert!(has_value("dunst") && has_value("mako"));
        assert!(!has_value("Xfce Notify Daemon") && !has_value("gnome-shell") && !has_value("Plasma"));
    }

    #[test]
    fn buttons_and_sounds_depend_on_capabilities() {
        let plain = server("x", &["body"]).notification(&message(Tone::Error), 7);
        assert!(plain.actions.is_empty() && !plain.hints.contains_key("sound-name"));
        let rich = server("x", &["body", "actions", "sound"]).notification(&message(Tone::Error), 7);
        assert_eq!(rich.actions, ["7.0", "Verify"]);
        assert_eq!(rich.hints["sound-name"], Variant::from("dialog-error"));
    }

    #[test]
    fn a_message_that_stays_never_expires_and_none_is_critical() {
        for tone in [Tone::Safe, Tone::Neutral, Tone::Warning, Tone::Error] {
            let shown = server("dunst", &["body"]).notification(&message(tone), 1);
            assert_eq!((shown.expires, &shown.hints["resident"]), (0, &Variant::from(true)));
            assert_eq!(shown.hints["urgency"], Variant::from(NORMAL));
        }
    }
}
