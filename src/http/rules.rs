//! `/rules/<path>`: by which rules a path or glob is judged, in words, and how it stands.

use super::json::{self, Object};
use super::status;
use crate::model::asks::{alerts, asks};
use crate::model::path_status::PathStatus;
use crate::model::rule::{Rule, Rules};
use crate::model::status::Alerts;

/// The body, with no rules if none is for the path, and without a status if nothing was ever seen there.
pub fn body(rules: Option<&Rules>, status: Option<&PathStatus>, known: &Alerts) -> Vec<u8> {
    json::document(|top| {
        top.objects("rules", rules.into_iter().flat_map(Rules::iter), |o, one| rule(o, one, known));
        match status {
            Some(status) => top.object("status", |o| status::path(o, status, known, true)),
            None => top.null("status"),
        }
    })
}

fn rule(object: &mut Object, rule: &Rule, known: &Alerts) {
    let terms = &rule.terms;
    object.string("alerts", &alerts(terms));
    object.strings("asks", asks(&terms.specs).iter().map(String::as_str));
    object.strings("depends_on", terms.depends_on.iter().map(|path| &**path));
    object.optional("description", terms.description.as_deref());
    object.optional("name", terms.name.as_deref());
    object.string("path", &rule.path);
    object.objects("receivers", &terms.receivers, |o, id| {
        o.string("id", &id.0);
        o.optional("name", known.receivers.get(id).map(|receiver| &*receiver.name));
    });
    object.optional("runbook", terms.runbook.as_deref());
}
