//! The line before the lock, in the layout of kazoo's `Lock`: `<32 hex>__lock__<10 digits>`.

/// The mark between a contender's own id and its number.
pub const MARK: &str = "__lock__";

/// One in line.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub struct Contender {
    /// The number that the server gave it; the smallest holds the lock.
    pub number: u64,
    pub name: String,
}

impl Contender {
    /// Reads a znode's name; `None` if it is not of the layout.
    pub fn parse(name: &str) -> Option<Self> {
        let (_, digits) = name.rsplit_once(MARK)?;
        let plain = digits.len() == 10 && digits.bytes().all(|byte| byte.is_ascii_digit());
        Some(Self { number: plain.then(|| digits.parse().ok())??, name: name.to_owned() })
    }

    /// Whether it was made by the process with this id.
    pub fn is_of(&self, id: &str) -> bool {
        self.name.strip_prefix(id).is_some_and(|rest| rest.starts_with(MARK))
    }
}

/// Those in line, the holder first. Other names are ignored.
pub fn line(names: &[String]) -> Vec<Contender> {
    let mut line: Vec<_> = names.iter().filter_map(|name| Contender::parse(name)).collect();
    line.sort();
    line
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_number_alone_decides() {
        let names = [
            "ff__lock__0000000002",
            "00__lock__0000000010",
            "aa__lock__0000000001",
            "junk",
            "x__lock__12",
            "y__lock__-000000001",
        ];
        let line = line(&names.map(str::to_owned));
        assert_eq!(
            line.iter().map(|c| (c.number, &c.name[..2])).collect::<Vec<_>>(),
            [(1, "aa"), (2, "ff"), (10, "00")]
        );
        assert!(line[0].is_of("aa") && !line[0].is_of("a"));
    }
}
