//! Small widgets that several views have.

use gtk::prelude::*;

/// A label that wraps. Its text is never markup.
pub(crate) fn label(class: &str) -> gtk::Label {
    let label = gtk::Label::builder().wrap(true).wrap_mode(gtk::pango::WrapMode::WordChar).xalign(0.0).build();
    if !class.is_empty() {
        label.add_css_class(class);
    }
    label
}

/// A button whose words wrap where they have no room. A screen reader says `accessible`.
pub(crate) fn button(words: &str, accessible: &str) -> gtk::Button {
    let text = gtk::Label::builder().label(words).wrap(true).justify(gtk::Justification::Center).build();
    let button = named::<gtk::Button>("GtkButton", accessible);
    button.set_child(Some(&text));
    button
}

/// A widget that a screen reader calls so: by XML, because the bindings have a function for this only from GTK 4.10 on.
pub(crate) fn named<W: IsA<gtk::glib::Object> + Default>(class: &str, accessible: &str) -> W {
    let name = gtk::glib::markup_escape_text(accessible);
    let widget = format!(
        "<interface><object class='{class}' id='it'><accessibility><property name='label'>{name}</property></accessibility></object></interface>"
    );
    gtk::Builder::from_string(&widget).object("it").unwrap_or_default()
}

/// A button with a label that names it also for screen readers. (GTK 4.8 takes no name from a child, and says the property `label`
/// twice.)
pub(crate) fn labelled_button(words: &str) -> (gtk::Button, gtk::Label) {
    let builder = gtk::Builder::from_string(
        "<interface><object class='GtkButton' id='button'><property name='child'><object class='GtkLabel' id='label'/></property>\
         <accessibility><relation name='labelled-by'>label</relation></accessibility></object></interface>",
    );
    let label: gtk::Label = builder.object("label").unwrap_or_default();
    label.set_text(words);
    (builder.object("button").unwrap_or_default(), label)
}

/// A box whose children are below each other.
pub(crate) fn column(spacing: i32) -> gtk::Box {
    gtk::Box::new(gtk::Orientation::Vertical, spacing)
}

/// A box whose children are beside each other.
pub(crate) fn row(spacing: i32) -> gtk::Box {
    gtk::Box::new(gtk::Orientation::Horizontal, spacing)
}

/// Removes all children of a box.
pub(crate) fn clear(parent: &gtk::Box) {
    while let Some(child) = parent.first_child() {
        parent.remove(&child);
    }
}
