//! YAML text as a tree in which every value can be traced back to its line and column.
//!
//! The parser tells a position only when it fails, so values are numbered in the order in which they are
//! read; a second reading that fails at a given number tells where that value stands. Duplicate keys, which
//! the parser would silently drop, are kept for the validator to see.
//!
//! The tree stands in memory of its own, which is given back as a whole: a tree for 100,000 rules takes more than
//! the rules, and in the common heap it would leave holes below what is made while it stands.

use std::cell::Cell;
use std::fmt;

use bumpalo::Bump;
use serde::de::{
    self, DeserializeSeed, Deserializer, EnumAccess, MapAccess, SeqAccess, VariantAccess, Visitor,
};

/// How many values a file may unfold to. Aliases could make a small file fill the memory.
const MAX_VALUES: u32 = 3_000_000;

/// How many bytes of text a file may unfold to, for the same reason.
const MAX_TEXT: usize = 64 << 20;

/// How many brackets may be open at once. The parser's work for one value grows with them, and its own limit on
/// depth comes only after that work is done.
const MAX_OPEN_BRACKETS: usize = 1000;

/// How long a key may be that has no "? " in front of it, in characters.
const LONGEST_KEY: usize = 1024;

/// One value of a document.
#[derive(Debug)]
pub(super) struct Node<'b> {
    /// Its number, in the order of reading.
    pub(super) id: u32,
    pub(super) value: Value<'b>,
}

/// What a value is.
#[derive(Clone, Copy, Debug)]
pub(super) enum Value<'b> {
    /// `null`, `~` or nothing.
    Null,
    /// `true` or `false`; YAML 1.1's `yes` and `no` are text.
    Bool(bool),
    Integer(i64),
    Float(f64),
    Text(&'b str),
    List(&'b [Node<'b>]),
    /// A map, with its duplicate keys.
    Map(&'b [(Node<'b>, Node<'b>)]),
    /// Anything with a tag of its own, such as `!include`.
    Tagged,
}

impl Value<'_> {
    /// What it is, in words, for "found …".
    pub(super) fn kind(self) -> &'static str {
        match self {
            Self::Null => "nothing",
            Self::Bool(_) => "a boolean",
            Self::Integer(_) | Self::Float(_) => "a number",
            Self::Text(_) => "text",
            Self::List(_) => "a list",
            Self::Map(_) => "a map",
            Self::Tagged => "a value with a tag",
        }
    }
}

/// A line and a column, both from 1.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub(super) struct Position {
    pub(super) line: usize,
    pub(super) column: usize,
}

/// Why text is no YAML document.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) struct SyntaxError {
    pub(super) position: Option<Position>,
    pub(super) message: String,
}

/// Reads the one document that `text` holds into `memory`. `text` must not start with a byte-order mark.
pub(super) fn parse<'b>(text: &str, memory: &'b Bump) -> Result<Node<'b>, SyntaxError> {
    refuse_control_characters(text)?;
    refuse_open_brackets(text)?;
    let mut documents = serde_yaml::Deserializer::from_str(text);
    let Some(document) = documents.next() else { return Err(SyntaxError::new(None, EMPTY)) };
    let root = Reader { memory, counters: &Counters::new(None) }
        .deserialize(document)
        .map_err(|error| syntax_error(text, &error))?;
    if let Some(second) = documents.next() {
        let position = stop_at(0, second);
        let unfinished = position.and_then(|at| key_without_colon(text, at.line));
        let message = "a second YAML document starts here: a file holds one";
        return Err(unfinished.unwrap_or_else(|| SyntaxError::new(position, message)));
    }
    if let Value::Text(_) = root.value
        && let Some(unfinished) = key_without_colon(text, text.lines().count() + 1)
    {
        return Err(unfinished);
    }
    if matches!(root.value, Value::Null) {
        return Err(SyntaxError::new(None, EMPTY));
    }
    Ok(root)
}

/// Where the value with this number stands in the text that it was read from. What came through an alias
/// stands where its anchor is.
pub(super) fn locate(text: &str, id: u32) -> Option<Position> {
    stop_at(id, serde_yaml::Deserializer::from_str(text).next()?)
}

/// Reads a document as far as this value, and tells where that is.
fn stop_at(id: u32, document: serde_yaml::Deserializer<'_>) -> Option<Position> {
    let reader = Reader { memory: &Bump::new(), counters: &Counters::new(Some(id)) };
    position(&reader.deserialize(document).err()?)
}

/// The position of a byte.
pub(super) fn position_at(text: &str, offset: usize) -> Position {
    let before = text.get(..offset).unwrap_or(text);
    let line_start = before.rfind('\n').map_or(0, |at| at + 1);
    Position {
        line: before.bytes().filter(|byte| *byte == b'\n').count() + 1,
        column: before[line_start..].chars().count() + 1,
    }
}

/// Where a place of a text value stands, whose line there reads so. Only where the file has the line as it is: in a block
/// behind `|`, or as a text in one line, with or without quotes.
pub(super) fn position_within(text: &str, value: Position, place: Position, line: &str) -> Option<Position> {
    let first = text.lines().nth(value.line - 1)?;
    let written: String = first.chars().skip(value.column - 1).collect();
    if written.starts_with('|') {
        let block = text.lines().nth(value.line + place.line - 1)?;
        let indent = block.strip_suffix(line).filter(|indent| indent.bytes().all(|byte| byte == b' '))?;
        return Some(Position { line: value.line + place.line, column: indent.len() + place.column });
    }
    let bare = written.strip_prefix(['"', '\'']).unwrap_or(&written);
    let quote = written.chars().count() - bare.chars().count();
    let is_as_written = place.line == 1 && bare.starts_with(line);
    is_as_written.then_some(Position { line: value.line, column: value.column + quote + place.column - 1 })
}

const EMPTY: &str = "the file is empty: it must hold a rule for each znode to watch";

impl SyntaxError {
    pub(super) fn new(position: Option<Position>, message: &str) -> Self {
        Self { position, message: message.to_owned() }
    }
}

/// The parser refuses these too, but does not tell where they stand.
fn refuse_control_characters(text: &str) -> Result<(), SyntaxError> {
    let is_refused = |c: char| {
        matches!(c, '\0'..='\u{8}' | '\u{b}' | '\u{c}' | '\u{e}'..='\u{1f}' | '\u{7f}'..='\u{84}')
            || matches!(c, '\u{86}'..='\u{9f}' | '\u{feff}' | '\u{fffe}' | '\u{ffff}')
    };
    let Some((offset, bad)) = text.char_indices().find(|(_, c)| is_refused(*c)) else { return Ok(()) };
    let message = format!("the character U+{:04X} is not allowed: is this a text file?", u32::from(bad));
    Err(SyntaxError::new(Some(position_at(text, offset)), &message))
}

/// Counts brackets without regard to quotes, and anew from each line that starts at the margin, as each rule
/// does: no real file comes near the limit.
fn refuse_open_brackets(text: &str) -> Result<(), SyntaxError> {
    let (mut open, mut line_starts) = (0_usize, true);
    for (offset, byte) in text.bytes().enumerate() {
        match byte {
            b'[' | b'{' => open += 1,
            b']' | b'}' => open = open.saturating_sub(1),
            byte if line_starts && byte.is_ascii_graphic() && !b",\"'#".contains(&byte) => open = 0,
            _ => {}
        }
        if open > MAX_OPEN_BRACKETS {
            return Err(SyntaxError::new(Some(position_at(text, offset)), TOO_DEEP));
        }
        line_starts = byte == b'\n';
    }
    Ok(())
}

const TOO_DEEP: &str = "values are nested too deeply, or an alias stands within its own anchor";

fn position(error: &serde_yaml::Error) -> Option<Position> {
    error.location().map(|at| Position { line: at.line(), column: at.column() })
}

/// The last line with anything on it above this one, if that is a single word without a colon: the parser takes it for
/// text that goes on, and complains of what follows.
fn key_without_colon(text: &str, line: usize) -> Option<SyntaxError> {
    let content = |line: &str| line.split(" #").next().unwrap_or_default().trim_end().to_owned();
    let above = text.lines().enumerate().take(line - 1).map(|(at, line)| (at + 1, content(line)));
    let (line, content) = above
        .filter(|(_, content)| !content.is_empty() && !content.trim_start().starts_with('#'))
        .last()
        .filter(|(_, content)| is_bare_word(content.trim_start()))?;
    let word = content.trim_start();
    let column = content.chars().count() - word.chars().count() + 1;
    // A path is no secret; another word may be.
    let is_shown = word.starts_with('/') && word.len() <= 60;
    let message = if is_shown { format!("{NO_COLON}: write `{word}:`") } else { NO_COLON.to_owned() };
    Some(SyntaxError::new(Some(Position { line, column }), &message))
}

const NO_COLON: &str = "a key without a colon behind it";

fn is_bare_word(text: &str) -> bool {
    let is_of_a_word = |c: char| c.is_alphanumeric() || "/_.*-@".contains(c);
    text.starts_with(|c: char| c == '/' || c.is_alphanumeric()) && text.chars().all(is_of_a_word)
}

/// The key that ends at this position, if it is longer than the parser takes: it then complains of the colon.
fn long_key(text: &str, at: Position) -> Option<SyntaxError> {
    let line = text.lines().nth(at.line - 1)?;
    let (end, _) = line.char_indices().nth(at.column - 1).filter(|(_, c)| *c == ':')?;
    let before = &line[..end];
    let in_braces =
        before.rfind('{').map(|brace| before[brace..].rfind(", ").map_or(brace, |comma| brace + comma) + 1);
    let key = before[in_braces.unwrap_or(0)..].trim_start_matches([' ', '-']);
    let length = key.chars().count();
    // Whatever has a colon within is a key and its value.
    if length <= LONGEST_KEY || key.contains(": ") {
        return None;
    }
    let column = at.column - length;
    let message = format!(
        "a key of {length} characters: in front of one of more than {LONGEST_KEY} write \"? \", and its value behind \": \" on \
         the next line"
    );
    Some(SyntaxError::new(Some(Position { column, ..at }), &message))
}

/// What the parser says, without the position, which stands in front, and without quoting the file.
fn syntax_error(text: &str, error: &serde_yaml::Error) -> SyntaxError {
    let position = position(error);
    let wants_colon = |message: &str| {
        message.contains("could not find expected ':'") || message.contains("mapping values are not allowed")
    };
    let better = position.and_then(|at| {
        let unfinished = || key_without_colon(text, at.line).filter(|_| wants_colon(&error.to_string()));
        long_key(text, at).or_else(unfinished)
    });
    if let Some(better) = better {
        return better;
    }
    let mut message = error.to_string();
    if let Some(at) = position {
        message = message.replacen(&format!(" at line {} column {}", at.line, at.column), "", 1);
    }
    let at_tab = position.is_some_and(|at| {
        text.lines().nth(at.line - 1).and_then(|line| line.chars().nth(at.column - 1)) == Some('\t')
    });
    let clearer = match message.as_str() {
        m if m.contains("recursion limit") => TOO_DEEP,
        m if m.contains("repetition limit") => "aliases repeat too much",
        m if m.contains("invalid value") => "the value is not what its tag says",
        m if m.contains("unknown anchor") => {
            "unknown anchor: an alias (*name) needs an anchor (&name) above it"
        }
        m if at_tab && m.contains("cannot start any token") => "a tab: YAML is indented with spaces",
        m if m.contains(UNFOLDS) => &message[message.find(UNFOLDS).unwrap_or(0)..],
        m => m,
    };
    SyntaxError::new(position, clearer)
}

const UNFOLDS: &str = "aliases make the file unfold to more than";

struct Counters {
    values: Cell<u32>,
    text: Cell<usize>,
    stop_at: Option<u32>,
}

impl Counters {
    fn new(stop_at: Option<u32>) -> Self {
        Self { values: Cell::new(0), text: Cell::new(0), stop_at }
    }
}

#[derive(Clone, Copy)]
struct Reader<'b, 'c> {
    memory: &'b Bump,
    counters: &'c Counters,
}

impl<'b> Reader<'b, '_> {
    fn number<E: de::Error>(self) -> Result<u32, E> {
        let id = self.counters.values.get();
        if Some(id) == self.counters.stop_at {
            return Err(E::custom("here"));
        }
        if id >= MAX_VALUES {
            return Err(E::custom(format_args!("{UNFOLDS} {MAX_VALUES} values")));
        }
        self.counters.values.set(id + 1);
        Ok(id)
    }

    fn node<E: de::Error>(self, value: Value<'b>) -> Result<Node<'b>, E> {
        Ok(Node { id: self.number()?, value })
    }
}

impl<'b, 'de> DeserializeSeed<'de> for Reader<'b, '_> {
    type Value = Node<'b>;

    fn deserialize<D: Deserializer<'de>>(self, deserializer: D) -> Result<Node<'b>, D::Error> {
        deserializer.deserialize_any(self)
    }
}

impl<'b, 'de> Visitor<'de> for Reader<'b, '_> {
    type Value = Node<'b>;

    fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("any value")
    }

    fn visit_unit<E: de::Error>(self) -> Result<Node<'b>, E> {
        self.node(Value::Null)
    }

    fn visit_none<E: de::Error>(self) -> Result<Node<'b>, E> {
        self.node(Value::Null)
    }

    fn visit_bool<E: de::Error>(self, value: bool) -> Result<Node<'b>, E> {
        self.node(Value::Bool(value))
    }

    fn visit_i64<E: de::Error>(self, value: i64) -> Result<Node<'b>, E> {
        self.node(Value::Integer(value))
    }

    fn visit_u64<E: de::Error>(self, value: u64) -> Result<Node<'b>, E> {
        self.node(i64::try_from(value).map_or(Value::Float(value as f64), Value::Integer))
    }

    fn visit_i128<E: de::Error>(self, value: i128) -> Result<Node<'b>, E> {
        self.node(Value::Float(value as f64))
    }

    fn visit_u128<E: de::Error>(self, value: u128) -> Result<Node<'b>, E> {
        self.node(Value::Float(value as f64))
    }

    fn visit_f64<E: de::Error>(self, value: f64) -> Result<Node<'b>, E> {
        self.node(Value::Float(value))
    }

    fn visit_str<E: de::Error>(self, value: &str) -> Result<Node<'b>, E> {
        let text = self.counters.text.get() + value.len();
        if text > MAX_TEXT {
            return Err(E::custom(format_args!("{UNFOLDS} {MAX_TEXT} bytes of text")));
        }
        self.counters.text.set(text);
        self.node(Value::Text(self.memory.alloc_str(value)))
    }

    fn visit_seq<A: SeqAccess<'de>>(self, mut items: A) -> Result<Node<'b>, A::Error> {
        let id = self.number()?;
        let mut list = Vec::new();
        while let Some(item) = items.next_element_seed(self)? {
            list.push(item);
        }
        Ok(Node { id, value: Value::List(self.memory.alloc_slice_fill_iter(list)) })
    }

    fn visit_map<A: MapAccess<'de>>(self, mut entries: A) -> Result<Node<'b>, A::Error> {
        let id = self.number()?;
        let mut map = Vec::new();
        while let Some(key) = entries.next_key_seed(self)? {
            map.push((key, entries.next_value_seed(self)?));
        }
        Ok(Node { id, value: Value::Map(self.memory.alloc_slice_fill_iter(map)) })
    }

    fn visit_enum<A: EnumAccess<'de>>(self, access: A) -> Result<Node<'b>, A::Error> {
        let id = self.number()?;
        let (de::IgnoredAny, content) = access.variant()?;
        content.newtype_variant::<de::IgnoredAny>()?;
        Ok(Node { id, value: Value::Tagged })
    }
}
