//! Notices two running agents of one store. An agent draws a boot at each start and never an old one again: whoever says hello with
//! a boot that another has followed runs beside that other. Each hello by itself only costs the other its epoch; that they come by
//! turns is what nobody but two machines does.

use super::LinkId;
use std::collections::{BTreeMap, HashMap, VecDeque};
use sync_protocol::{Boot, StoreId, Ticks};

/// Boots of a store that are told apart.
const STARTS_MAX: usize = 8;
/// What a return on a link of its own weighs: only a running agent opens one.
const ON_A_NEW_LINK: u32 = 2;
/// … and on the same link: a broker may bring an old hello late.
const ON_THE_SAME_LINK: u32 = 1;
/// From where on there are two.
const CERTAIN: u32 = 4;
/// Returns that lie further apart, in milliseconds, have nothing to do with each other.
const TOGETHER_MS: u64 = 3_600_000;

#[derive(Debug, Default)]
pub(super) struct Twins {
    stores: HashMap<StoreId, Starts>,
    found: BTreeMap<StoreId, [Boot; 2]>,
}

#[derive(Debug)]
struct Starts {
    last: (LinkId, Boot),
    earlier: VecDeque<Boot>,
    weight: u32,
    returned_at: Ticks,
}

impl Twins {
    /// Takes note of a hello.
    pub(super) fn hello(&mut self, store: &StoreId, link: LinkId, boot: Boot, now: Ticks) {
        let Some(starts) = self.stores.get_mut(store) else {
            let starts =
                Starts { last: (link, boot), earlier: VecDeque::new(), weight: 0, returned_at: Ticks(0) };
            self.stores.insert(store.clone(), starts);
            return;
        };
        let (last_link, last_boot) = starts.last;
        starts.last = (link, boot);
        if boot == last_boot {
            return;
        }
        if starts.earlier.contains(&boot) {
            if now.since(starts.returned_at) > TOGETHER_MS {
                starts.weight = 0;
            }
            starts.returned_at = now;
            starts.weight += if link == last_link { ON_THE_SAME_LINK } else { ON_A_NEW_LINK };
            if starts.weight >= CERTAIN {
                starts.weight = 0;
                self.found.insert(store.clone(), [last_boot, boot]);
            }
        }
        starts.earlier.retain(|earlier| *earlier != last_boot);
        starts.earlier.push_back(last_boot);
        if starts.earlier.len() > STARTS_MAX {
            starts.earlier.pop_front();
        }
    }

    /// Those found since the last time.
    pub(super) fn take(&mut self) -> BTreeMap<StoreId, [Boot; 2]> {
        std::mem::take(&mut self.found)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn found(hellos: &[(u64, u64, u64)]) -> bool {
        let store = "S0001".parse().unwrap();
        let mut twins = Twins::default();
        for &(link, boot, at) in hellos {
            twins.hello(&store, LinkId(link), Boot(boot), Ticks(at));
        }
        !twins.take().is_empty()
    }

    #[test]
    fn an_agent_that_restarts_again_and_again_is_one() {
        let restarts: Vec<_> = (1..100).map(|n| (n, n, n)).collect();
        assert!(!found(&restarts));
        assert!(
            !found(&[(1, 7, 1), (2, 7, 2), (3, 7, 3), (4, 8, 4), (5, 8, 5)]),
            "nor one that connects again"
        );
    }

    #[test]
    fn two_that_take_turns_are_two() {
        assert!(!found(&[(1, 7, 1), (2, 8, 2), (3, 7, 3)]), "once may be an accident");
        assert!(found(&[(1, 7, 1), (2, 8, 2), (3, 7, 3), (4, 8, 4)]));
    }

    #[test]
    fn old_hellos_that_a_broker_brings_late_are_no_second_agent() {
        assert!(!found(&[(1, 7, 1), (1, 8, 2), (1, 7, 3), (1, 8, 4)]));
        assert!(found(&[(1, 7, 1), (1, 8, 2), (1, 7, 3), (1, 8, 4), (1, 7, 5), (1, 8, 6)]));
    }

    #[test]
    fn what_lies_far_apart_is_not_counted_together() {
        let hour = TOGETHER_MS + 1;
        assert!(!found(&[(1, 7, 1), (2, 8, 2), (3, 7, hour), (4, 8, 3 * hour)]));
    }
}
