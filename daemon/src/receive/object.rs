//! The objects of `--json`.

use butterdock_receive::{Error, ErrorKind, Kind, Published};
use serde::Serialize;

use super::End;

/// How far it is.
#[derive(Debug, Serialize)]
#[serde(tag = "type", rename = "progress")]
pub(crate) struct Progress {
    bytes: u64,
    total: Option<u64>,
    rate: u64,
    state: &'static str,
}

/// How it ended.
#[derive(Debug, Serialize)]
#[serde(tag = "type", rename = "result")]
pub(crate) struct Results<'a> {
    success: bool,
    exit_status: u8,
    subvolumes: Vec<Subvolume>,
    commands: u64,
    bytes: u64,
    bytes_written: u64,
    encoded_writes: u64,
    fallbacks: u64,
    plain_writes: u64,
    clones: u64,
    files: u64,
    seconds: f64,
    warnings: &'a [String],
    error: Option<Problem>,
}

#[derive(Debug, Serialize)]
struct Subvolume {
    name: String,
    kind: &'static str,
    id: u64,
    received_uuid: String,
    parent_number_differs: bool,
}

#[derive(Debug, Serialize)]
struct Problem {
    kind: &'static str,
    message: String,
    command: Option<u64>,
    byte: Option<u64>,
    name: Option<String>,
}

impl Progress {
    pub(crate) fn new(bytes: u64, total: Option<u64>, rate: u64, state: &'static str) -> Self {
        Self { bytes, total, rate, state }
    }
}

impl<'a> Results<'a> {
    pub(crate) fn new(end: &End, warnings: &'a [String]) -> Self {
        let counts = &end.counts;
        Self {
            success: end.exit == 0,
            exit_status: end.exit,
            subvolumes: end.subvolumes.iter().map(Subvolume::new).collect(),
            commands: counts.commands,
            bytes: counts.bytes,
            bytes_written: counts.bytes_written,
            encoded_writes: counts.encoded_writes,
            fallbacks: counts.fallback_writes,
            plain_writes: counts.plain_writes,
            clones: counts.clones,
            files: counts.files,
            seconds: end.seconds.as_secs_f64(),
            warnings,
            error: end.message.as_deref().map(|message| Problem::new(message, end.error.as_ref())),
        }
    }
}

impl Subvolume {
    fn new(published: &Published) -> Self {
        Self {
            name: readable(&published.name),
            kind: match published.kind {
                Kind::Full => "full",
                Kind::Incremental => "incremental",
            },
            id: published.id,
            received_uuid: published.received_uuid.to_string(),
            parent_number_differs: published.parent_number_differs,
        }
    }
}

impl Problem {
    fn new(message: &str, error: Option<&Error>) -> Self {
        let place = error.and_then(|error| error.place);
        Self {
            kind: error.map_or("Failed", |error| kind(error.kind())),
            message: butterdock_service::text::one_line(message),
            command: place.map(|place| place.command),
            byte: place.map(|place| place.at),
            name: error.and_then(|error| error.name.as_deref()).map(readable),
        }
    }
}

/// The names that the bus gives to errors too.
fn kind(kind: ErrorKind) -> &'static str {
    match kind {
        ErrorKind::InvalidStream => "InvalidStream",
        ErrorKind::TruncatedStream => "TruncatedStream",
        ErrorKind::UnsupportedStream => "UnsupportedStream",
        ErrorKind::ParentMissing => "ParentMissing",
        ErrorKind::NoSpace => "NoSpace",
        ErrorKind::ReadOnly => "ReadOnly",
        ErrorKind::Exists => "Exists",
        ErrorKind::Busy => "Busy",
        ErrorKind::DeviceGone => "DeviceGone",
        ErrorKind::Cancelled => "Cancelled",
        ErrorKind::Failed => "Failed",
    }
}

/// JSON has no bytes: UTF-8 stays as it is, any other byte becomes `\xNN`, and a backslash is doubled.
fn readable(bytes: &[u8]) -> String {
    let mut out = String::with_capacity(bytes.len());
    for chunk in bytes.utf8_chunks() {
        out.push_str(&chunk.valid().replace('\\', "\\\\"));
        for byte in chunk.invalid() {
            out.push_str(&format!("\\x{byte:02x}"));
        }
    }
    out
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn non_utf8_names_are_distinguishable() {
        assert_eq!(readable("día".as_bytes()), "día");
        assert_eq!(readable(b"a\xffb"), "a\\xffb");
        assert_eq!(readable(b"a\\xffb"), "a\\\\xffb");
    }

    #[test]
    fn progress_is_one_object_with_its_type_first() {
        let text = serde_json::to_string(&Progress::new(5, None, 7, "receiving")).expect("written");
        assert_eq!(text, r#"{"type":"progress","bytes":5,"total":null,"rate":7,"state":"receiving"}"#);
    }

    #[test]
    fn a_refusal_is_a_result_with_an_error() {
        let end = End::refused(77, "needs\nroot".to_owned());
        let value = serde_json::to_value(Results::new(&end, &[])).expect("written");
        assert_eq!(value["type"], "result");
        assert_eq!(value["success"], false);
        assert_eq!(value["exit_status"], 77);
        assert_eq!(value["error"]["message"], "needs\\nroot");
    }
}
