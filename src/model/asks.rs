//! What a rule asks and when it alerts, in words: `--explain` and the page say the same.

use std::sync::Arc;
use std::time::Duration;

use super::duration;
use super::judge::{Bounds, Counting, DataSpec, Specs, Wanted, Where};
use super::rule::Terms;

/// What the specs ask, one after the other; nothing if they ask nothing.
pub fn asks(specs: &Specs) -> Vec<String> {
    let mut asks = Vec::new();
    match specs.exists {
        Some(true) => asks.push("that it exists".to_owned()),
        Some(false) => asks.push("that it does not exist".to_owned()),
        None => {}
    }
    asks.extend(specs.children.map(bounds));
    if let Some(drop) = specs.drop {
        let within = duration::words(drop.within);
        asks.push(format!("children: not more than {} below the most within {within}", drop.by));
    }
    if let Some(include) = &specs.include {
        asks.push(format!("children called {}", listed(&include.0)));
    }
    asks.extend(counting(&specs.counting));
    asks.extend(specs.data.as_ref().map(|spec| format!("data{}", data(spec))));
    asks.extend(specs.max_age.map(|age| format!("written within {}", duration::words(age))));
    asks
}

/// When a rule alerts, and how.
pub fn alerts(terms: &Terms) -> String {
    let after = match terms.hold_down() {
        Duration::ZERO => "at once".to_owned(),
        long => format!("after {} out of spec", duration::words(long)),
    };
    let back = match terms.keep_firing_for {
        Duration::ZERO => String::new(),
        long => format!(", is back after {} in spec", duration::words(long)),
    };
    let again = terms.repeat_interval.map(|long| format!(", reminds every {}", duration::words(long)));
    format!("{after}{back}{}, severity {}", again.unwrap_or_default(), terms.severity.word())
}

fn bounds(bounds: Bounds) -> String {
    match bounds {
        Bounds::Equals(count) => format!("children: exactly {count}"),
        Bounds::Range { min: Some(min), max: Some(max) } => format!("children: {min} to {max}"),
        Bounds::Range { min: None, max: Some(max) } => format!("children: at most {max}"),
        Bounds::Range { min, max: None } => format!("children: at least {}", min.unwrap_or_default()),
    }
}

fn counting(counting: &Counting) -> Option<String> {
    let Where { name, ephemeral, max_age, data: spec } = &counting.only;
    let all = [
        name.as_ref().map(|name| format!("with a name that matches {}", name.source)),
        ephemeral.map(|is| if is { "that are ephemeral" } else { "that are persistent" }.to_owned()),
        max_age.map(|age| format!("written within {}", duration::words(age))),
        spec.as_ref().map(|spec| format!("with data{}", data(spec))),
        counting.distinct.as_ref().map(|pointer| format!("each value at {} once", pointer.source)),
    ];
    let all: Vec<String> = all.into_iter().flatten().collect();
    (!all.is_empty()).then(|| format!("counting children {}", all.join(", ")))
}

fn data(spec: &DataSpec) -> String {
    match spec {
        DataSpec::Equals(text) => format!(" equal to {text:?}"),
        DataSpec::Matches(pattern) => format!(" that matches {}", pattern.source),
        DataSpec::Json(json) => {
            let wanted = match &json.wanted {
                Wanted::Equals(value) => format!("equal to {value}"),
                Wanted::Matches(pattern) => format!("that matches {}", pattern.source),
            };
            format!(" at {:?} {wanted}", json.place.source)
        }
    }
}

fn listed<'a>(names: impl IntoIterator<Item = &'a Arc<str>>) -> String {
    let names: Vec<&str> = names.into_iter().map(|name| &**name).collect();
    names.join(", ")
}
