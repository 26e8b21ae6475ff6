//! The topics of MQTT. A certificate speaks for one store, and so its connection may touch that store's and no others.

use sync_protocol::StoreId;
use sync_protocol::frame::Stream;

/// What a store may publish.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Published {
    Frame,
    Presence,
}

/// Everything stores say, as filters for a broker. Several hubs share the frames, under one name; each hears who has gone.
pub(super) fn of_all_stores(share: &str) -> [String; 2] {
    [format!("$share/{share}/shopsmart/v1/+/up/+"), "shopsmart/v1/+/presence".to_owned()]
}

/// Which store speaks on `topic`, and what. The rest is a topic no store publishes to.
pub(super) fn spoken(topic: &str) -> Option<(StoreId, Published)> {
    let (store, end) = topic.strip_prefix("shopsmart/v1/")?.split_once('/')?;
    let published = match end {
        "up/state" | "up/history" => Published::Frame,
        "presence" => Published::Presence,
        _ => return None,
    };
    Some((store.parse().ok()?, published))
}

/// Every topic of one store.
pub(super) struct Topics {
    up: [String; 2],
    down: [String; 2],
    presence: String,
}

impl Topics {
    pub fn of(store: &StoreId) -> Topics {
        let topic = |end: &str| format!("shopsmart/v1/{store}/{end}");
        Topics {
            up: [topic("up/state"), topic("up/history")],
            down: [topic("down/state"), topic("down/history")],
            presence: topic("presence"),
        }
    }

    /// What a publish to `topic` is; `None` when the store has no business there.
    pub fn published(&self, topic: &str) -> Option<Published> {
        if self.up.iter().any(|up| up == topic) {
            Some(Published::Frame)
        } else if self.is_presence(topic) {
            Some(Published::Presence)
        } else {
            None
        }
    }

    /// The stream that a subscription brings; `None` when the store may not have it. Only exact names are taken.
    pub fn subscribed(&self, filter: &str) -> Option<Stream> {
        [Stream::State, Stream::History].into_iter().find(|stream| self.down(*stream) == filter)
    }

    pub fn is_presence(&self, topic: &str) -> bool {
        self.presence == topic
    }

    /// Where the hub's frames go.
    pub fn down(&self, stream: Stream) -> &str {
        match stream {
            Stream::State => &self.down[0],
            Stream::History => &self.down[1],
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_store_has_its_own_topics_and_no_others() {
        let topics = Topics::of(&"S0001".parse().unwrap());
        assert_eq!(topics.published("shopsmart/v1/S0001/up/state"), Some(Published::Frame));
        assert_eq!(topics.published("shopsmart/v1/S0001/up/history"), Some(Published::Frame));
        assert_eq!(topics.published("shopsmart/v1/S0001/presence"), Some(Published::Presence));
        assert_eq!(topics.subscribed("shopsmart/v1/S0001/down/history"), Some(Stream::History));
        for foreign in [
            "shopsmart/v1/S0002/up/state",
            "shopsmart/v1/S0001/down/state",
            "shopsmart/v1/S0001/up/state/",
            "",
        ] {
            assert_eq!(topics.published(foreign), None, "{foreign}");
        }
        assert_eq!(spoken("shopsmart/v1/S0001/up/state"), Some(("S0001".parse().unwrap(), Published::Frame)));
        assert_eq!(
            spoken("shopsmart/v1/S0001/presence"),
            Some(("S0001".parse().unwrap(), Published::Presence))
        );
        for nobodys in ["shopsmart/v1/S0001/down/state", "shopsmart/v1/S 1/up/state", "shopsmart/v1/up/state"]
        {
            assert_eq!(spoken(nobodys), None, "{nobodys}");
        }
        for foreign in ["#", "shopsmart/v1/+/down/state", "$share/g/shopsmart/v1/S0001/down/state"] {
            assert_eq!(topics.subscribed(foreign), None, "{foreign}");
        }
    }
}
