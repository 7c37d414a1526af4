//! What may stand on a command line: a target for fuzzing.

use std::ffi::OsString;
use std::os::unix::ffi::OsStringExt as _;

/// Arguments, with a NUL behind each. What is wrong is said with code 2, in bounded lines that can be shown; and the longest
/// spelling of options means what any of their spellings means.
pub fn arguments(bytes: &[u8]) {
    let all: Vec<OsString> =
        bytes.split(|byte| *byte == 0).map(|one| OsString::from_vec(one.to_vec())).collect();
    // A password comes from a file of the machine.
    if bytes.windows(5).any(|word| word.eq_ignore_ascii_case(b"_file") || word.eq_ignore_ascii_case(b"-file"))
    {
        return;
    }
    match super::parse(all.clone(), &|_| None) {
        Ok((options, command)) => {
            let texts = all.into_iter().filter_map(|one| one.into_string().ok()).collect();
            let Ok(super::Normalised::Arguments(canonical)) = super::normalise::normalise(texts) else {
                panic!("it was a command");
            };
            let again = super::parse(canonical.into_iter().map(Into::into).collect(), &|_| None);
            assert_eq!(format!("{again:?}"), format!("{:?}", Ok::<_, super::Answer>((options, command))));
        }
        Err(answer) => {
            assert!(answer.code == if answer.stderr.is_empty() { 0 } else { 2 });
            assert!(answer.stderr.len() < 1000 + 10 * bytes.len());
            assert!(
                !answer.stderr.contains(|c: char| c.is_control() && c != '\n' && c != '\t'),
                "{:?}",
                answer.stderr
            );
        }
    }
}

#[cfg(test)]
mod tests {
    #[test]
    fn arguments_may_be_anything() {
        crate::fuzz::run("arguments", super::arguments);
    }
}
