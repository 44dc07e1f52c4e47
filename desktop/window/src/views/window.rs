//! The window: its pages, and a page that says that the service is not there.

use std::cell::RefCell;
use std::rc::Rc;

use adw::prelude::*;
use butterdock_window_model::{Action, Button};

use crate::calls;
use crate::context::{Context, spawn};

use super::drives::DrivesPage;
use super::{enrol, unlock};

/// The rules of style that GTK does not have.
const STYLE: &str = ".drive { padding: 15px; }
.drive levelbar block.filled { background-color: alpha(currentColor, 0.4); border-color: transparent; }";

/// The window.
#[derive(Debug)]
pub(crate) struct Window {
    widget: adw::ApplicationWindow,
    context: Rc<Context>,
    /// Says that the service is not there.
    away: adw::StatusPage,
    drives: DrivesPage,
    /// The drive that a dialog is to be opened for as soon as it is known.
    to_enrol: RefCell<Option<String>>,
}

impl Window {
    pub(crate) fn new(application: &adw::Application, context: &Rc<Context>) -> Rc<Self> {
        let widget = adw::ApplicationWindow::builder()
            .application(application)
            .title(context.text("Backup drives"))
            .default_width(720)
            .default_height(640)
            .width_request(340)
            .height_request(290)
            .build();
        load_style(&widget);
        let weak = widget.downgrade();
        let of_button = Rc::clone(context);
        let on_button = Rc::new(move |button: &Button, pressed: &gtk::Button| {
            if let Some(window) = weak.upgrade() {
                press(&of_button, &window, button, pressed);
            }
        });
        let drives = DrivesPage::new(context, on_button);
        let away = adw::StatusPage::builder()
            .icon_name("butterdock-symbolic")
            .title(context.text("The backup service does not run"))
            .description(context.text("This window continues when it runs again. An administrator starts it with: systemctl start butterdockd"))
            .build();
        away.set_vexpand(true);
        let bar = adw::HeaderBar::new();
        let content = gtk::Box::new(gtk::Orientation::Vertical, 0);
        content.append(&bar);
        content.append(&away);
        content.append(&drives.widget);
        widget.set_content(Some(&content));
        Rc::new(Self { widget, context: Rc::clone(context), away, drives, to_enrol: RefCell::default() })
    }

    /// Shows the window.
    pub(crate) fn present(&self) {
        self.widget.present();
    }

    /// Draws what is there now.
    pub(crate) fn draw(&self) {
        let is_there = self.context.objects.borrow().is_some();
        self.away.set_visible(!is_there);
        self.drives.widget.set_visible(is_there);
        self.drives.draw();
        if is_there && let Some(path) = self.to_enrol.take() {
            enrol::show(&self.context, &self.widget, &path);
        }
    }

    /// Opens the dialog that enrols a drive, at once or when the service is there.
    pub(crate) fn enrol_when_known(&self, path: &str) {
        *self.to_enrol.borrow_mut() = Some(path.to_owned());
        if self.context.objects.borrow().is_some() {
            self.draw();
        }
    }
}

/// Does what a button is for.
fn press(context: &Rc<Context>, window: &adw::ApplicationWindow, button: &Button, pressed: &gtk::Button) {
    match &button.action {
        Action::AskEnrol { drive } => enrol::show(context, window, drive),
        Action::AskUnlock { drive } => unlock::show(context, window, drive),
        Action::SafelyRemove { .. }
        | Action::RunAll { .. }
        | Action::Run { .. }
        | Action::Verify { .. }
        | Action::Cancel { .. } => {
            // Twice asks once.
            pressed.set_sensitive(false);
            let (context, action) = (Rc::clone(context), button.action.clone());
            let (window, pressed) = (window.clone(), pressed.clone());
            spawn(async move {
                let answer = context.service.call(|bus| calls::perform(bus, action)).await;
                pressed.set_sensitive(true);
                if let Err(error) = answer {
                    context.show_error(&window, &error);
                }
            });
        }
    }
}

fn load_style(widget: &adw::ApplicationWindow) {
    let provider = gtk::CssProvider::new();
    provider.load_from_data(STYLE);
    let priority = gtk::STYLE_PROVIDER_PRIORITY_APPLICATION;
    gtk::style_context_add_provider_for_display(&WidgetExt::display(widget), &provider, priority);
}
