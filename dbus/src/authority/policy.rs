//! The `.policy` file that polkit reads, made from the table.

use super::{ACTIONS, ActionRow};

const HEAD: &str = r#"<?xml version="1.0" encoding="UTF-8"?>
<!DOCTYPE policyconfig PUBLIC "-//freedesktop//DTD PolicyKit Policy Configuration 1.0//EN"
 "http://www.freedesktop.org/standards/PolicyKit/1/policyconfig.dtd">
<!-- Made from dbus/src/authority/action.rs; a test compares the two. -->
<policyconfig>
  <vendor>butterdock</vendor>
"#;

/// The text of `data/org.butterdock.Butterdock1.policy`.
#[must_use]
pub fn policy() -> String {
    let mut out = HEAD.to_owned();
    for row in ACTIONS {
        out.push('\n');
        out.push_str(&action(row));
    }
    out.push_str("</policyconfig>\n");
    out
}

fn action(row: &ActionRow) -> String {
    let mut out = format!("  <action id=\"{}\">\n", row.action.id());
    out.push_str(&line("    ", "description", row.description));
    out.push_str(&line("    ", "message", row.message));
    out.push_str("    <defaults>\n");
    for (element, allow) in [("allow_any", row.any), ("allow_inactive", row.inactive), ("allow_active", row.active)] {
        out.push_str(&line("      ", element, allow.as_str()));
    }
    out.push_str("    </defaults>\n  </action>\n");
    out
}

fn line(indent: &str, element: &str, text: &str) -> String {
    format!("{indent}<{element}>{}</{element}>\n", escaped(text))
}

fn escaped(text: &str) -> String {
    text.replace('&', "&amp;").replace('<', "&lt;").replace('>', "&gt;")
}
