//! The receivers of a configuration, each once.

use std::collections::HashMap;

use super::at::At;
use super::digest;
use super::judge::Judge;
use crate::model::receiver::{Receiver, ReceiverId, Settings};

/// All receivers so far.
#[derive(Debug, Default)]
pub(super) struct Receivers {
    list: Vec<Receiver>,
    /// By id: which of the list it is, and the value it was read from.
    known: HashMap<ReceiverId, (usize, u32)>,
}

impl Receivers {
    pub(super) fn into_list(self) -> Vec<Receiver> {
        self.list
    }

    /// Whether a receiver of this kind was read already.
    pub(super) fn has_kind(&self, kind: &str) -> bool {
        self.list.iter().any(|receiver| receiver.settings.kind() == kind)
    }
}

impl Judge<'_> {
    /// Takes down a receiver. `identity` is what makes it the same receiver after a reload, whatever else changes;
    /// `label` is what operators call it among its kind.
    pub(super) fn receiver(
        &mut self,
        at: &At<'_, '_>,
        identity: &str,
        label: &str,
        settings: Settings,
    ) -> Option<ReceiverId> {
        let kind = settings.kind();
        let id = digest::receiver_id(kind, identity);
        if let Some((index, first)) = self.receivers.known.get(&id).copied() {
            if self.receivers.list[index].settings != settings {
                let message =
                    "is the same receiver, with other settings (token, URL, headers …), as the one at ";
                self.error_with_other(at, first, message.to_owned());
                return None;
            }
            return Some(id);
        }
        let label = if label.is_empty() { id.0.get(..8).unwrap_or_default() } else { label };
        let name = format!("{kind} {label}").into();
        self.receivers.known.insert(id.clone(), (self.receivers.list.len(), at.node.id));
        self.receivers.list.push(Receiver { id: id.clone(), name, settings });
        Some(id)
    }
}
