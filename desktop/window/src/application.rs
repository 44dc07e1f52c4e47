//! One instance in each session: a second start shows the window of the first. Other programs, such as the agent, reach its actions
//! over the session bus.

use std::cell::RefCell;
use std::process::ExitCode;
use std::rc::Rc;

use adw::prelude::*;
use butterdock_desktop::objects::Objects;
use butterdock_desktop::output::complain;
use butterdock_desktop::watch::Event;
use gtk::gio::{ApplicationFlags, SimpleAction};
use gtk::glib::VariantTy;
use tokio::sync::mpsc::UnboundedReceiver;

use crate::arguments::Start;
use crate::context::{Context, spawn};
use crate::service::Service;
use crate::views::window::Window;

/// Its name on the session bus.
const ID: &str = "org.butterdock.Window";

/// Runs until the window is closed.
pub(crate) fn run(start: &Start) -> ExitCode {
    let flags = match start {
        Start::Window => ApplicationFlags::empty(),
        Start::Service => ApplicationFlags::IS_SERVICE,
    };
    let application = adw::Application::new(Some(ID), flags);
    let state: Rc<RefCell<Option<Program>>> = Rc::default();
    let at_startup = Rc::clone(&state);
    application.connect_startup(move |application| match Program::start(application) {
        Ok(program) => *at_startup.borrow_mut() = Some(program),
        Err(error) => {
            complain(&format!("butterdock-window cannot start: {error}"));
            application.quit();
        }
    });
    let at_activation = Rc::clone(&state);
    application.connect_activate(move |_| {
        if let Some(program) = &*at_activation.borrow() {
            program.window.present();
        }
    });
    let code = application.run_with_args::<&str>(&[]);
    if code == gtk::glib::ExitCode::SUCCESS { ExitCode::SUCCESS } else { ExitCode::FAILURE }
}

/// The first instance.
#[derive(Debug)]
struct Program {
    window: Rc<Window>,
}

impl Program {
    fn start(application: &adw::Application) -> std::io::Result<Self> {
        let (service, events) = Service::start()?;
        let context = Context::new(service);
        gtk::Window::set_default_icon_name("butterdock");
        let window = Window::new(application, &context);
        // Until the service answers, nothing else would be drawn than all pages at once.
        window.draw();
        add_actions(application, &window);
        spawn(follow(events, Rc::clone(&context), Rc::clone(&window)));
        Ok(Self { window })
    }
}

/// The actions that other programs reach.
fn add_actions(application: &adw::Application, window: &Rc<Window>) {
    // The path of a drive's object.
    let enrol = SimpleAction::new("enrol", Some(VariantTy::STRING));
    let shown = Rc::clone(window);
    enrol.connect_activate(move |_, path| {
        if let Some(path) = path.and_then(gtk::glib::Variant::str) {
            shown.present();
            shown.enrol_when_known(path);
        }
    });
    application.add_action(&enrol);
    let quit = SimpleAction::new("quit", None);
    let application_to_quit = application.clone();
    quit.connect_activate(move |_, _| application_to_quit.quit());
    application.add_action(&quit);
    application.set_accels_for_action("app.quit", &["<Control>q"]);
    application.set_accels_for_action("window.close", &["<Control>w"]);
}

/// Applies what happens to the service, and draws it.
async fn follow(mut events: UnboundedReceiver<Event>, context: Rc<Context>, window: Rc<Window>) {
    while let Some(event) = events.recv().await {
        let mut next = Some(event);
        while let Some(event) = next.take() {
            apply(&context, event);
            next = events.try_recv().ok();
        }
        window.draw();
    }
}

fn apply(context: &Context, event: Event) {
    let mut objects = context.objects.borrow_mut();
    match event {
        Event::Lost => *objects = None,
        Event::Connected(_) => {}
        event @ (Event::Objects(_) | Event::Added(..) | Event::Changed(..) | Event::Removed(..)) => {
            let known = objects.get_or_insert_with(Objects::default);
            event.apply(known).iter().for_each(|wrong| complain(&wrong.to_string()));
        }
    }
}
