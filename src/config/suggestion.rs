//! "Did you mean …?"

/// The candidate that `word` most likely is a slip of, as the end of a message; empty if there is none.
pub(super) fn did_you_mean(word: &str, candidates: &[&str]) -> String {
    // A third of the letters wrong is a slip, more is another word. Nobody means a key by a very long word.
    let word = word.to_ascii_lowercase().replace('-', "_");
    if word.len() > 40 {
        return String::new();
    }
    let allowed = (word.chars().count() / 3).max(1);
    let nearest = candidates.iter().map(|candidate| (distance(&word, candidate), candidate)).min();
    match nearest {
        Some((distance, candidate)) if distance <= allowed => format!(" (did you mean `{candidate}`?)"),
        Some(_) | None => String::new(),
    }
}

/// The path that another most likely is a slip of, as the end of a message; empty if there is none.
pub(super) fn nearest_path<'p>(path: &str, paths: impl Iterator<Item = &'p str>) -> String {
    /// How many letters may be wrong, how long a path may be, and how many are compared.
    const SLIPS: usize = 3;
    const LONGEST: usize = 200;
    const COMPARED: usize = 1000;
    let close = paths.filter(|other| other.len().max(path.len()) <= LONGEST);
    let close = close.filter(|other| other.len().abs_diff(path.len()) <= SLIPS).take(COMPARED);
    let nearest = close.map(|other| (distance(path, other), other)).min();
    let nearest = nearest.filter(|(distance, _)| *distance <= SLIPS);
    nearest.map_or_else(String::new, |(_, other)| format!(" (did you mean {other}?)"))
}

/// How many letters have to be added, removed, replaced or swapped with their neighbour.
fn distance(a: &str, b: &str) -> usize {
    let (a, b): (Vec<char>, Vec<char>) = (a.chars().collect(), b.chars().collect());
    let mut rows: Vec<Vec<usize>> = vec![(0..=b.len()).collect()];
    for i in 1..=a.len() {
        let mut row = vec![i];
        for j in 1..=b.len() {
            let replace = rows[i - 1][j - 1] + usize::from(a[i - 1] != b[j - 1]);
            let mut best = replace.min(rows[i - 1][j] + 1).min(row[j - 1] + 1);
            if i > 1 && j > 1 && a[i - 1] == b[j - 2] && a[i - 2] == b[j - 1] {
                best = best.min(rows[i - 2][j - 2] + 1);
            }
            row.push(best);
        }
        rows.push(row);
    }
    rows[a.len()][b.len()]
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn slips_are_recognised() {
        let check = |word: &str, expected: &str| {
            let keys = ["children", "cancel_timeout", "data", "exists", "email"];
            let expected =
                if expected.is_empty() { String::new() } else { format!(" (did you mean `{expected}`?)") };
            assert_eq!(did_you_mean(word, &keys), expected, "{word}");
        };
        check("childern", "children");
        check("child", "");
        check("Children", "children");
        check("cancel-timeout", "cancel_timeout");
        check("canceltimeout", "cancel_timeout");
        check("dtaa", "data");
        check("exist", "exists");
        check("emails", "email");
        check("colour", "");
        check("", "");
        check(&"x".repeat(1_000_000), "");
    }
}
