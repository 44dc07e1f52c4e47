//! This room knows the drives: which are there, what is on them, and how one is opened and let go. It touches neither the
//! bus nor the jobs.
//!
//! * `facts` reads what udev says of a device; `text` makes what a drive says fit to be shown.
mod facts;
mod text;

pub(crate) use facts::{Bus, Content, Facts, Mapping, Partition, Properties};
