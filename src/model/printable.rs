//! Text that may be shown: in a line of the log, on a terminal, in a mail.

/// Whether a character neither ends a line, commands a terminal nor disguises what stands beside it, as marks of the
/// direction of writing do. A znode's name may hold the last, its data and that of the agents' znodes anything.
pub fn is_printable(c: char) -> bool {
    !c.is_control()
        && !matches!(c, '\u{61c}' | '\u{200e}' | '\u{200f}' | '\u{2028}'..='\u{202e}' | '\u{2066}'..='\u{2069}')
}

/// Appends a character, escaped if it is not printable.
pub fn push(shown: &mut String, c: char) {
    if is_printable(c) {
        shown.push(c);
    } else {
        shown.extend(c.escape_default());
    }
}

/// A text with what is not printable escaped, but for what makes lines and columns of it.
pub fn lines(text: &str) -> String {
    let mut shown = String::with_capacity(text.len());
    for c in text.chars() {
        if matches!(c, '\n' | '\t') {
            shown.push(c);
        } else {
            push(&mut shown, c);
        }
    }
    shown
}

/// A text as one line: blanks stand for what is not printable.
pub fn one_line(text: &str) -> String {
    text.chars().map(|c| if is_printable(c) { c } else { ' ' }).collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_commands_or_disguises_is_escaped() {
        let check = |text: &str, expected: &str| assert_eq!(lines(text), expected);
        check("a\tb\nf\u{fc}r \u{96ea}\u{1f980}", "a\tb\nf\u{fc}r \u{96ea}\u{1f980}");
        check("\u{1b}]0;x\u{7}\r\u{9b}", "\\u{1b}]0;x\\u{7}\\r\\u{9b}");
        check("a\u{202e}b\u{2066}\u{2028}\u{200f}\u{61c}", "a\\u{202e}b\\u{2066}\\u{2028}\\u{200f}\\u{61c}");
    }
}
