//! The preset for Odoo against tables of our own with the columns that Odoo publishes.

use super::{Server, has, source};
use crate::shop::{Shop, until};
use postgres::Client;
use store_agent::http::listener::Patience;

const PRESET: &str = include_str!("../../../presets/odoo.toml");

const SCHEMA: &str = r#"
    CREATE TABLE product_product (id serial PRIMARY KEY, default_code varchar, barcode varchar, active bool DEFAULT true);
    CREATE TABLE stock_location (id serial PRIMARY KEY, complete_name varchar, usage varchar NOT NULL, active bool DEFAULT true);
    CREATE TABLE stock_lot (id serial PRIMARY KEY, name varchar);
    CREATE TABLE stock_quant (id serial PRIMARY KEY, product_id int NOT NULL REFERENCES product_product, location_id int NOT NULL REFERENCES stock_location,
        lot_id int REFERENCES stock_lot, quantity numeric, reserved_quantity numeric NOT NULL DEFAULT 0, in_date timestamp NOT NULL DEFAULT now(),
        write_date timestamp DEFAULT now());
    CREATE ROLE shopsmart LOGIN;
    GRANT SELECT ON product_product, stock_location, stock_quant TO shopsmart;
    INSERT INTO product_product (default_code, barcode) VALUES ('MILK', '4006381333931'), ('HAM', NULL), ('BULK', '');
    INSERT INTO stock_location (complete_name, usage) VALUES ('WH/Stock', 'internal'), ('WH/Stock/Shelf 1', 'internal'),
        ('Partners/Customers', 'customer'), ('Virtual Locations/Inventory adjustment', 'inventory'), ('WH2/Stock', 'internal');"#;

/// What Odoo does when a move is done: quants change, and some vanish and come back under another number.
fn done(odoo: &mut Client, product: i32, from: i32, to: i32, quantity: f64) {
    let mut step = odoo.transaction().unwrap();
    for (place, moved) in [(from, -quantity), (to, quantity)] {
        let update = "UPDATE stock_quant SET quantity = quantity + $3::float8::numeric, write_date = now() WHERE product_id = $1 AND location_id = $2 AND lot_id IS NULL";
        if step.execute(update, &[&product, &place, &moved]).unwrap() == 0 {
            let insert = "INSERT INTO stock_quant (product_id, location_id, quantity) VALUES ($1, $2, $3::float8::numeric)";
            step.execute(insert, &[&product, &place, &moved]).unwrap();
        }
    }
    step.batch_execute("DELETE FROM stock_quant WHERE quantity = 0").unwrap();
    step.commit().unwrap();
}

#[test]
fn odoo_is_followed_by_its_quants_whatever_the_state_of_its_moves() {
    let server = Server::start("");
    let mut odoo = server.pos();
    odoo.batch_execute(SCHEMA).unwrap();
    done(&mut odoo, 1, 4, 1, 10.0);
    done(&mut odoo, 2, 4, 2, 1.25);
    done(&mut odoo, 1, 4, 5, 500.0);
    // Beside two places, a lot of its own: Odoo has a quant for each.
    odoo.batch_execute(
        "INSERT INTO stock_lot (name) VALUES ('L1');
        INSERT INTO stock_quant (product_id, location_id, lot_id, quantity) VALUES (1, 2, 1, 3)",
    )
    .unwrap();
    let preset = PRESET
        .replace("socket = \"/run/postgresql\"\ndatabase = \"odoo\"\n", &server.by_socket())
        .replace("poll_every_ms = 2000", "poll_every_ms = 50");
    let mut shop = Shop::open_with(&preset, Patience::default());
    has(&shop, "04006381333931", "13");
    has(&shop, "HAM", "1.25");
    done(&mut odoo, 1, 1, 3, 2.0);
    done(&mut odoo, 3, 4, 1, 0.3);
    has(&shop, "04006381333931", "11");
    has(&shop, "BULK", "0.3");
    shop.stop();
    // The last one is sold: its quant is gone, and so is the row.
    done(&mut odoo, 2, 2, 3, 1.25);
    done(&mut odoo, 1, 2, 1, 0.5);
    shop.start();
    has(&shop, "HAM", "0");
    has(&shop, "04006381333931", "11");
    until("it is quiet", || source(&shop)["state"] == "reading");
    assert_eq!(source(&shop)["counts"]["set_aside"], 0, "{}", source(&shop));
}
