//! The ledger for people: the newest first, page by page, of an item, a kind, a source or a day.

use super::{MovementView, Reader, ledger_end, movement_view};
use rusqlite::{Connection, params};
use sync_protocol::record::Kind;
use sync_protocol::{Position, Sku, UnixMillis};

const NEWEST: &str = include_str!("../queries/movements_newest.sql");
const NEWEST_OF_ITEM: &str = include_str!("../queries/movements_newest_of_item.sql");
const NEWEST_OF_DAY: &str = include_str!("../queries/movements_newest_of_day.sql");
/// So far back one question goes when it looks for something rare. The next page goes on from there.
const STRETCH: u64 = 200_000;

/// Which lines. Nothing set: all of them.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct MovementFilter {
    pub sku: Option<Sku>,
    pub kind: Option<Kind>,
    pub source: Option<String>,
    /// Recorded from the first moment on, and before the second.
    pub recorded: Option<(UnixMillis, UnixMillis)>,
}

/// One page of the ledger.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct MovementPage {
    pub movements: Vec<MovementView>,
    /// Further ones, if there are any, lie before this position.
    pub before: Option<Position>,
    /// It was not looked further back than `before`, though there may be room on this page.
    pub is_cut: bool,
}

impl Reader {
    /// Lines before `before`, the newest first.
    pub fn newest_movements(
        &self,
        filter: &MovementFilter,
        before: Option<Position>,
        limit: u32,
    ) -> rusqlite::Result<MovementPage> {
        self.ask(|db| {
            let snapshot = db.unchecked_transaction()?;
            let end = ledger_end(&snapshot)?.next();
            let before = before.map_or(end, |before| before.min(end));
            let mut movements = lines(&snapshot, filter, before, limit + 1)?;
            let shown = usize::try_from(limit).unwrap_or(usize::MAX);
            if movements.len() > shown {
                movements.truncate(shown);
                let before = movements.last().map(|line| line.position);
                return Ok(MovementPage { movements, before, is_cut: false });
            }
            let reached = before.0.saturating_sub(STRETCH);
            let is_cut = filter.sku.is_none() && filter.recorded.is_none() && reached > 1;
            Ok(MovementPage { movements, before: is_cut.then_some(Position(reached)), is_cut })
        })
    }
}

fn lines(
    db: &Connection,
    filter: &MovementFilter,
    before: Position,
    limit: u32,
) -> rusqlite::Result<Vec<MovementView>> {
    let kind = filter.kind.map(Kind::code);
    let source = filter.source.as_deref();
    let to = before.0.cast_signed();
    let (from, until) = filter.recorded.map_or((None, None), |(from, until)| (Some(from.0), Some(until.0)));
    if let Some(sku) = &filter.sku {
        let mut query = db.prepare_cached(NEWEST_OF_ITEM)?;
        let values = params![to, sku.as_str(), kind, source, limit, from, until];
        return query.query_map(values, movement_view)?.collect();
    }
    if filter.recorded.is_some() {
        let mut query = db.prepare_cached(NEWEST_OF_DAY)?;
        return query.query_map(params![to, from, until, kind, source, limit], movement_view)?.collect();
    }
    let reached = before.0.saturating_sub(STRETCH).cast_signed();
    let mut query = db.prepare_cached(NEWEST)?;
    query.query_map(params![to, reached, kind, source, limit], movement_view)?.collect()
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::store;

    /// Six lines of two items by two sources, and one far away.
    fn ledger() -> (tempfile::TempDir, Reader) {
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("agent.db");
        let db = store::open(&path).unwrap();
        db.execute_batch(
            "INSERT INTO agent (only_row, store, next_position) VALUES (1, 'S0001', 500001);
             INSERT INTO item (item, sku, name, change_seq) VALUES (1, 'milk', 'Milk', 1), (2, 'tea', 'Tea', 1);
             INSERT INTO source (source, name) VALUES (1, 'till-1'), (2, 'page');
             INSERT INTO document (document, source, reference, kind, occurred_at, recorded_at, content, epoch, lines) VALUES
                 (1, 2, 'a', 6, 10, 10, 0, 0, 1), (499996, 1, 'b', 1, 20, 20, 0, 0, 2), (499998, 1, 'c', 3, 30, 30, 0, 0, 1),
                 (499999, 2, 'd', 5, 40, 40, 0, 0, 1), (500000, 1, 'e', 1, 50, 50, 0, 0, 1);
             INSERT INTO movement (position, document, item, quantity, effect) VALUES
                 (1, 1, 1, 1000, -1000), (499996, 499996, 1, 1, -1), (499997, 499996, 2, 1, -1), (499998, 499998, 1, 1, 1),
                 (499999, 499999, 2, 1, 0), (500000, 500000, 1, 1, -1);",
        )
        .unwrap();
        let reader = Reader::open(&path).unwrap();
        (folder, reader)
    }

    fn positions(page: &MovementPage) -> Vec<u64> {
        page.movements.iter().map(|line| line.position.0).collect()
    }

    #[test]
    fn the_newest_comes_first_page_by_page_without_gap_or_overlap() {
        let (_folder, reader) = ledger();
        let filter = MovementFilter::default();
        let first = reader.newest_movements(&filter, None, 3).unwrap();
        assert_eq!(positions(&first), [500_000, 499_999, 499_998]);
        let second = reader.newest_movements(&filter, first.before, 3).unwrap();
        assert_eq!((positions(&second), second.is_cut), (vec![499_997, 499_996], true));
        let third = reader.newest_movements(&filter, second.before, 3).unwrap();
        let last = reader.newest_movements(&filter, third.before, 3).unwrap();
        assert_eq!((positions(&last), last.before, last.is_cut), (vec![1], None, false));
    }

    #[test]
    fn lines_are_found_by_item_kind_source_and_day() {
        let (_folder, reader) = ledger();
        let found = |filter: MovementFilter| positions(&reader.newest_movements(&filter, None, 50).unwrap());
        let all = MovementFilter::default();
        let milk = Some("milk".parse().unwrap());
        assert_eq!(
            found(MovementFilter { sku: milk.clone(), ..all.clone() }),
            [500_000, 499_998, 499_996, 1]
        );
        assert_eq!(found(MovementFilter { sku: milk, kind: Some(Kind::Waste), ..all.clone() }), [1]);
        assert_eq!(
            found(MovementFilter { kind: Some(Kind::Sale), ..all.clone() }),
            [500_000, 499_997, 499_996]
        );
        assert_eq!(found(MovementFilter { source: Some("page".to_owned()), ..all.clone() }), [499_999]);
        let day = Some((UnixMillis(20), UnixMillis(31)));
        assert_eq!(found(MovementFilter { recorded: day, ..all.clone() }), [499_998, 499_997, 499_996]);
        assert_eq!(
            found(MovementFilter { recorded: day, kind: Some(Kind::Receipt), ..all.clone() }),
            [499_998]
        );
        let tea = Some("tea".parse().unwrap());
        assert_eq!(found(MovementFilter { sku: tea, recorded: day, ..all }), [499_997]);
    }
}
