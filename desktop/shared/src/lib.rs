//! What the programs of a desktop session share: how they follow the service, and their words.
//!
//! ```text
//! watch     the service's objects over the system bus, as events        objects   the objects as they are now
//! words     the words, in the language of the session                   wording   drives, problems and progress in words
//! text      untrusted text, such as the label of a drive                output    the standard streams
//! undumpable  a process with a secret in it
//! ```

pub mod objects;
pub mod output;
pub mod text;
pub mod undumpable;
pub mod watch;
pub mod wording;
pub mod words;
