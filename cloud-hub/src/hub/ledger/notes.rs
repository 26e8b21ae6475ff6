//! What one store and the hub keep for each other as texts: see [`Note`].

use super::{Down, StoreLedger};
use crate::storage::StoredNote;
use std::collections::{BTreeMap, BTreeSet};
use sync_protocol::Seq;
use sync_protocol::digest::note_bucket;
use sync_protocol::record::{Note, Topic};

type Name = (Topic, u32);

#[derive(Debug, Default)]
pub(super) struct Notes {
    hubs: BTreeMap<Name, (String, Seq)>,
    stores: BTreeMap<Name, String>,
    /// Of the store's, those that it has not told in its own epoch yet.
    untold: BTreeSet<Name>,
    changed_hubs: BTreeSet<Name>,
    changed_stores: BTreeSet<Name>,
}

impl Notes {
    pub(super) fn hubs(&self, (topic, key): Name) -> Option<Note> {
        let (text, _) = self.hubs.get(&(topic, key))?;
        Some(Note { topic, key, text: text.clone() })
    }

    /// What is to be committed.
    pub(super) fn take_changed(&mut self) -> Vec<StoredNote> {
        let hubs = std::mem::take(&mut self.changed_hubs).into_iter().filter_map(|(topic, key)| {
            let (text, down_seq) = self.hubs.get(&(topic, key))?.clone();
            Some(StoredNote { note: Note { topic, key, text }, from_hub: true, down_seq })
        });
        let stores = std::mem::take(&mut self.changed_stores).into_iter().map(|(topic, key)| {
            let text = self.stores.get(&(topic, key)).cloned().unwrap_or_default();
            StoredNote { note: Note { topic, key, text }, from_hub: false, down_seq: Seq(0) }
        });
        hubs.chain(stores).collect()
    }

    /// A new incarnation tells its notes anew.
    pub(super) fn expect_all(&mut self) {
        self.untold = self.stores.keys().copied().collect();
    }
}

impl StoreLedger {
    /// At the start: everything storage has.
    pub(super) fn take_stored_notes(&mut self, notes: Vec<StoredNote>) {
        for StoredNote { note, from_hub, down_seq } in notes {
            let name = (note.topic, note.key);
            if from_hub {
                self.down.add(&note);
                self.down_pending.insert(down_seq, Down::Note(note.topic, note.key));
                self.notes.hubs.insert(name, (note.text, down_seq));
            } else {
                self.up.add(&note);
                self.notes.stores.insert(name, note.text);
            }
        }
    }

    /// The hub's notes and the store's, for a new incarnation.
    pub(in crate::hub) fn all_notes(&self) -> (Vec<Note>, Vec<Note>) {
        let hubs = self.notes.hubs.iter().map(|((topic, key), (text, _))| (topic, key, text));
        let stores = self.notes.stores.iter().map(|((topic, key), text)| (topic, key, text));
        let note = |(topic, key, text): (&Topic, &u32, &String)| Note {
            topic: *topic,
            key: *key,
            text: text.clone(),
        };
        (hubs.map(note).collect(), stores.map(note).collect())
    }

    /// The texts of a topic, by key.
    pub(in crate::hub) fn hub_notes(&self, topic: Topic) -> impl Iterator<Item = (u32, &str)> {
        let of_topic = self.notes.hubs.range((topic, 0)..=(topic, u32::MAX));
        of_topic.map(|((_, key), (text, _))| (*key, text.as_str()))
    }

    pub(in crate::hub) fn store_notes(&self, topic: Topic) -> impl Iterator<Item = (u32, &str)> {
        let of_topic = self.notes.stores.range((topic, 0)..=(topic, u32::MAX));
        of_topic.map(|((_, key), text)| (*key, text.as_str()))
    }

    pub(in crate::hub) fn hub_note(&self, topic: Topic, key: u32) -> Option<&str> {
        self.notes.hubs.get(&(topic, key)).map(|(text, _)| text.as_str())
    }

    pub(in crate::hub) fn store_note(&self, topic: Topic, key: u32) -> Option<&str> {
        self.notes.stores.get(&(topic, key)).map(String::as_str)
    }

    /// Writes a note of the hub's; true where the store is to hear of it.
    pub(in crate::hub) fn put_hub_note(&mut self, note: Note) -> bool {
        let name = (note.topic, note.key);
        let before = self.notes.hubs.get(&name).cloned();
        if before.as_ref().map_or("", |(text, _)| text) == note.text {
            return false;
        }
        if let Some((text, seq)) = before {
            self.down.remove(&Note { text, ..note.clone() });
            self.down_pending.remove(&seq);
        }
        self.down.add(&note);
        self.number_hub_note(name, note.text);
        true
    }

    fn number_hub_note(&mut self, name: Name, text: String) {
        self.facts.down_head = self.facts.down_head.next();
        self.changed.facts = true;
        let head = self.facts.down_head;
        self.down_pending.insert(head, Down::Note(name.0, name.1));
        self.notes.hubs.insert(name, (text, head));
        self.notes.changed_hubs.insert(name);
    }

    /// Numbers the hub's notes in these digest buckets anew, so that they are sent again.
    pub(super) fn restamp_notes(&mut self, buckets: &[u8]) {
        let wanted = |key: u32| {
            u8::try_from(note_bucket(key)).is_ok_and(|bucket| buckets.binary_search(&bucket).is_ok())
        };
        let found: Vec<_> = self.notes.hubs.iter().filter(|((_, key), _)| wanted(*key)).collect();
        let found: Vec<(Name, String, Seq)> =
            found.into_iter().map(|(name, (text, seq))| (*name, text.clone(), *seq)).collect();
        for (name, text, seq) in found {
            self.down_pending.remove(&seq);
            self.number_hub_note(name, text);
        }
    }

    /// Takes a note of the store's. Gives what it said before, where that is news.
    pub(in crate::hub) fn take_store_note(&mut self, note: &Note) -> Option<String> {
        let name = (note.topic, note.key);
        self.notes.untold.remove(&name);
        let before = self.notes.stores.get(&name).cloned().unwrap_or_default();
        if before == note.text {
            return None;
        }
        self.up.remove(&Note { text: before.clone(), ..note.clone() });
        self.up.add(note);
        self.notes.stores.insert(name, note.text.clone());
        self.notes.changed_stores.insert(name);
        Some(before)
    }

    /// The store has told all it has: a note that was not among it, it does not have.
    pub(super) fn forget_untold_notes(&mut self) {
        for name in std::mem::take(&mut self.notes.untold) {
            if let Some(text) = self.notes.stores.remove(&name) {
                self.up.remove(&Note { topic: name.0, key: name.1, text });
                self.notes.changed_stores.insert(name);
            }
        }
    }
}
