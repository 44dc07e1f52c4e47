//! The dialog that asks for the passphrase of a drive.

use std::rc::Rc;

use adw::prelude::*;
use butterdock_window_model::unlock::{unlock_dialog, unlock_error};
use gtk::glib;

use crate::calls;
use crate::context::{Context, spawn};
use crate::secret::take;

use super::form::Form;

/// Asks until the passphrase is right or the person cancels.
pub(crate) fn show(context: &Rc<Context>, parent: &adw::ApplicationWindow, path: &str) {
    let said = context.with_objects(|objects| unlock_dialog(objects, &context.words, path));
    let Some(said) = said else { return };
    let form = Form::new(context, parent, &said.heading);
    form.window.set_default_height(280);
    form.set_verb(&context.text("Unlock"));
    form.submit.set_sensitive(false);
    let group = adw::PreferencesGroup::new();
    group.set_description(Some(&glib::markup_escape_text(&said.body)));
    let entry = adw::PasswordEntryRow::builder().title(context.text("Passphrase")).activates_default(true).build();
    group.add(&entry);
    form.add(&group);
    let dialog = Rc::new(Dialog { context: Rc::clone(context), path: path.to_owned(), form, entry });
    dialog.connect();
    dialog.form.window.present();
    dialog.entry.grab_focus();
}

#[derive(Debug)]
struct Dialog {
    context: Rc<Context>,
    path: String,
    form: Form,
    entry: adw::PasswordEntryRow,
}

impl Dialog {
    /// The window keeps the dialog until it is closed.
    fn connect(self: &Rc<Self>) {
        let submit = self.form.submit.clone();
        self.entry.connect_changed(move |entry| submit.set_sensitive(!entry.text().is_empty()));
        let weak = Rc::downgrade(self);
        self.form.submit.connect_clicked(move |_| {
            if let Some(dialog) = weak.upgrade() {
                spawn(async move { dialog.submit().await });
            }
        });
        self.form.keep(Rc::clone(self));
    }

    async fn submit(&self) {
        let (path, secret) = (self.path.clone(), take(&self.entry));
        self.form.set_error(None);
        self.form.set_busy(true);
        let answer = match secret {
            Ok(secret) => self.context.service.call(|bus| calls::unlock(bus, path, secret)).await,
            Err(error) => Err(zbus::Error::from(error).into()),
        };
        self.form.set_busy(false);
        match answer {
            Ok(()) => self.form.window.close(),
            Err(error) => {
                self.form.set_error(Some(&unlock_error(&self.context.words, &error)));
                self.form.submit.set_sensitive(false);
                self.entry.grab_focus();
            }
        }
    }
}
