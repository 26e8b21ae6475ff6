//! Which tables and views the SELECTs use, and how each is made: what was accepted is held against this.

use crate::pos::sidecar::Tables;
use crate::pos::source::SourceError;
use crate::pos::sql::columns::quoted;
use crate::pos::sql::database::failed;
use postgres::types::Oid;
use postgres::{Client, GenericClient, Statement};
use serde_json::Value;
use std::collections::BTreeSet;

/// Tables are taken by their root: a partition more each month is no other table.
const MADE: &str = "
    SELECT c.oid, n.nspname || '.' || c.relname,
           CASE WHEN c.relkind IN ('v', 'm') THEN pg_get_viewdef(c.oid)
                ELSE (SELECT string_agg(quote_ident(a.attname) || ' ' || format_type(a.atttypid, a.atttypmod)
                                        || CASE WHEN a.attnotnull THEN ' NOT NULL' ELSE '' END, ', ' ORDER BY a.attnum)
                        FROM pg_catalog.pg_attribute a WHERE a.attrelid = c.oid AND a.attnum > 0 AND NOT a.attisdropped) END
      FROM pg_catalog.pg_class c JOIN pg_catalog.pg_namespace n ON n.oid = c.relnamespace
     WHERE c.oid IN (SELECT coalesce(pg_partition_root(f), f) FROM unnest($1::oid[]) AS f)";

/// Views are gone from a plan; they are found by their names in the text of the SELECT or of another view.
const VIEWS: &str = "
    SELECT c.oid, pg_get_viewdef(c.oid)
      FROM pg_catalog.pg_class c JOIN pg_catalog.pg_namespace n ON n.oid = c.relnamespace
     WHERE c.relkind IN ('v', 'm') AND n.nspname NOT IN ('pg_catalog', 'information_schema')
       AND strpos(lower($1), lower(c.relname)) > 0";

/// Every change to a column or to a view writes its row of the catalogue anew.
const MARK: &str = "
    SELECT coalesce((SELECT sum(hashtextextended(a.attrelid || '.' || a.attnum || '.' || a.xmin::text, 0)::numeric)
                       FROM pg_catalog.pg_attribute a WHERE a.attrelid = ANY($1)), 0)::text
           || ' ' || coalesce((SELECT sum(hashtextextended(r.oid || '.' || r.xmin::text, 0)::numeric)
                       FROM pg_catalog.pg_rewrite r WHERE r.ev_class = ANY($1)), 0)::text";

/// Deeper than views are nested.
const NESTED_MAX: usize = 16;

/// The tables by name, and their numbers in the catalogue.
pub fn tables<'a>(
    client: &mut Client,
    selects: impl Iterator<Item = &'a str>,
) -> Result<(Tables, Vec<Oid>), SourceError> {
    let looking = || failed("looking at its tables");
    let mut oids: BTreeSet<Oid> = BTreeSet::new();
    for select in selects {
        let explain = format!("EXPLAIN (VERBOSE, COSTS OFF, FORMAT JSON) SELECT * FROM ({select}) AS pos");
        let plan: Value = client
            .query_one(&explain, &[])
            .and_then(|row| row.try_get(0).map(|Json(plan)| plan))
            .map_err(looking())?;
        let mut names = Vec::new();
        relations(&plan, &mut names);
        let names: Vec<String> =
            names.iter().map(|(schema, name)| format!("{}.{}", quoted(schema), quoted(name))).collect();
        let found = client
            .query("SELECT to_regclass(name)::oid FROM unnest($1::text[]) AS name", &[&names])
            .map_err(looking())?;
        for row in found {
            oids.extend(row.try_get::<_, Option<Oid>>(0).map_err(looking())?);
        }
        let mut texts = vec![select.to_owned()];
        for _ in 0..NESTED_MAX {
            let Some(text) = texts.pop() else { break };
            for view in client.query(VIEWS, &[&text]).map_err(looking())? {
                let oid: Oid = view.try_get(0).map_err(looking())?;
                if oids.insert(oid) {
                    texts.push(view.try_get(1).map_err(looking())?);
                }
            }
        }
    }
    let oids: Vec<Oid> = oids.into_iter().collect();
    let (mut tables, mut roots) = (Tables::new(), Vec::new());
    for row in client.query(MADE, &[&oids]).map_err(looking())? {
        roots.push(row.try_get(0).map_err(looking())?);
        let made: Option<String> = row.try_get(2).map_err(looking())?;
        tables.insert(row.try_get(1).map_err(looking())?, made.unwrap_or_default());
    }
    Ok((tables, roots))
}

/// A text that changes with those tables. It is asked for at every look, so the question is kept.
pub fn mark(
    client: &mut impl GenericClient,
    question: &mut Option<Statement>,
    oids: &[Oid],
) -> Result<String, postgres::Error> {
    let prepared = match question.take() {
        Some(prepared) => prepared,
        None => client.prepare(MARK)?,
    };
    let row = client.query_one(&prepared, &[&oids])?;
    *question = Some(prepared);
    row.try_get(0)
}

/// Schema and name of every table in a plan.
fn relations(plan: &Value, found: &mut Vec<(String, String)>) {
    match plan {
        Value::Array(parts) => parts.iter().for_each(|part| relations(part, found)),
        Value::Object(node) => {
            let text = |key: &str| node.get(key).and_then(Value::as_str).map(ToOwned::to_owned);
            found.extend(text("Schema").zip(text("Relation Name")));
            node.values().for_each(|part| relations(part, found));
        }
        _ => {}
    }
}

/// A value of the type json.
struct Json(Value);

impl<'a> postgres::types::FromSql<'a> for Json {
    fn from_sql(
        _: &postgres::types::Type,
        raw: &'a [u8],
    ) -> Result<Json, Box<dyn std::error::Error + Sync + Send>> {
        Ok(Json(serde_json::from_slice(raw)?))
    }

    fn accepts(of: &postgres::types::Type) -> bool {
        *of == postgres::types::Type::JSON
    }
}
