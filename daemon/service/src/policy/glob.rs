//! Shell patterns for the rules of `match`.

/// Whether `text` is what `pattern` says: `*` stands for any letters, none included, `?` for one; all else for itself.
pub(super) fn matches(pattern: &str, text: &str) -> bool {
    let (pattern, text): (Vec<char>, Vec<char>) = (pattern.chars().collect(), text.chars().collect());
    let (mut p, mut t) = (0_usize, 0_usize);
    // Where the last star was, and up to where it has taken letters: only the last can be wrong, so this ends early.
    let mut star: Option<(usize, usize)> = None;
    while let Some(letter) = text.get(t) {
        match (pattern.get(p), star) {
            (Some('*'), _) => {
                star = Some((p, t));
                p = p.saturating_add(1);
            }
            (Some(wanted), _) if *wanted == '?' || wanted == letter => {
                p = p.saturating_add(1);
                t = t.saturating_add(1);
            }
            (_, Some((at, taken))) => {
                star = Some((at, taken.saturating_add(1)));
                p = at.saturating_add(1);
                t = taken.saturating_add(1);
            }
            (_, None) => return false,
        }
    }
    pattern.get(p..).unwrap_or_default().iter().all(|rest| *rest == '*')
}

#[cfg(test)]
mod tests {
    use super::matches;

    #[test]
    fn patterns_say_what_the_shell_says() {
        for (pattern, text, is) in [
            ("", "", true),
            ("*", "", true),
            ("?", "", false),
            ("/srv/*.img", "/srv/a.img", true),
            ("/srv/*.img", "/srv/a.img.bak", false),
            ("*a*b*", "xxaxxbxx", true),
            ("*a*b", "ab ab a", false),
            ("a?c", "aéc", true),
            ("[a]", "a", false),
            ("pci-0000:*-usb-*", "pci-0000:00:14.0-usb-0:1:1.0-scsi-0:0:0:0", true),
        ] {
            assert_eq!(matches(pattern, text), is, "{pattern} {text}");
        }
    }

    #[test]
    fn many_stars_end_soon() {
        assert!(!matches(&"*a".repeat(100), &"a".repeat(99)));
    }
}
