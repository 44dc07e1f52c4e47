//! Makes a man page of D-Bus interfaces from the introspection XML and its comments.
//!
//! A comment has paragraphs and, indented below a paragraph, entries: `name  text`, two spaces between, over several
//! lines. An entry may have inner entries, indented further.

use crate::problem_table::{PROBLEMS, ProblemRow};
use roff::{Roff, bold, italic, roman};
use roxmltree::{Document, Node, ParsingOptions};

/// The limits, as in the table of `README.md`.
const LIMITS: [&str; 4] = [
    "Beyond these limits a call fails at once with the error Busy. They do not apply to root.",
    "Unanswered calls: 64 of one user, 256 of all users; of these 8 and 16 with answers over 16 KiB. \
     Bytes of answers: 4 MiB to one user, and 16 KiB more each second; 16 MiB to all users, and 64 KiB more each second. \
     Calls that wait for polkit or a password: 16 of one user, 64 of all users. \
     Descriptors that the service holds: an eighth of its RLIMIT_NOFILE for one user (up to 512), a quarter for all users \
     (up to 4096).",
    "A call of any caller is up to 256 KiB long. A method with a descriptor takes one; the other methods take none.",
    "Refusals count too, 400 bytes each: 8 MiB to one user, and 16 KiB more each second; 12 MiB to all users, and 64 KiB more \
     each second. Calls beyond that get no answer.",
];

/// The man page of these interfaces, in roff.
pub(crate) fn man_page(name: &str, version: &str, texts: &[String]) -> Result<String, String> {
    let mut page = Roff::new();
    page.control("TH", [name, "5", "", &format!("butterdock {version}"), "D-Bus interfaces"]);
    page.control("SH", ["NAME"]);
    page.text([roman(format!("{name} - the D-Bus interface of butterdockd"))]);
    page.control("SH", ["DESCRIPTION"]);
    page.text([
        roman("The service is on the system bus. "),
        bold("busctl introspect"),
        roman(" shows the same members with their values. Types are those of the D-Bus specification: "),
        roman("s a string, o an object path, h a descriptor, t and u unsigned integers, b a boolean, d a floating-point number, "),
        roman("ay and as lists of bytes and strings, a{sv} a dictionary, aa{sv} a list of dictionaries."),
    ]);
    for text in texts {
        // Every introspection file names this document type; the parser does not fetch it.
        let options = ParsingOptions { allow_dtd: true, ..ParsingOptions::default() };
        let document = Document::parse_with_options(text, options).map_err(|error| error.to_string())?;
        interfaces(&mut page, &document)?;
    }
    page.control("SH", ["PROBLEMS"]);
    page.text([roman(
        "The codes in the properties Problems and in ListBackups, with their parameters and what to do:",
    )]);
    for ProblemRow { code, params, remedy } in PROBLEMS {
        let params = params.iter().map(|(name, kind)| format!("{name} ({kind})")).collect::<Vec<_>>().join(", ");
        page.control("TP", [])
            .text([bold(*code), roman(if params.is_empty() { params } else { format!(" {params}") })]);
        page.text([roman(*remedy)]);
    }
    page.control("SH", ["LIMITS"]);
    for text in LIMITS {
        page.control("PP", []).text([roman(text)]);
    }
    page.control("SH", ["SEE ALSO"]);
    page.text([bold("butterdock"), roman("(1), "), bold("butterdockd"), roman("(8), "), bold("busctl"), roman("(1)")]);
    Ok(page.to_roff())
}

fn interfaces(page: &mut Roff, document: &Document<'_>) -> Result<(), String> {
    for interface in document.descendants().filter(|node| node.has_tag_name("interface")) {
        page.control("SH", [format!("THE INTERFACE {}", attribute(interface, "name")?).as_str()]);
        write(page, comment_before(document.root_element())?);
        for (tag, heading) in [("method", "Methods"), ("signal", "Signals"), ("property", "Properties")] {
            let mut members = interface.children().filter(|node| node.has_tag_name(tag)).peekable();
            if members.peek().is_some() {
                page.control("SS", [heading]);
            }
            for member in members {
                page.control("TP", []);
                page.text(head(member)?);
                page.control("RS", []);
                write(page, comment_before(member)?);
                page.control("RE", []);
            }
        }
    }
    Ok(())
}

/// `Receive(s volume, h stream, a{sv} options) -> o job`, `Progress d`
fn head(member: Node<'_, '_>) -> Result<Vec<roff::Inline>, String> {
    let name = bold(attribute(member, "name")?);
    if member.has_tag_name("property") {
        return Ok(vec![name, roman(format!(" {}", attribute(member, "type")?))]);
    }
    let args = |is_out| {
        let args = member.children().filter(|node| node.has_tag_name("arg"));
        let args = args.filter(move |arg| (arg.attribute("direction") == Some("out")) == is_out).enumerate();
        args.map(|(at, arg)| {
            let separator = if at > 0 { ", " } else { "" };
            Ok([roman(format!("{separator}{} ", attribute(arg, "type")?)), italic(attribute(arg, "name")?)])
        })
    };
    let mut line = vec![name, roman("(")];
    line.extend(args(false).collect::<Result<Vec<_>, String>>()?.into_iter().flatten());
    let answers = args(true).collect::<Result<Vec<_>, String>>()?;
    line.push(roman(")"));
    if !answers.is_empty() {
        line.push(roman(" \u{2192} "));
        line.extend(answers.into_iter().flatten());
    }
    Ok(line)
}

fn write(page: &mut Roff, comment: &str) {
    let mut is_inside = false;
    for block in blocks(comment) {
        let goes_inside = matches!(block, Block::Entry { is_inner: true, .. });
        match (is_inside, goes_inside) {
            (false, true) => drop(page.control("RS", [])),
            (true, false) => drop(page.control("RE", [])),
            _ => {}
        }
        is_inside = goes_inside;
        match block {
            Block::Paragraph(text) => page.control("PP", []).text([roman(text)]),
            Block::Entry { name, text, .. } => page.control("TP", []).text([italic(name)]).text([roman(text)]),
        };
    }
    if is_inside {
        page.control("RE", []);
    }
}

/// The comment above a node; a node without a comment is an error.
fn comment_before<'t>(node: Node<'t, 't>) -> Result<&'t str, String> {
    let before = node.prev_siblings().skip(1).find(|node| node.is_comment() || node.is_element());
    let comment = before.filter(Node::is_comment).and_then(|node| node.text());
    comment.ok_or_else(|| format!("{} has no comment", node.attribute("name").unwrap_or("the interface")))
}

fn attribute<'n>(node: Node<'n, '_>, name: &str) -> Result<&'n str, String> {
    node.attribute(name).ok_or_else(|| format!("a {} has no {name}", node.tag_name().name()))
}

/// A paragraph or an entry of a comment, its lines joined.
enum Block {
    Paragraph(String),
    Entry { is_inner: bool, name: String, text: String },
}

impl Block {
    fn text(&mut self) -> &mut String {
        match self {
            Self::Paragraph(text) | Self::Entry { text, .. } => text,
        }
    }
}

/// Splits the text of a comment.
fn blocks(comment: &str) -> Vec<Block> {
    // A comment that begins on the line of its `<!--` is one paragraph.
    let Some(comment) = comment.strip_prefix('\n') else {
        return vec![Block::Paragraph(comment.split_whitespace().collect::<Vec<_>>().join(" "))];
    };
    let indents = comment.lines().filter(|line| !line.trim().is_empty()).map(indent);
    let (base, mut blocks, mut is_open) = (indents.min().unwrap_or(0), Vec::new(), false);
    for line in comment.lines() {
        let (text, depth) = (line.trim(), indent(line).saturating_sub(base));
        if text.is_empty() {
            is_open = false;
        } else if depth > 0 && split_entry(text).is_some() {
            entries(&mut blocks, text, depth > ENTRY);
            is_open = false;
        } else if let Some(last) = blocks.last_mut().filter(|_| depth > 0 || is_open && !text.starts_with("* ")) {
            let before = last.text();
            before.push_str(if before.is_empty() { "" } else { " " });
            before.push_str(text);
        } else {
            blocks.push(Block::Paragraph(text.to_owned()));
            is_open = true;
        }
    }
    blocks
}

/// The indentation of entries below their paragraph; inner entries are indented further.
const ENTRY: usize = 2;

fn entries(blocks: &mut Vec<Block>, text: &str, is_inner: bool) {
    match split_entry(text) {
        Some((name, rest)) if !is_inner && split_entry(rest).is_some() => {
            blocks.push(Block::Entry { is_inner, name: name.to_owned(), text: String::new() });
            entries(blocks, rest, true);
        }
        Some((name, rest)) => blocks.push(Block::Entry { is_inner, name: name.to_owned(), text: rest.to_owned() }),
        None => {}
    }
}

/// The name and the text of an entry.
fn split_entry(text: &str) -> Option<(&str, &str)> {
    text.split_once("  ").map(|(name, rest)| (name, rest.trim_start()))
}

fn indent(line: &str) -> usize {
    line.len() - line.trim_start().len()
}
