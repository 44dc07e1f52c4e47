//! The comments of the introspection: paragraphs, and entries below them, `name  what it is`, over as many lines as they
//! need; what belongs to an entry may be such entries again.

/// A piece of a comment, its lines joined.
#[derive(Debug, PartialEq, Eq)]
pub(crate) enum Block {
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

/// The pieces of a comment, as it stands between its marks.
pub(crate) fn blocks(comment: &str) -> Vec<Block> {
    // One that begins beside its mark is one paragraph.
    let Some(comment) = comment.strip_prefix('\n') else {
        return vec![Block::Paragraph(comment.split_whitespace().collect::<Vec<_>>().join(" "))];
    };
    let indents = comment.lines().filter(|line| !line.trim().is_empty()).map(indent);
    let (base, mut blocks, mut is_open) = (indents.min().unwrap_or(0), Vec::new(), false);
    for line in comment.lines() {
        let (text, depth) = (line.trim(), indent(line).saturating_sub(base));
        if text.is_empty() {
            is_open = false;
        } else if depth > 0 && two(text).is_some() {
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

/// Entries stand so much deeper than what they belong to.
const ENTRY: usize = 2;

fn entries(blocks: &mut Vec<Block>, text: &str, is_inner: bool) {
    match two(text) {
        Some((name, rest)) if !is_inner && two(rest).is_some() => {
            blocks.push(Block::Entry { is_inner, name: name.to_owned(), text: String::new() });
            entries(blocks, rest, true);
        }
        Some((name, rest)) => blocks.push(Block::Entry { is_inner, name: name.to_owned(), text: rest.to_owned() }),
        None => {}
    }
}

/// What stands before and after the first gap.
fn two(text: &str) -> Option<(&str, &str)> {
    text.split_once("  ").map(|(name, rest)| (name, rest.trim_start()))
}

fn indent(line: &str) -> usize {
    line.len() - line.trim_start().len()
}
