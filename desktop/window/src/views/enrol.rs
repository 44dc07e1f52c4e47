//! The dialog that enrols a drive.

use std::cell::Cell;
use std::rc::Rc;

use adw::prelude::*;
use butterdock_desktop::wording::error_text;
use butterdock_window_model::enrol::{EnrolDialog, Entered, WayKind, enrol_dialog};

use crate::calls;
use crate::context::{Context, spawn};
use crate::secret::take;

use super::form::{Form, fact_row};

/// Shows the dialog for the drive at this path, if it can be enrolled.
pub(crate) fn show(context: &Rc<Context>, parent: &adw::ApplicationWindow, path: &str) {
    let said = context.with_objects(|objects| enrol_dialog(objects, &context.words, path));
    let Some(said) = said else { return };
    let dialog = Dialog::new(context, parent, path, said);
    dialog.connect();
    dialog.draw();
    dialog.form.window.present();
}

/// The widgets.
#[derive(Debug)]
struct Dialog {
    context: Rc<Context>,
    form: Form,
    path: String,
    said: EnrolDialog,
    ways: Vec<(WayKind, gtk::CheckButton)>,
    of_erasing: adw::PreferencesGroup,
    label: adw::EntryRow,
    proof: adw::EntryRow,
    of_passphrase: adw::PreferencesGroup,
    passphrase: adw::PasswordEntryRow,
    again: adw::PasswordEntryRow,
    keep_key: gtk::Switch,
    is_busy: Cell<bool>,
}

impl Dialog {
    fn new(context: &Rc<Context>, parent: &adw::ApplicationWindow, path: &str, said: EnrolDialog) -> Rc<Self> {
        let form = Form::new(context, parent, &said.heading);
        let of_drive = adw::PreferencesGroup::new();
        said.facts.iter().for_each(|(title, value)| of_drive.add(&fact_row(title, value)));
        form.add(&of_drive);
        let (of_ways, ways) = way_rows(context, &said);
        form.add(&of_ways);
        let of_erasing = adw::PreferencesGroup::new();
        let label = adw::EntryRow::builder().title(context.text("Name of the drive")).text(said.label()).build();
        let asked = if said.has_serial() {
            context.text("Type the serial number, to erase this drive")
        } else {
            let size = said.proof();
            context.words.say("Type {size}, the size in bytes, to erase this drive", &[("size", &size)])
        };
        let proof = adw::EntryRow::builder().title(asked).build();
        of_erasing.add(&label);
        of_erasing.add(&proof);
        form.add(&of_erasing);
        let of_passphrase = adw::PreferencesGroup::new();
        let passphrase = adw::PasswordEntryRow::builder().title(context.text("Passphrase")).build();
        let again = adw::PasswordEntryRow::builder().title(context.text("The passphrase again")).build();
        let keep_key = gtk::Switch::builder().active(true).valign(gtk::Align::Center).build();
        let row = adw::ActionRow::builder()
            .title(context.text("Unlock it by itself"))
            .subtitle(context.text("This computer keeps a key that only root can read."))
            .activatable_widget(&keep_key)
            .build();
        row.add_suffix(&keep_key);
        of_passphrase.add(&passphrase);
        of_passphrase.add(&again);
        of_passphrase.add(&row);
        form.add(&of_passphrase);
        Rc::new(Self {
            context: Rc::clone(context),
            form,
            path: path.to_owned(),
            said,
            ways,
            of_erasing,
            label,
            proof,
            of_passphrase,
            passphrase,
            again,
            keep_key,
            is_busy: Cell::new(false),
        })
    }

    /// The window keeps the dialog until it is closed.
    fn connect(self: &Rc<Self>) {
        let draw = |dialog: &Rc<Self>| {
            let weak = Rc::downgrade(dialog);
            move || weak.upgrade().iter().for_each(|dialog| dialog.draw())
        };
        for (_, button) in &self.ways {
            let draw = draw(self);
            button.connect_toggled(move |_| draw());
        }
        for entry in [
            self.label.upcast_ref::<gtk::Editable>(),
            self.proof.upcast_ref(),
            self.passphrase.upcast_ref(),
            self.again.upcast_ref(),
        ] {
            let draw = draw(self);
            entry.connect_changed(move |_| draw());
        }
        let weak = Rc::downgrade(self);
        self.form.submit.connect_clicked(move |_| {
            if let Some(dialog) = weak.upgrade() {
                spawn(async move { dialog.submit().await });
            }
        });
        self.form.keep(Rc::clone(self));
    }

    fn entered(&self) -> Entered {
        let chosen = self.ways.iter().find(|(_, button)| button.is_active());
        let way = chosen.map_or(WayKind::Keep, |(way, _)| *way);
        let (first, second) = (self.passphrase.text(), self.again.text());
        let is_repeated = way == WayKind::Keep || first == second;
        Entered {
            way,
            label: self.label.text().into(),
            proof: self.proof.text().into(),
            has_passphrase: !first.is_empty() && is_repeated,
            keeps_key: self.keep_key.is_active(),
        }
    }

    fn draw(&self) {
        let entered = self.entered();
        let chosen = self.said.ways.iter().find(|way| way.kind == entered.way);
        self.form.set_verb(chosen.map_or("", |way| &way.button));
        let erases = entered.way != WayKind::Keep;
        self.form.submit.set_css_classes(&[if erases { "destructive-action" } else { "suggested-action" }]);
        self.of_erasing.set_visible(erases);
        self.of_passphrase.set_visible(self.said.needs_passphrase(entered.way));
        self.again.set_visible(entered.way == WayKind::Encrypt);
        self.form.submit.set_sensitive(!self.is_busy.get() && self.said.is_ready(&entered));
    }

    async fn submit(&self) {
        let is_current = self.context.with_objects(|objects| Some(self.said.is_current(objects, &self.path)));
        if is_current != Some(true) {
            let gone = self
                .context
                .text("The drive was unplugged, or is enrolled already. Close this dialog and begin again.");
            self.form.set_error(Some(&gone));
            return;
        }
        let entered = self.entered();
        let options = self.said.options(&entered);
        let secret = self.said.needs_passphrase(entered.way).then(|| take(&self.passphrase)).transpose();
        self.again.set_text("");
        self.form.set_error(None);
        self.is_busy.set(true);
        self.form.set_busy(true);
        let path = self.path.clone();
        let answer = match secret {
            Ok(secret) => self.context.service.call(|bus| calls::enrol(bus, path, secret, options)).await,
            Err(error) => Err(zbus::Error::from(error).into()),
        };
        self.is_busy.set(false);
        self.form.set_busy(false);
        match answer {
            Ok(()) => self.form.window.close(),
            Err(error) => {
                self.form.set_error(Some(&error_text(&self.context.words, &error)));
                self.draw();
            }
        }
    }
}

/// The rows with the ways; the first is chosen.
fn way_rows(context: &Context, said: &EnrolDialog) -> (adw::PreferencesGroup, Vec<(WayKind, gtk::CheckButton)>) {
    let group = adw::PreferencesGroup::builder().title(context.text("What happens to its files")).build();
    if let Some(unmount) = &said.unmount {
        group.set_description(Some(unmount));
    }
    let mut ways: Vec<(WayKind, gtk::CheckButton)> = Vec::new();
    for way in &said.ways {
        // Its row names it.
        let button = gtk::CheckButton::builder().valign(gtk::Align::Center).build();
        match ways.first() {
            Some((_, first)) => button.set_group(Some(first)),
            None => button.set_active(true),
        }
        let row = adw::ActionRow::builder()
            .title(&way.title)
            .subtitle(&way.text)
            .subtitle_lines(0)
            .activatable_widget(&button)
            .build();
        row.add_prefix(&button);
        group.add(&row);
        ways.push((way.kind, button));
    }
    (group, ways)
}
