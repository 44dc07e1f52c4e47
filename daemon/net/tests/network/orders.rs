//! Orders that are none.

use std::io::Write as _;
use std::net::Shutdown;
use std::os::unix::net::UnixStream;

use butterdock_net_protocol::{Cause, ORDER_MAX, Report};

use super::program::Program;

fn report(send: impl FnOnce(&UnixStream)) -> Report {
    let (report, status) = Program::new().talk(send);
    assert!(status.success());
    report.expect("a report")
}

fn framed(text: &str) -> Vec<u8> {
    let length = u32::try_from(text.len()).expect("short").to_le_bytes();
    [length.as_slice(), text.as_bytes()].concat()
}

#[test]
fn what_is_no_order_is_refused() {
    let post = |url: &str, more: &str| {
        format!(
            "{{\"version\":\"1\",\"timeout_ms\":1000,\"delivery\":{{\"post\":{{\"url\":\"{url}\",\"authority\":\"system\",\
             \"token\":null,\"content_type\":\"json\",\"body\":\"\"{more}}}}}}}"
        )
    };
    for text in [
        "",
        "{}",
        "null",
        &"[".repeat(100_000),
        &post("http://example.org/", ""),
        &post("file:///etc/shadow", ""),
        &post("https://example.org/", ",\"file\":\"/etc/shadow\""),
        &post("https://example.org/\\r\\nX: y", ""),
    ] {
        let got = report(|mut to| to.write_all(&framed(text)).expect("sent"));
        assert!(matches!(got, Report::Failed(Cause::Order(_))), "{got:?}");
    }
}

#[test]
fn an_order_without_an_end_is_refused() {
    let long = report(|mut to| to.write_all(&(ORDER_MAX + 1).to_le_bytes()).expect("sent"));
    assert!(matches!(&long, Report::Failed(Cause::Order(why)) if why.as_str().contains("too long")), "{long:?}");
    let cut = report(|mut to| {
        to.write_all(&framed("{\"version\":")[..8]).expect("sent");
        to.shutdown(Shutdown::Write).expect("shut");
    });
    assert!(matches!(cut, Report::Failed(Cause::Order(_))), "{cut:?}");
    let nothing = report(|to| to.shutdown(Shutdown::Write).expect("shut"));
    assert!(matches!(nothing, Report::Failed(Cause::Order(_))), "{nothing:?}");
}
