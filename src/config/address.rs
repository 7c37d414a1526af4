//! Mail addresses.

/// Checks one address, and gives it with its domain in lower case. The reason for a refusal quotes nothing of
/// it, since reasons are shown in `/status`.
pub(super) fn parse(text: &str) -> Result<String, &'static str> {
    if text.contains(['\n', '\r']) {
        return Err("has a line break");
    }
    if text.contains(|c: char| c.is_control() || c.is_whitespace()) {
        return Err("has a space or a control character");
    }
    if text.len() > 254 {
        return Err("is longer than 254 bytes");
    }
    let Some((user, domain)) = text.split_once('@') else { return Err("has no @ and no domain") };
    if domain.contains('@') {
        return Err("has more than one @");
    }
    if user.is_empty() {
        return Err("has nothing before the @");
    }
    if domain.is_empty() {
        return Err("has no domain after the @");
    }
    let address = format!("{user}@{}", domain.to_lowercase());
    // The mailer has the last word, so that what passes here can be sent to.
    match address.parse::<lettre::Address>() {
        Ok(_) => Ok(address),
        Err(_) => Err("is not a mail address"),
    }
}

/// The addresses in one text, with commas or spaces between them.
pub(super) fn split(text: &str) -> impl Iterator<Item = &str> {
    text.split([',', ' ']).filter(|address| !address.is_empty())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn addresses_are_judged() {
        let check = |text: &str, expected: Result<&str, &str>| {
            assert_eq!(parse(text).as_deref(), expected.as_ref().map(|address| *address), "{text:?}");
        };
        check("you@home.com", Ok("you@home.com"));
        check("You+zk@Home.COM", Ok("You+zk@home.com"));
        check("root@localhost", Ok("root@localhost"));
        check("ops@bücher.example", Ok("ops@bücher.example"));
        check("ops@[127.0.0.1]", Ok("ops@[127.0.0.1]"));
        check("you", Err("has no @ and no domain"));
        check("you@", Err("has no domain after the @"));
        check("@home.com", Err("has nothing before the @"));
        check("you@home@com", Err("has more than one @"));
        check("you@home.com\nbcc: x@y.z", Err("has a line break"));
        check("you\u{0}@home.com", Err("has a space or a control character"));
        check("you@home..com", Err("is not a mail address"));
        check("<you@home.com>", Err("is not a mail address"));
        check(&format!("{}@home.com", "x".repeat(300)), Err("is longer than 254 bytes"));
    }

    #[test]
    fn lists_are_split() {
        let check =
            |text, expected: &[&str]| assert_eq!(split(text).collect::<Vec<_>>(), expected, "{text:?}");
        check("a@b.c, d@e.f", &["a@b.c", "d@e.f"]);
        check("a@b.c d@e.f,,g@h.i ", &["a@b.c", "d@e.f", "g@h.i"]);
        check(" , ", &[]);
    }
}
