//! Which rare things have happened. A run over many seeds in which one of [`EXPECTED`] never happened has not tested what it says
//! it tests, and fails.

use std::collections::BTreeMap;

/// Every rare thing that enough seeds must reach.
pub const EXPECTED: &[&str] = &[
    "agent: a commit failed",
    "agent: crash after the commit",
    "agent: crash before the commit",
    "agent: frame to another start of it ignored",
    "agent: gave the line up",
    "agent: hand-over applied documents of the hub",
    "agent: hand-over applied own documents",
    "agent: hand-over cut short",
    "agent: hand-over in more than one part",
    "agent: hand-over while tills report",
    "agent: own items got other numbers",
    "agent: took over",
    "clone: both copies spoke in turn",
    "digest: the agent sent records again",
    "digest: the hub sent records again",
    "disk: lost",
    "disk: restored",
    "disk: restored, and the tills sold on before the line was up",
    "fence: another_copy",
    "fence: first_contact",
    "fence: new_disk",
    "fence: old_epoch",
    "fence: rolled_back",
    "fence: the same epoch granted again",
    "hub: a commit failed",
    "hub: crash after the commit",
    "hub: crash before the commit",
    "hub: cut made late, once history had come",
    "hub: figures went back to the cut",
    "hub: frame of another epoch or start dropped",
    "hub: gap joined",
    "hub: joined a store that lives in a later epoch",
    "hub: offer joined",
    "hub: recall honoured",
    "hub: restored, and found out by itself",
    "hub: restored, and told so",
    "net: doubled",
    "net: late frame reached another life of its receiver",
    "net: lost",
    "net: partition",
    "order: act refused",
    "order: cancel acknowledged",
    "order: cancel asked for",
    "order: cancel beaten by a handover",
    "order: cancelled too late",
    "order: code of another store refused",
    "order: expired",
    "order: expired code refused",
    "order: handed over that the store had not heard of",
    "order: handed over with the line down",
    "order: in two parts",
    "order: key used for another body",
    "order: not accepted in time",
    "order: not enough",
    "order: placed",
    "order: put back",
    "order: refused",
    "order: rung up by a till",
    "order: same key answered again",
    "order: short",
    "order: taken back after the hub saw it",
    "order: used code refused",
    "payment: answered 500",
    "payment: done, and the answer was lost",
    "payment: down for long",
    "payment: hub crashed before the answer",
    "payment: request came twice",
    "reroute: another store has it",
    "reroute: nothing owed any more",
    "reroute: offered",
    "reroute: search given up",
    "reservation: asked after its end",
    "reservation: given up",
    "reservation: kept longer",
    "reservation: made",
    "reservation: ordered",
    "reservation: ran out",
    "reservation: same key answered again",
    "shopper: nothing free",
    "shopper: promise given",
    "shopper: promise given up",
    "shopper: store not trusted",
    "till: answered again",
    "till: answered from the hub's memory",
    "till: barcode of an item without a name",
    "till: breach",
    "till: count of a moment that has passed",
    "till: the item behind a barcode changed",
];

/// How often each rare thing has happened.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Coverage {
    counts: BTreeMap<&'static str, u64>,
}

impl Coverage {
    pub fn hit(&mut self, what: &'static str) {
        debug_assert!(EXPECTED.binary_search(&what).is_ok(), "`{what}` is on the list");
        *self.counts.entry(what).or_default() += 1;
    }

    /// Notes it where `happened`.
    pub fn sometimes(&mut self, what: &'static str, happened: bool) {
        if happened {
            self.hit(what);
        }
    }

    pub fn add(&mut self, other: &Coverage) {
        for (what, count) in &other.counts {
            *self.counts.entry(what).or_default() += count;
        }
    }

    #[must_use]
    pub fn count(&self, what: &str) -> u64 {
        self.counts.get(what).copied().unwrap_or(0)
    }

    /// What has never happened.
    #[must_use]
    pub fn missing(&self) -> Vec<&'static str> {
        EXPECTED.iter().copied().filter(|what| self.count(what) == 0).collect()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_list_is_sorted_so_that_it_can_be_searched() {
        assert!(EXPECTED.is_sorted());
    }
}
