//! The btrfs send stream, versions 1 to 3, decoded and encoded without I/O and without unsafe code.
//!
//! The caller reads bytes into [`Decoder::space`], says how many came with [`Decoder::filled`], and takes [`Event`]s from
//! [`Decoder::next`] until it answers [`Event::Starved`]:
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
//! Commands borrow from blocks of a bounded [`Pool`]; [`Framed::share`] keeps a part of one beyond the next call without
//! copying it. What a stream says about lengths is bounded by [`Limits`] before anything is allocated, and whatever is not
//! known (a command, an attribute, a version, a compression) is an error that names it.
//!
//! Source of the format: `fs/btrfs/send.h` of Linux 6.18 and `dev-send-stream.rst` of btrfs-progs.

#![forbid(unsafe_code)]
#![deny(clippy::indexing_slicing, clippy::arithmetic_side_effects)]

mod assemble;
mod attribute;
mod command;
mod crc;
mod decoder;
mod encoder;
mod error;
mod layout;
mod payload;
mod pool;
pub mod text;
mod types;

pub use attribute::Attribute;
pub use command::{Command, Extent, Identity};
pub use decoder::Decoder;
pub use decoder::Limits;
pub use decoder::{Event, Framed};
pub use encoder::{EncodeError, Encoder};
pub use error::Place;
pub use error::{Error, ErrorKind};
pub use pool::Shared;
pub use pool::{Pool, PoolEmpty};
pub use types::{Compression, Time, Uuid, Version};

/// What every stream begins with.
pub const MAGIC: &[u8; 13] = b"btrfs-stream\0";

/// Length of a stream's header: the magic and a le32 version.
pub(crate) const HEADER: usize = 17;

/// Length of a command's header: le32 length of the payload, le16 number, le32 CRC.
pub const FRAME: usize = 10;
