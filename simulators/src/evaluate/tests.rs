//! Tries to break the model: goods that appear or vanish, policies that meet different customers, escrow that promises more
//! than it has, failures where nothing can fail.

use super::books::{Buffer, LastKnown};
use super::compare::{Outcome, POLICIES, Policy, compare};
use super::escrow::Escrow;
use super::outages::Outage;
use super::plan::{Plan, Plans};
use super::replay::replay;
use super::report::SeasonReport;
use super::season::{Line, Recorded, Season, StoreSeason, Visit};
use super::shoppers::Order;
use super::stock::Supply;
use super::tally::Tally;
use super::{DAY_MS, HOUR_MS, MINUTE_MS, Model, UNIT};
use crate::rng::Rng;
use crate::scenario::generator::{Generator, Trade};
use std::borrow::Cow;
use std::sync::LazyLock;
use sync_protocol::UnixMillis;
use sync_protocol::stock::ReservePolicy;

/// 2026-10-01.
const START: UnixMillis = UnixMillis(1_790_812_800_000);
/// Half of the stores are cut at any busy hour, and shoppers come in crowds.
const STORM: Model = Model {
    orders_per_visit: 3.0,
    lag_ms: 5_000,
    pick_ms: 30 * MINUTE_MS,
    collect_ms_max: DAY_MS,
    shelf_min: 1,
    cut_share: 0.5,
    cut_hours: 7,
};

fn recorded(days: i64) -> Recorded {
    let trade = Trade { stores: 4, items: 400, lines_per_minute: 0.5, start: START };
    let end = UnixMillis(START.0 + days * DAY_MS);
    Recorded::of(Generator::new(trade, Rng::seeded(3)).take_while(|basket| basket.at < end))
}

fn season() -> Season {
    recorded(9).as_recorded("test", 1)
}

/// All policies, on shelves that hold a third of what they should.
fn outcomes(model: Model, seed: u64) -> Vec<Outcome> {
    POLICIES.iter().map(|policy| under_seed(*policy, model, seed)).collect()
}

fn under(policy: Policy, model: Model) -> Outcome {
    under_seed(policy, model, 1)
}

fn under_seed(policy: Policy, model: Model, seed: u64) -> Outcome {
    static SEASON: LazyLock<Season> = LazyLock::new(season);
    let plans = Plans::new(&SEASON, model, seed);
    let mut sum = Tally::default();
    for place in 0..SEASON.stores() {
        let mut plan = plans.store(place);
        plan.supply.levels.iter_mut().for_each(|level| *level = (*level / 3).max(UNIT));
        sum += policy.replay(&plan);
    }
    Outcome::of(policy, sum)
}

/// One store that sells one item; times are minutes.
struct Scene {
    plan: Plan<'static>,
}

impl Scene {
    /// `sales` are (minute, units), `orders` minutes, each of one unit.
    fn new(opening: i64, sales: &[(i64, i64)], orders: &[i64], outages: &'static [Outage]) -> Self {
        let visit = |(minute, units): &(i64, i64)| Visit {
            at: minutes(*minute),
            lines: vec![Line { item: 0, wanted: units * UNIT }],
        };
        let order = |minute: &i64| Order { at: minutes(*minute), items: vec![0], collect_ms: HOUR_MS };
        let sales = StoreSeason { visits: sales.iter().map(visit).collect(), items: 1 };
        let plan = Plan {
            start: START,
            end: UnixMillis(START.0 + DAY_MS),
            sales: Cow::Owned(sales),
            orders: orders.iter().map(order).collect(),
            supply: Supply { levels: vec![opening * UNIT], deliveries: Vec::new() },
            outages,
            model: Model::default(),
        };
        Self { plan }
    }
}

const fn minutes(minute: i64) -> UnixMillis {
    UnixMillis(START.0 + minute * MINUTE_MS)
}

const NOON_OUTAGE: &[Outage] = &[Outage { from: minutes(600), to: minutes(840) }];

#[test]
fn goods_neither_appear_nor_vanish_under_any_policy() {
    for outcome in [outcomes(Model::default(), 1), outcomes(STORM, 2)].concat() {
        let goods = outcome.tally.goods;
        assert_eq!(outcome.tally.goods_unaccounted(), 0, "{:?}: {goods:?}", outcome.policy);
        assert_eq!(goods.walk_in_wanted, goods.walk_in_taken + goods.walk_in_lost, "{:?}", outcome.policy);
        assert!(goods.opening > 0 && goods.delivered > 0 && goods.left > 0 && goods.brought_back > 0);
    }
}

#[test]
fn every_order_ends_as_one_thing() {
    for outcome in outcomes(STORM, 2) {
        for orders in [outcome.tally.orders, outcome.tally.orders_while_cut] {
            assert_eq!(orders.tried, orders.taken + orders.refused, "{:?}", outcome.policy);
            assert_eq!(orders.taken, orders.collected + orders.failed, "{:?}", outcome.policy);
            assert!(orders.refused_although_there <= orders.refused);
        }
    }
}

#[test]
fn all_policies_meet_the_same_demand() {
    let outcomes = outcomes(STORM, 2);
    let (no_web, rest) = outcomes.split_first().unwrap();
    assert_eq!(no_web.tally.orders.tried, 0);
    for other in rest {
        assert_eq!(other.tally.orders.tried, rest[0].tally.orders.tried);
        assert_eq!(other.tally.orders_while_cut.tried, rest[0].tally.orders_while_cut.tried);
        assert_eq!(other.tally.goods.walk_in_wanted, no_web.tally.goods.walk_in_wanted);
        assert_eq!(other.tally.goods.opening, no_web.tally.goods.opening);
        assert_eq!(other.tally.always.samples, no_web.tally.always.samples);
        assert_eq!(other.tally.while_cut.samples, no_web.tally.while_cut.samples);
    }
    assert!(rest[0].tally.orders.tried > 1000 && rest[0].tally.orders_while_cut.tried > 100);
}

#[test]
fn escrow_never_promises_what_was_not_granted() {
    for seed in 1..6 {
        for outcome in outcomes(STORM, seed) {
            assert_eq!(outcome.tally.promised_over_granted, 0, "{:?}, seed {seed}", outcome.policy);
        }
    }
}

#[test]
fn the_same_seed_gives_the_same_figures_and_another_seed_others() {
    let season = season();
    let compared = |seed| compare(&season, Model::default(), seed, &POLICIES);
    assert_eq!(compared(1), compared(1));
    assert_ne!(compared(1), compared(2));
}

#[test]
fn where_nothing_is_late_nothing_fails() {
    let prompt = Model { cut_share: 0.0, lag_ms: 0, pick_ms: 0, ..Model::default() };
    for policy in POLICIES {
        let tally = under(policy, prompt).tally;
        assert_eq!((tally.orders.failed, tally.orders_while_cut.tried), (0, 0), "{policy:?}");
    }
}

#[test]
fn outages_and_slow_picking_are_what_makes_last_known_stock_fail() {
    let failed = |model| under(Policy::LastKnown, model).tally.orders.failed;
    let calm = Model { cut_share: 0.0, pick_ms: MINUTE_MS, ..STORM };
    let (storm, slow, calm) = (failed(STORM), failed(Model { pick_ms: 8 * HOUR_MS, ..calm }), failed(calm));
    assert!(storm > 10 && storm > 4 * calm, "{storm} and {calm}");
    assert!(slow > 10 && slow > 4 * calm, "{slow} and {calm}");
}

#[test]
fn without_lag_or_outage_the_last_known_figure_is_the_shelf_itself() {
    // An order that was promised and is not on the shelf makes both figures 0 until the picker notices.
    let prompt = Model { cut_share: 0.0, lag_ms: 0, ..Model::default() };
    let always = under(Policy::LastKnown, prompt).tally.always;
    assert_eq!(always.right(), always.samples);
    assert!(under(Policy::LastKnown, STORM).tally.while_cut.says_yes_wrongly > 0);
}

#[test]
fn a_larger_reserve_fails_less_and_refuses_more() {
    let storm = outcomes(STORM, 1);
    assert!(storm[1].tally.orders.failed > 10, "there is something to fail less");
    for family in storm[1..].chunk_by(|one, other| one.family == other.family) {
        for pair in family.windows(2) {
            let (bold, careful) = (pair[0].tally.orders, pair[1].tally.orders);
            assert!(careful.failed <= bold.failed, "{:?} fails more often", pair[1].policy);
            assert!(careful.refused >= bold.refused, "{:?} refuses less often", pair[1].policy);
        }
    }
}

/// Where no message is lost, the escrow's rights and a fixed buffer come to the same; what escrow adds is that its sums hold when
/// messages are lost, doubled or late.
#[test]
fn a_fixed_reserve_decides_as_a_buffer_of_the_same_size() {
    for units in [0, 1, 2, 4] {
        let [buffer, reserve] =
            [Policy::Buffer { units }, Policy::FixedReserve { units }].map(|p| under(p, STORM).tally);
        assert_eq!((buffer.orders, buffer.goods), (reserve.orders, reserve.goods), "{units} units");
        assert_eq!(buffer.promises_broken, reserve.promises_broken);
    }
}

#[test]
fn a_sale_during_an_outage_breaks_a_promise_made_on_old_numbers() {
    let scene = Scene::new(2, &[(620, 2)], &[700], NOON_OUTAGE);
    let last_known = replay::<LastKnown>(&scene.plan, Buffer::default());
    assert_eq!((last_known.orders.taken, last_known.orders.failed), (1, 1));
    assert_eq!((last_known.orders_while_cut.taken, last_known.orders_while_cut.failed), (1, 1));
    let escrow = replay::<Escrow>(&scene.plan, fixed(0));
    assert_eq!((escrow.orders.failed, escrow.breaches, escrow.promised_over_granted), (1, 1, 0));
    assert_eq!((last_known.breaches, escrow.promises_broken), (0, 0), "the till was first");
    for careful in
        [replay::<LastKnown>(&scene.plan, Buffer { units: 2 }), replay::<Escrow>(&scene.plan, fixed(2))]
    {
        assert_eq!((careful.orders.refused, careful.orders.failed), (1, 0));
        assert_eq!(careful.orders.refused_although_there, 0, "the shelf is empty by then");
    }
}

#[test]
fn goods_that_wait_to_be_collected_are_lost_to_walk_in_customers() {
    // Ordered at 10, picked at 40, collected an hour later; in between a customer wants both.
    let scene = Scene::new(2, &[(60, 2)], &[10], &[]);
    let tally = replay::<Escrow>(&scene.plan, fixed(0));
    assert_eq!((tally.goods.walk_in_lost, tally.goods.walk_in_lost_to_picked), (UNIT, UNIT));
    assert_eq!((tally.orders.collected, tally.goods.left), (1, 0));
}

#[test]
fn a_till_that_is_quicker_than_the_picker_breaks_a_promise_and_the_order_fails() {
    let scene = Scene::new(2, &[(20, 2)], &[10], &[]);
    let tally = replay::<Escrow>(&scene.plan, fixed(0));
    assert_eq!((tally.promises_broken, tally.orders.failed, tally.goods.walk_in_taken), (1, 1, 2 * UNIT));
}

#[test]
fn a_store_that_is_cut_off_picks_nothing_it_has_not_heard_of() {
    // The order of minute 700 is heard at 840 and picked at 870: a customer at 860 finds the goods, one at 880 does not.
    let found = |minute| {
        let scene = Scene::new(1, &[(minute, 1)], &[700], NOON_OUTAGE);
        replay::<LastKnown>(&scene.plan, Buffer::default()).goods.walk_in_taken == UNIT
    };
    assert!(found(860) && !found(880));
}

#[test]
fn what_failed_is_offered_again_once_there_are_goods() {
    let delivery = |scene: &mut Scene| scene.plan.supply.deliveries = vec![minutes(900)];
    let mut scene = Scene::new(1, &[(620, 1)], &[700, 1000], NOON_OUTAGE);
    delivery(&mut scene);
    for tally in
        [replay::<LastKnown>(&scene.plan, Buffer::default()), replay::<Escrow>(&scene.plan, fixed(0))]
    {
        assert_eq!((tally.orders.taken, tally.orders.failed, tally.orders.collected), (2, 1, 1));
    }
}

#[test]
fn a_reserve_by_velocity_fades_when_nothing_sells() {
    // Five are sold at once; of the five that are left some are kept back, and hours later all can be ordered.
    let scene = Scene::new(10, &[(10, 5)], &[12, 12, 12, 12, 12], &[]);
    let soon = replay::<Escrow>(&scene.plan, ReservePolicy::default());
    assert!(soon.orders.refused_although_there > 0);
    let scene = Scene::new(10, &[(10, 5)], &[1000, 1000, 1000, 1000, 1000], &[]);
    assert_eq!(replay::<Escrow>(&scene.plan, ReservePolicy::default()).orders.refused, 0);
}

#[test]
fn stores_of_a_supermarkets_pace_sell_what_all_stores_sold() {
    let recorded = recorded(16);
    let season = recorded.rotated("test", 3);
    assert_eq!((season.stores(), season.days), (3, 14));
    let whole = recorded.as_recorded("test", 1);
    let end = season.end();
    let sold_before_end = |store: &StoreSeason| {
        store.visits.iter().filter(|visit| visit.at < end).map(|visit| visit.lines.len()).sum::<usize>()
    };
    let all: usize = (0..4).map(|place| sold_before_end(&whole.store(place))).sum();
    for place in 0..3 {
        let store = season.store(place);
        assert_eq!(store.lines().count(), all);
        assert!(store.visits.is_sorted_by_key(|visit| visit.at));
        assert!(store.visits.iter().all(|visit| (season.start..end).contains(&visit.at)));
    }
    assert_ne!(season.store(0), season.store(1));
    assert_eq!(season.store(0), season.store(2), "after two weeks it begins anew");
}

#[test]
fn outages_come_at_the_peak_to_the_share_that_is_asked_for() {
    let season = season();
    let plans = Plans::new(&season, STORM, 1);
    assert_eq!(plans.outage_count(), season.days * season.stores() / 2);
    let plan = plans.store(0);
    for outage in plan.outages {
        assert_eq!(outage.to.0 - outage.from.0, 7 * HOUR_MS);
        assert!(plan.is_cut(outage.from) && !plan.is_cut(outage.to));
    }
}

#[test]
fn fuel_and_lines_of_nothing_take_no_part() {
    let mut baskets: Vec<_> = Generator::new(Trade::default(), Rng::seeded(1)).take(3).collect();
    let line = |thousandths| {
        let mut line = baskets[0].lines[0].clone();
        line.quantity = sync_protocol::Quantity::from_thousandths(thousandths);
        line
    };
    let (fuel, nothing) = (line(10_506 * UNIT), line(0));
    baskets[1].lines = vec![fuel, nothing];
    let small = baskets[0].lines[0].clone();
    baskets[2].lines.push(small);
    let recorded = Recorded::of(baskets.into_iter());
    assert_eq!((recorded.left_out.bulk_items, recorded.left_out.of_quantity_zero), (1, 1));
    assert!(recorded.left_out.of_bulk_items >= 3, "small lines of a bulk item are left out too");
}

#[test]
fn the_report_is_drawn_written_and_without_fault() {
    let season = SeasonReport::of(&season(), Model::default(), 1, &POLICIES);
    assert_eq!(season.faults(), [""; 0]);
    let tables = super::figures::tables(&season);
    assert!(POLICIES.iter().all(|policy| tables.contains(policy.family())), "{tables}");
    let left_out = recorded(1).left_out;
    let report = super::report::Report {
        sales: "made up".into(),
        left_out,
        seed: 1,
        model: Model::default(),
        seasons: vec![season],
    };
    let svg = super::picture::draw(&report).unwrap();
    assert!(svg.starts_with("<svg") && svg.contains("escrow, velocity reserve"));
    let json = serde_json::to_value(&report).unwrap();
    assert!(json.pointer("/seasons/0/outcomes/1/orders/taken").is_some_and(serde_json::Value::is_number));
}

fn fixed(units: i64) -> ReservePolicy {
    let safety_stock = sync_protocol::Quantity::from_units(units);
    ReservePolicy { safety_stock, exposure_s: 0, z: 0.0 }
}
