//! The preset for Odoo against tables of our own with the columns that Odoo publishes.

use super::{Server, has, references, source};
use crate::shop::{Shop, until};
use postgres::Client;
use rusqlite::Connection;
use store_agent::http::listener::Patience;

const PRESET: &str = include_str!("../../../presets/odoo.toml");

const SCHEMA: &str = "
    CREATE TABLE product_product (id serial PRIMARY KEY, default_code varchar, barcode varchar, active bool DEFAULT true);
    CREATE TABLE stock_location (id serial PRIMARY KEY, complete_name varchar, usage varchar NOT NULL, active bool DEFAULT true);
    CREATE TABLE stock_quant (id serial PRIMARY KEY, product_id int NOT NULL REFERENCES product_product, location_id int NOT NULL REFERENCES stock_location,
        lot_id int, quantity numeric, reserved_quantity numeric NOT NULL DEFAULT 0, in_date timestamp NOT NULL DEFAULT now(), write_date timestamp);
    CREATE TABLE stock_move_line (id serial PRIMARY KEY, product_id int NOT NULL, location_id int NOT NULL, location_dest_id int NOT NULL, lot_id int,
        quantity numeric, quantity_product_uom numeric, state varchar, date timestamp NOT NULL DEFAULT now(), reference varchar, write_date timestamp);
    CREATE ROLE shopsmart LOGIN;
    GRANT SELECT ON product_product, stock_location, stock_quant, stock_move_line TO shopsmart;
    INSERT INTO product_product (default_code, barcode) VALUES ('MILK', '4006381333931'), ('HAM', NULL), ('BULK', '');
    INSERT INTO stock_location (complete_name, usage) VALUES ('WH/Stock', 'internal'), ('WH/Stock/Shelf 1', 'internal'),
        ('Partners/Customers', 'customer'), ('Virtual Locations/Inventory adjustment', 'inventory'), ('WH2/Stock', 'internal');";

const SHELF: i32 = 1;
const SHELF_1: i32 = 2;
const CUSTOMERS: i32 = 3;
const COUNTED: i32 = 4;
const ELSEWHERE: i32 = 5;
const MILK: i32 = 1;
const HAM: i32 = 2;
const BULK: i32 = 3;

/// A line that somebody means to do. Gives its number.
fn plan(odoo: &mut Client, product: i32, from: i32, to: i32, quantity: &str) -> i32 {
    let sql = "INSERT INTO stock_move_line (product_id, location_id, location_dest_id, quantity, quantity_product_uom, state, reference)
               VALUES ($1, $2, $3, $4::text::numeric, $4::text::numeric, 'assigned', 'WH/POS/00001') RETURNING id";
    odoo.query_one(sql, &[&product, &from, &to, &quantity]).unwrap().get(0)
}

/// What Odoo does when a line is done: it says so, quants change, and some vanish and come back under another number.
fn done(odoo: &mut Client, line: i32) {
    let mut step = odoo.transaction().unwrap();
    step.execute("UPDATE stock_move_line SET state = 'done', date = now() WHERE id = $1", &[&line]).unwrap();
    for (place, sign) in [("location_id", "-"), ("location_dest_id", "+")] {
        let update = format!(
            "UPDATE stock_quant q SET quantity = q.quantity {sign} l.quantity_product_uom FROM stock_move_line l
              WHERE l.id = $1 AND q.product_id = l.product_id AND q.location_id = l.{place} AND q.lot_id IS NULL"
        );
        if step.execute(&update, &[&line]).unwrap() == 0 {
            let insert = format!(
                "INSERT INTO stock_quant (product_id, location_id, quantity)
                 SELECT product_id, {place}, 0 {sign} quantity_product_uom FROM stock_move_line WHERE id = $1"
            );
            step.execute(&insert, &[&line]).unwrap();
        }
    }
    step.batch_execute("DELETE FROM stock_quant WHERE quantity = 0").unwrap();
    step.commit().unwrap();
}

fn moved(odoo: &mut Client, product: i32, from: i32, to: i32, quantity: &str) -> i32 {
    let line = plan(odoo, product, from, to, quantity);
    done(odoo, line);
    line
}

#[test]
fn odoo_is_followed_whenever_its_lines_are_done() {
    let server = Server::start("");
    let mut odoo = server.pos();
    odoo.batch_execute(SCHEMA).unwrap();
    moved(&mut odoo, MILK, COUNTED, SHELF, "10");
    moved(&mut odoo, HAM, COUNTED, SHELF_1, "1.25");
    moved(&mut odoo, MILK, COUNTED, ELSEWHERE, "500");
    // A lot of its own has a quant of its own.
    odoo.batch_execute(
        "INSERT INTO stock_quant (product_id, location_id, lot_id, quantity) VALUES (1, 2, 7, 3)",
    )
    .unwrap();
    let late = plan(&mut odoo, MILK, SHELF, CUSTOMERS, "2");
    let preset = PRESET.replace("socket = \"/run/postgresql\"\ndatabase = \"odoo\"\n", &server.by_socket())
        + "poll_every_ms = 50\ngap_patience_s = 0\n";
    // The POS is not asked for its figures: what is there has to come of the lines.
    let mut shop = Shop::open_with(
        &preset.replace("reconcile_every_s = 600", "reconcile_every_s = 0"),
        Patience::default(),
    );
    has(&shop, "04006381333931", "13");
    has(&shop, "HAM", "1.25");
    let sold = moved(&mut odoo, HAM, SHELF_1, CUSTOMERS, "0.25");
    moved(&mut odoo, BULK, COUNTED, SHELF, "0.3");
    moved(&mut odoo, MILK, SHELF, SHELF_1, "4");
    has(&shop, "HAM", "1");
    has(&shop, "BULK", "0.3");
    until("the planned line is waited for no longer", || source(&shop)["gaps_open"] == 0);
    done(&mut odoo, late);
    has(&shop, "04006381333931", "11");
    shop.stop();
    // The last one goes to another warehouse: its quant is gone, and so is the row.
    moved(&mut odoo, HAM, SHELF_1, ELSEWHERE, "1");
    shop.start();
    has(&shop, "HAM", "0");
    assert_eq!(source(&shop)["counts"]["set_aside"], 0, "{}", source(&shop));
    shop.stop();
    let db = Connection::open(shop.folder.path().join("data/agent.db")).unwrap();
    for line in [late, sold] {
        assert!(references(shop.folder.path()).contains(&line.to_string()));
        let sql = "SELECT kind FROM document WHERE reference = ?1";
        let kind: i64 = db.query_row(sql, [line.to_string()], |row| row.get(0)).unwrap();
        assert_eq!(kind, 1, "a sale");
    }
}

#[test]
fn a_quant_that_no_line_explains_is_taken_over() {
    let server = Server::start("");
    let mut odoo = server.pos();
    odoo.batch_execute(SCHEMA).unwrap();
    moved(&mut odoo, MILK, COUNTED, SHELF, "10");
    let preset = PRESET.replace("socket = \"/run/postgresql\"\ndatabase = \"odoo\"\n", &server.by_socket());
    let shop = Shop::open_with(
        &preset.replace("reconcile_every_s = 600", "reconcile_every_s = 1"),
        Patience::default(),
    );
    has(&shop, "04006381333931", "10");
    odoo.batch_execute("UPDATE stock_quant SET quantity = 8 WHERE location_id = 1").unwrap();
    has(&shop, "04006381333931", "8");
}
