//! A template: what is told in an operator's words. It is tried on samples before it is taken.
//!
//! While it is tried, a field that is not there is an error, so that a misspelt name is found. When it is sent, such a
//! field is nothing: an alert that lacks it is worth more than none.

use std::fmt;
use std::panic::AssertUnwindSafe;
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
/// How long a template may be, in bytes. The engine goes down as deep as a template is nested, and its stack has an end:
/// in 2 MB it reaches 5,000 levels, of which each takes two bytes of source or more.
const MAX_SOURCE: usize = 8 << 10;
/// How long a body may be, in bytes: more than any service takes.
const MAX_BODY: usize = 1 << 20;
/// How long a subject or the end of a URL may be, in bytes.
const MAX_LINE: usize = 4 << 10;
/// What the engine calls the template.
const NAME: &str = "template";
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
    let unfit = |words: String| Rejected { at: None, words };
    if source.len() > MAX_SOURCE {
        return Err(unfit(format!("is a template of more than {MAX_SOURCE} bytes")));
    }
    if source.contains("recursive") {
        return Err(unfit("holds the word `recursive`: a loop must not call itself".to_owned()));
    }
    let mut environment = environment(source).map_err(|error| {
        let Fault { at, words, .. } = Fault::of_engine(source, &error);
        Rejected { at, words }
    })?;
    for (name, fields) in samples() {
        render(&environment, purpose, &fields)
            .map_err(|Fault { at, words, .. }| Rejected { at, words: format!("with {name}: {words}") })?;
    }
    environment.set_undefined_behavior(UndefinedBehavior::Chainable);
    // Nothing in it changes while it renders.
    let environment = AssertUnwindSafe(environment);
    let run: Renderer = Arc::new(move |fields: &str| {
        let AssertUnwindSafe(environment) = &environment;
        render(environment, purpose, fields).map_err(|fault| fault.public)
    });
    Ok(Compiled { source: source.into(), run })
}

/// An engine with one template, for trying it. Nothing is escaped: what a template is for tells which characters its fields
/// have to be protected from, and `tojson` and `urlencode` do. Nothing goes from one turn of a loop to the next, so that
/// values are nested no deeper than the source is long: what prints or drops them goes down as deep.
fn environment(source: &str) -> Result<Environment<'static>, minijinja::Error> {
    let mut environment = Environment::new();
    environment.set_undefined_behavior(UndefinedBehavior::SemiStrict);
    environment.set_fuel(Some(FUEL));
    environment.set_debug(true);
    environment.set_auto_escape_callback(|_| AutoEscape::None);
    environment.add_filter("truncate", truncate);
    environment.add_filter("tojson", to_json);
    environment.remove_global("namespace");
    environment.add_template_owned(NAME, source.to_owned())?;
    Ok(environment)
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
fn render(environment: &Environment<'_>, purpose: Purpose, fields: &str) -> Result<String, Fault> {
    // They are what we wrote ourselves.
    let fields: Any = serde_json::from_str(fields).map_err(|error| Fault::of_whole(&error))?;
    let template = environment.get_template(NAME).map_err(|error| Fault::of_whole(&error))?;
    let rendered = template.render(fields).map_err(|error| Fault::of_engine(template.source(), &error))?;
    let most = match purpose {
        Purpose::Json | Purpose::Text => MAX_BODY,
        Purpose::Subject | Purpose::Path => MAX_LINE,
    };
    if rendered.len() > most {
        return Err(Fault::of_whole(&format!("it makes more than {most} bytes")));
    }
    match purpose {
        Purpose::Json => json(rendered),
        Purpose::Text => something(rendered),
        Purpose::Subject => something(one_line(&rendered)),
        Purpose::Path => path(rendered.trim()),
    }
}

fn json(rendered: String) -> Result<String, Fault> {
    let read = serde_json::from_str::<serde::de::IgnoredAny>(&rendered);
    read.map(|_| rendered).map_err(|error| Fault::of_json(&error))
}

fn something(rendered: String) -> Result<String, Fault> {
    if rendered.trim().is_empty() { Err(Fault::of_whole(&"it makes nothing")) } else { Ok(rendered) }
}

fn one_line(rendered: &str) -> String {
    let words: Vec<&str> = rendered.split_whitespace().collect();
    words.join(" ").chars().filter(|c| !c.is_control()).collect()
}

/// What can stand behind a URL without making another one of it.
fn path(rendered: &str) -> Result<String, Fault> {
    let is_path = rendered.is_empty() || rendered.starts_with(['/', '?']);
    if is_path && rendered.bytes().all(|byte| byte.is_ascii_graphic() && !b"\"#<>".contains(&byte)) {
        return Ok(rendered.to_owned());
    }
    Err(Fault::of_whole(
        &"what it makes must be nothing, or begin with / or ? and be fit for a URL: write {{ … | urlencode }}",
    ))
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
