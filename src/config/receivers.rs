//! The receivers of a configuration, each once.

use std::collections::HashMap;
use std::sync::Arc;

use super::digest::{self, Identity};
use crate::model::receiver::{Receiver, ReceiverId, Settings};

/// Where a value stands: in which file, and which it is there.
#[derive(Clone, Copy, Debug)]
pub(super) struct Place {
    pub(super) file: usize,
    pub(super) node: u32,
}

/// All receivers so far.
#[derive(Debug, Default)]
pub(super) struct Receivers {
    list: Vec<Receiver>,
    /// By id: which of the list it is, and the value it was read from.
    known: HashMap<ReceiverId, (usize, Place)>,
}

impl Receivers {
    pub(super) fn into_list(self) -> Vec<Receiver> {
        self.list
    }

    /// Whether a receiver of this kind was read already.
    pub(super) fn has_kind(&self, kind: &str) -> bool {
        self.list.iter().any(|receiver| receiver.settings.kind() == kind)
    }

    /// Takes down a receiver, once, and gives its id.
    ///
    /// # Errors
    /// The value that the same receiver was read from with other settings.
    pub(super) fn add(
        &mut self,
        place: Place,
        identity: Identity<'_>,
        label: &str,
        settings: Settings,
        ca: Option<Arc<[u8]>>,
    ) -> Result<ReceiverId, Place> {
        let kind = settings.kind();
        let id = digest::receiver_id(kind, identity);
        if let Some((index, first)) = self.known.get(&id).copied() {
            let known = &self.list[index];
            return if known.settings == settings && known.ca == ca { Ok(id) } else { Err(first) };
        }
        let label = if label.is_empty() { id.0.get(..8).unwrap_or_default() } else { label };
        let name = match identity.name {
            Some(name) => format!("{kind} {label} ({name})").into(),
            None => format!("{kind} {label}").into(),
        };
        self.known.insert(id.clone(), (self.list.len(), place));
        self.list.push(Receiver { id: id.clone(), name, settings, ca });
        Ok(id)
    }
}
