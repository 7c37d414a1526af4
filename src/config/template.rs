//! A template: what is told in an operator's words. It is tried on samples before it is taken.
//!
//! While it is tried, a field that is not there is an error, so that a misspelt name is found. When it is sent, such a
//! field is nothing: an alert that lacks it is worth more than none.

use std::fmt;
use std::sync::Arc;

use minijinja::value::{Kwargs, Value as Any};
use minijinja::{AutoEscape, Environment, ErrorKind, State, UndefinedBehavior, filters};
use serde_json::Value as Json;

use super::document::{self, Position};
use super::located::shown;
use crate::model::judge::Compiled;
use crate::model::receiver::Renderer;

/// What one message may cost: a step of the engine is one, as are 64 bytes of memory, of which it so takes at most 20 MB.
/// A digest of 500 items leaves 600 for each.
const FUEL: u64 = 300_000;
/// How long a template may be, in bytes.
const MAX_SOURCE: usize = 64 << 10;
/// How long a message may be, in bytes: more than any service takes.
const MAX_RENDERED: usize = 1 << 20;
/// How many items the largest digest has.
const DIGEST: usize = 500;
/// How much of what is wrong is shown, in characters.
const SHOWN: usize = 200;

/// What a template is for.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub(super) enum Purpose {
    /// A body that is JSON.
    Json,
    /// Any other body.
    Text,
    /// The subject of a mail.
    Subject,
    /// The end of a URL.
    Path,
}

/// Why a template gives nothing.
#[derive(Clone, Debug)]
struct Fault {
    /// Where, in the template.
    at: Option<Position>,
    /// What is wrong, for those who may read the template.
    words: String,
    /// The same for everybody.
    public: String,
}

/// What became of trying a template.
pub(super) type Checked = Result<Compiled<Renderer>, Rejected>;

/// A template that was not taken.
#[derive(Clone, Debug)]
pub(super) struct Rejected {
    /// Where, in the template.
    pub(super) at: Option<Position>,
    /// What is wrong.
    pub(super) words: String,
}

/// Tries a template on all samples.
pub(super) fn check(source: &str, purpose: Purpose) -> Checked {
    if source.len() > MAX_SOURCE {
        let words = format!("is a template of more than {MAX_SOURCE} bytes");
        return Err(Rejected { at: None, words });
    }
    let environment = environment(UndefinedBehavior::SemiStrict);
    if let Err(error) = environment.template_from_str(source) {
        let Fault { at, words, .. } = Fault::of_engine(source, &error);
        return Err(Rejected { at, words });
    }
    for (name, fields) in samples() {
        render(&environment, source, purpose, &fields)
            .map_err(|Fault { at, words, .. }| Rejected { at, words: format!("with {name}: {words}") })?;
    }
    let (source, text): (Arc<str>, _) = (source.into(), source.to_owned());
    let run: Renderer = Arc::new(move |fields: &str| {
        let environment = self::environment(UndefinedBehavior::Chainable);
        render(&environment, &text, purpose, fields).map_err(|fault| fault.public)
    });
    Ok(Compiled { source, run })
}

/// An engine without state. Nothing is escaped: what a template is for tells which characters its fields have to be
/// protected from, and `tojson` and `urlencode` do.
fn environment(undefined: UndefinedBehavior) -> Environment<'static> {
    let mut environment = Environment::new();
    environment.set_undefined_behavior(undefined);
    environment.set_fuel(Some(FUEL));
    environment.set_debug(true);
    environment.set_auto_escape_callback(|_| AutoEscape::None);
    environment.add_filter("truncate", truncate);
    environment.add_filter("tojson", to_json);
    environment
}

/// A text of at most so many characters, as services count them: those beyond the basic plane are two. What is cut ends
/// in an ellipsis.
fn truncate(text: String, length: usize, none: Kwargs) -> Result<String, minijinja::Error> {
    none.assert_all_used()?;
    if text.encode_utf16().nth(length).is_none() {
        return Ok(text);
    }
    let mut room = length.saturating_sub(1);
    let fits = |c: &char| room.checked_sub(c.len_utf16()).inspect(|left| room = *left).is_some();
    let mut cut: String = text.chars().take_while(fits).collect();
    cut.extend((length > 0).then_some('…'));
    Ok(cut)
}

/// A value as JSON. The engine's own would take a misspelt field for `null`, which no service takes for a text.
fn to_json(
    state: &State<'_, '_>,
    value: &Any,
    indent: Option<Any>,
    args: Kwargs,
) -> Result<Any, minijinja::Error> {
    if !value.is_undefined() {
        filters::tojson(value, indent, args)
    } else if state.env().undefined_behavior() == UndefinedBehavior::Chainable {
        Ok(Any::from("\"\""))
    } else {
        Err(minijinja::Error::new(ErrorKind::UndefinedError, "there is no such field"))
    }
}

/// What a template makes of these fields.
fn render(
    environment: &Environment<'_>,
    source: &str,
    purpose: Purpose,
    fields: &str,
) -> Result<String, Fault> {
    // They are what we wrote ourselves.
    let fields: Any = serde_json::from_str(fields).map_err(|error| Fault::of_whole(&error))?;
    let rendered =
        environment.render_str(source, fields).map_err(|error| Fault::of_engine(source, &error))?;
    if rendered.len() > MAX_RENDERED {
        return Err(Fault::of_whole(&format!("it makes more than {MAX_RENDERED} bytes")));
    }
    purpose.accept(rendered)
}

impl Purpose {
    /// What was rendered, if it is what it has to be.
    fn accept(self, rendered: String) -> Result<String, Fault> {
        match self {
            Self::Json => {
                let read = serde_json::from_str::<serde::de::IgnoredAny>(&rendered);
                read.map_err(|error| Fault::of_json(&error))?;
            }
            Self::Text if rendered.trim().is_empty() => return Err(Fault::of_whole(&"it makes nothing")),
            Self::Text => {}
            Self::Subject => {
                let words: Vec<&str> = rendered.split_whitespace().collect();
                let subject: String = words.join(" ").chars().filter(|c| !c.is_control()).collect();
                return if subject.is_empty() {
                    Err(Fault::of_whole(&"it makes nothing"))
                } else {
                    Ok(subject)
                };
            }
            Self::Path => {
                let path = rendered.trim();
                let is_path = path.is_empty() || path.starts_with(['/', '?']);
                let is_sendable =
                    path.bytes().all(|byte| byte.is_ascii_graphic() && !b"\"#<>".contains(&byte));
                if !is_path || !is_sendable {
                    let words = "what it makes must be nothing, or begin with / or ? and be fit for a URL: \
                                 write {{ … | urlencode }}";
                    return Err(Fault::of_whole(&words));
                }
                return Ok(path.to_owned());
            }
        }
        Ok(rendered)
    }
}

impl Fault {
    fn of_whole(words: &impl fmt::Display) -> Self {
        let words = words.to_string();
        Self { at: None, public: format!("its template does not serve: {words}"), words }
    }

    fn of_engine(source: &str, error: &minijinja::Error) -> Self {
        let at = error.range().map(|range| document::position_at(source, range.start));
        let is_spent = error.kind() == ErrorKind::OutOfFuel;
        let what =
            if is_spent { "takes too long, or makes too much".to_owned() } else { error.kind().to_string() };
        let detail = error.detail().filter(|_| !is_spent);
        let mut detail = detail.map(|detail| format!(": {}", shown(detail, SHOWN))).unwrap_or_default();
        if error.kind() == ErrorKind::UndefinedError {
            detail += "; for what not every message has, write {{ … | default(\"\") }}";
        }
        let place = at.map(|Position { line, column }| format!(" in line {line}, column {column}"));
        let public = format!("its template fails{}: {what}", place.unwrap_or_default());
        Self { at, words: format!("{what}{detail}"), public }
    }

    /// What was rendered is not told: it may hold what is not for everybody.
    fn of_json(error: &serde_json::Error) -> Self {
        let words = format!(
            "what it makes is not JSON ({error}): write {{{{ … | tojson }}}} for each text, without quotes"
        );
        Self { at: None, words, public: "its template does not make JSON of this".to_owned() }
    }
}

/// What each template is tried on: bodies as the webhook has them. The alert has all that one can have, the recovery no
/// more than all have; both have characters that a template has to protect.
fn samples() -> [(&'static str, String); 3] {
    let [alert, recovery, digest] = [
        include_str!("samples/alert.json"),
        include_str!("samples/recovery.json"),
        include_str!("samples/digest.json"),
    ];
    [
        ("an alert", alert.to_owned()),
        ("a recovery", recovery.to_owned()),
        ("a digest of 500", grown(digest).unwrap_or_default()),
    ]
}

/// The digest with its alerts again and again, until it is as large as one can be.
fn grown(digest: &str) -> Option<String> {
    let mut fields: Json = serde_json::from_str(digest).ok()?;
    let alerts = fields["alerts"].as_array_mut()?;
    *alerts = alerts.iter().cycle().take(DIGEST).cloned().collect();
    Some(fields.to_string())
}
