//! The btrfs send stream, versions 1 to 3, decoded and encoded without I/O and without unsafe code.
//!
//! The way of the data:
//!
//! * Decoding: the caller reads into a block of the `pool` → `decoder` finds a command by its `frame` (length, number,
//!   checksum) → `attribute` finds and checks its attributes → `layout` makes a [`Command`] of them.
//! * Encoding: `encoder` writes a command's attributes in the kernel's order, and its `frame`.
//! * [`text`] prints commands as `btrfs receive --dump` does.
//!
//! The caller reads bytes into [`Decoder::space`], reports their number with [`Decoder::filled`], and takes [`Event`]s from
//! [`Decoder::next`] until it returns [`Event::Starved`]:
//!
//! ```
//! use butterdock_stream::{Command, Decoder, Encoder, Event, Limits, Pool, Version};
//!
//! # fn main() -> Result<(), Box<dyn std::error::Error>> {
//! let mut encoder = Encoder::new(Version::V2);
//! encoder.header();
//! encoder.command(&Command::Mkdir { path: b"photos", ino: Some(257) })?;
//! encoder.command(&Command::End)?;
//! let mut input = encoder.bytes();
//!
//! let mut decoder = Decoder::new(Limits::default(), Pool::default());
//! let mut names = Vec::new();
//! loop {
//!     match decoder.next()? {
//!         Event::Starved if input.is_empty() => break decoder.finish()?,
//!         Event::Starved => {
//!             let n = std::io::Read::read(&mut input, decoder.space()?)?;
//!             decoder.filled(n);
//!         }
//!         Event::Header(_, version) => assert_eq!(version, Version::V2),
//!         Event::Command(framed) => names.push(framed.command.name()),
//!     }
//! }
//! assert_eq!(names, ["MKDIR", "END"]);
//! # Ok(())
//! # }
//! ```
//!
//! Commands borrow from blocks of a bounded [`Pool`]; [`Framed::share`] keeps a part of one beyond the next call without a
//! copy. The decoder checks the lengths in a stream against [`Limits`] before it allocates memory. An unknown command,
//! attribute, version or compression is an error that names it.
//!
//! Source of the format: `fs/btrfs/send.h` of Linux 6.18 and `dev-send-stream.rst` of btrfs-progs.

#![forbid(unsafe_code)]
#![deny(clippy::indexing_slicing, clippy::arithmetic_side_effects)]

mod attribute;
mod command;
mod decoder;
mod encoder;
mod error;
mod frame;
mod layout;
mod pool;
pub mod text;

pub use attribute::Attribute;
pub use command::{Command, Compression, Extent, Identity, Time, Uuid, Version};
pub use decoder::{Decoder, Event, Framed, Limits};
pub use encoder::{EncodeError, Encoder};
pub use error::{Error, ErrorKind, Position};
pub use frame::{FRAME, MAGIC};
pub use pool::{Pool, PoolEmpty, Shared};
