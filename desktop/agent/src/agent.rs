//! The loop: what the buses say goes into the story, what the story says goes to the servers of the session.

use std::collections::BTreeMap;
use std::time::{Duration, Instant, SystemTime, UNIX_EPOCH};

use butterdock_dbus::DriveState;
use tokio::sync::mpsc::{self, UnboundedReceiver, UnboundedSender};
use zbus::Connection;
use zbus::names::OwnedUniqueName;

use crate::actions::perform;
use crate::ask::{Failure, unlock};
use crate::jobview::JobViews;
use crate::notify::Notifier;
use crate::pinentry::Closer;
use crate::session;
use crate::settings::SettingsFile;
use crate::story::{Action, Now, Output, Story};
use crate::window;
use butterdock_desktop::objects::Objects;
use butterdock_desktop::output::{complain, inform};
use butterdock_desktop::watch::{self, Event};
use butterdock_desktop::words::Words;

/// How long changes are gathered: the end of a job, the state of its drive and its problems are signals of their own.
const GATHER: Duration = Duration::from_millis(150);

/// What the loop waits for.
#[derive(Debug)]
pub(crate) enum Input {
    /// From the service.
    Service(Event),
    /// From a server of the session.
    Session(SessionInput),
    /// An action has ended.
    Performed(Action, Result<(), Failure>),
    /// The story wanted to look again.
    LookAgain,
    /// The session bus is gone.
    SessionEnded,
}

/// What servers of the session say.
#[derive(Debug)]
pub(crate) enum SessionInput {
    /// The server has closed the notification with this id.
    Closed(u32),
    /// A button of the notification with this id was pressed; its key.
    Invoked(u32, String),
    /// The job view at this path was cancelled.
    CancelRequested(String),
    /// The notification server has this unique name now; without one it is not there any more.
    NotificationServer(Option<OwnedUniqueName>),
    /// The server for job views has this unique name now; without one it is not there any more.
    JobViewServer(Option<OwnedUniqueName>),
}

impl From<Event> for Input {
    fn from(event: Event) -> Self {
        Self::Service(event)
    }
}

/// Runs until the session ends. Returns at once if the session has an agent already.
///
/// # Errors
/// There is no session bus, or it is gone.
pub(crate) async fn run() -> zbus::Result<()> {
    let (inputs, received) = mpsc::unbounded_channel();
    let Some(session) = session::connect(&inputs).await? else {
        complain("another butterdock-agent runs in this session");
        return Ok(());
    };
    let mut file = SettingsFile::of_user();
    let story = Story::new(Words::of_session(), file.read());
    let jobviews = JobViews::new(session.clone()).await?;
    tokio::spawn(watch::follow(inputs.clone()));
    let agent = Agent {
        inputs,
        objects: Objects::default(),
        session: session.clone(),
        service: None,
        story,
        file,
        notifier: Notifier::new(session),
        jobviews,
        performing: Vec::new(),
        dialogs: BTreeMap::new(),
        began: Instant::now(),
    };
    agent.run(received).await
}

#[derive(Debug)]
struct Agent {
    inputs: UnboundedSender<Input>,
    objects: Objects,
    /// The connection to the session's bus.
    session: Connection,
    /// The connection to the service's bus.
    service: Option<Connection>,
    story: Story,
    file: SettingsFile,
    notifier: Notifier,
    jobviews: JobViews,
    /// The actions that have not ended: a button that is pressed twice asks once.
    performing: Vec<Action>,
    /// The dialogs that ask for the passphrases of drives, by the path of the drive.
    dialogs: BTreeMap<String, Closer>,
    began: Instant,
}

impl Agent {
    async fn run(mut self, mut received: UnboundedReceiver<Input>) -> zbus::Result<()> {
        while let Some(input) = received.recv().await {
            let mut next = Some(input);
            let (mut is_changed, mut is_read) = (false, false);
            while let Some(input) = next.take() {
                match input {
                    Input::Service(Event::Lost) => {
                        // What was true before comes first.
                        self.look(is_changed).await;
                        is_changed = false;
                        self.objects = Objects::default();
                        let outputs = self.story.lost();
                        self.show(outputs).await;
                    }
                    Input::Service(event) => {
                        if !is_changed {
                            tokio::time::sleep(GATHER).await;
                        }
                        is_read |= matches!(event, Event::Objects(_));
                        is_changed |= self.apply(event);
                    }
                    Input::LookAgain => is_changed = true,
                    Input::SessionEnded => return Err(zbus::Error::Failure("the session bus is gone".to_owned())),
                    Input::Session(input) => self.handle(input).await,
                    Input::Performed(action, result) => self.performed(&action, result).await,
                }
                next = received.try_recv().ok();
            }
            self.look(is_changed).await;
            if is_read {
                inform("butterdock-agent follows the service");
            }
        }
        Ok(())
    }

    /// Applies an event of the service; whether objects changed.
    fn apply(&mut self, event: Event) -> bool {
        if let Event::Connected(bus) = event {
            self.service = Some(bus);
            return false;
        }
        let wrong = event.apply(&mut self.objects);
        wrong.iter().for_each(|wrong| complain(&wrong.to_string()));
        true
    }

    async fn handle(&mut self, input: SessionInput) {
        match input {
            SessionInput::Closed(id) => self.notifier.closed(id),
            SessionInput::Invoked(id, key) => {
                let action = self.notifier.action(id, &key);
                if let Some(action) = &action
                    && self.story.answer(action)
                {
                    self.look(true).await;
                } else {
                    self.perform(action);
                }
            }
            SessionInput::CancelRequested(view) => {
                let action = self.jobviews.action(&view);
                self.perform(action);
            }
            SessionInput::NotificationServer(owner) => self.notifier.server_changed(owner).await,
            SessionInput::JobViewServer(owner) => self.jobviews.server_changed(owner).await,
        }
    }

    /// An action has ended; a failure is shown.
    async fn performed(&mut self, action: &Action, result: Result<(), Failure>) {
        self.performing.retain(|performing| performing != action);
        if let Action::Unlock { drive } = action {
            self.dialogs.remove(drive);
        }
        if let Err(failure) = result {
            complain(&format!("a button failed: {failure}"));
            let output = self.story.failed(action, &failure);
            self.show(vec![output]).await;
        }
    }

    /// Performs an action beside the loop: it may wait for a password.
    fn perform(&mut self, action: Option<Action>) {
        let (Some(action), Some(bus)) = (action, self.service.clone()) else { return };
        if self.performing.contains(&action) {
            return;
        }
        self.performing.push(action.clone());
        let inputs = self.inputs.clone();
        if let Action::Unlock { drive } = &action {
            let (drive, (dialog, wrong)) = (drive.clone(), self.story.unlock(drive));
            let (session, closer) = (self.session.clone(), Closer::default());
            self.dialogs.insert(drive.clone(), closer.clone());
            tokio::spawn(async move {
                let result = unlock(&bus, &session, &drive, dialog, &wrong, &closer).await;
                inputs.send(Input::Performed(action, result)).ok();
            });
            return;
        }
        let session = self.session.clone();
        tokio::spawn(async move {
            // The window shows which drive it is; without one, the drive is enrolled as it is.
            if let Action::Enrol { drive } = &action
                && window::shows_enrolment(&session, drive).await
            {
                inputs.send(Input::Performed(action, Ok(()))).ok();
                return;
            }
            let result = perform(&bus, &action).await.map_err(Failure::from);
            inputs.send(Input::Performed(action, result)).ok();
        });
    }

    async fn look(&mut self, is_changed: bool) {
        if !is_changed {
            return;
        }
        for (drive, closer) in &self.dialogs {
            // Another person has unlocked it, or it was unplugged.
            if self.objects.drives.get(drive).is_none_or(|drive| drive.state != DriveState::Locked) {
                closer.close();
            }
        }
        let wall = SystemTime::now().duration_since(UNIX_EPOCH).unwrap_or_default();
        let wall = u64::try_from(wall.as_micros()).unwrap_or(u64::MAX);
        let outputs = self.story.look(&self.objects, Now { wall, monotonic: self.began.elapsed() });
        self.show(outputs).await;
        if let Err(error) = self.file.write(self.story.settings()) {
            complain(&format!("the agent cannot remember what it showed: {error}"));
        }
    }

    async fn show(&mut self, outputs: Vec<Output>) {
        for output in outputs {
            match output {
                Output::Activity(activity) => {
                    if !self.jobviews.show(&activity).await {
                        self.notifier.show_activity(activity).await;
                    }
                }
                Output::ActivityEnded { key, error } => {
                    self.jobviews.end(&key, error.as_deref()).await;
                }
                Output::Show(message) => self.notifier.show(message).await,
                Output::Close(key) => self.notifier.close(&key).await,
                Output::LookAgain(after) => {
                    let inputs = self.inputs.clone();
                    tokio::spawn(async move {
                        tokio::time::sleep(after).await;
                        inputs.send(Input::LookAgain).ok();
                    });
                }
            }
        }
    }
}
