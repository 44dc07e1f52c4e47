//! Prints a stream as text, without touching a filesystem; needs no root.

use std::io::{self, BufWriter, Read as _, Write as _};
use std::process::ExitCode;

use anyhow::{Context as _, Result};
use butterdock_stream::text::Dump;
use butterdock_stream::{Command, Decoder, Event, Limits, Pool};
use jiff::Timestamp;
use jiff::tz::TimeZone;

use super::ends::Input;
use crate::args::Receive;
use crate::output;

/// Prints one line for every command.
pub(crate) fn run(wanted: &Receive) -> ExitCode {
    match dump(wanted) {
        Ok(()) => ExitCode::SUCCESS,
        Err(error) if is_closed_pipe(&error) => ExitCode::FAILURE,
        Err(error) => {
            output::error(&format!("{error:#}"));
            ExitCode::FAILURE
        }
    }
}

fn dump(wanted: &Receive) -> Result<()> {
    let mut input = Input::open(wanted.file.as_deref())?.file;
    let mut out = BufWriter::with_capacity(64 << 10, io::stdout().lock());
    let done = print(&mut input, &mut out, wanted.terminate_on_end);
    // The commands before an error are printed before the error.
    let flushed = out.flush().context("cannot write to standard output");
    done.and(flushed)
}

fn print(input: &mut impl io::Read, out: &mut impl io::Write, one_stream: bool) -> Result<()> {
    let mut decoder = Decoder::new(Limits::default(), Pool { blocks: 2, ..Pool::default() });
    let mut text = Dump::new(local_zone());
    let mut line = Vec::new();
    loop {
        match decoder.next()? {
            Event::Starved => {
                let needed = decoder.needed();
                let space = decoder.space()?;
                let most = if one_stream { needed.min(space.len()) } else { space.len() };
                let n = input.take(u64::try_from(most)?).read(space).context("cannot read the stream")?;
                if n == 0 {
                    return Ok(decoder.finish()?);
                }
                decoder.filled(n);
            }
            Event::Header(..) => {}
            Event::Command(framed) => {
                line.clear();
                text.line(&mut line, &framed.command);
                out.write_all(&line).context("cannot write to standard output")?;
                if one_stream && matches!(framed.command, Command::End) {
                    return Ok(());
                }
            }
        }
    }
}

/// The reader of the lines has closed the pipe (`| head`), which is no error to report.
fn is_closed_pipe(error: &anyhow::Error) -> bool {
    error.root_cause().downcast_ref::<io::Error>().is_some_and(|cause| cause.kind() == io::ErrorKind::BrokenPipe)
}

/// The local time zone, as a function that says how many seconds it is ahead of UTC at a time. An unreadable zone is UTC.
///
/// `--dump` shows times as `btrfs receive --dump` does, in local time. The C library's localtime(3) is no safe call from
/// Rust; jiff reads the same `TZ` and `/etc/localtime` without it.
pub(super) fn local_zone() -> impl Fn(i64) -> i32 {
    let zone = TimeZone::system();
    move |seconds| {
        // A stream may hold any number: beyond the ends of the calendar the offset stays that of its end.
        let end = if seconds < 0 { Timestamp::MIN } else { Timestamp::MAX };
        zone.to_offset(Timestamp::from_second(seconds).unwrap_or(end)).seconds()
    }
}

#[cfg(test)]
mod tests {
    use butterdock_stream::{Encoder, Version};

    use super::*;

    fn stream(names: &[&[u8]]) -> Vec<u8> {
        let mut encoder = Encoder::new(Version::V1);
        encoder.header();
        for path in names {
            encoder.command(&Command::Unlink { path }).expect("encodable");
        }
        encoder.command(&Command::End).expect("encodable");
        encoder.into_bytes()
    }

    #[test]
    fn a_newline_in_a_name_does_not_make_two_lines() {
        let mut out = Vec::new();
        print(&mut stream(&[b"a\nb"]).as_slice(), &mut out, false).expect("printed");
        assert_eq!(out.iter().filter(|&&byte| byte == b'\n').count(), 1);
    }

    #[test]
    fn terminate_on_end_reads_only_the_first_stream() {
        let both = [stream(&[b"a"]), stream(&[b"b"])].concat();
        let mut rest = both.as_slice();
        print(&mut rest, &mut Vec::new(), true).expect("printed");
        assert_eq!(rest, stream(&[b"b"]));
    }

    #[test]
    fn what_came_before_a_cut_is_printed() {
        let whole = stream(&[b"a", b"b"]);
        let mut out = Vec::new();
        let cut = whole.get(..whole.len() - 12).expect("long enough");
        assert!(print(&mut &*cut, &mut out, false).is_err());
        assert!(out.starts_with(b"unlink"));
    }
}
