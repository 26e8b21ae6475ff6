//! POSLog in the ways of several tills, and XML that means harm.

use super::*;
use crate::config::pos::{ItemIs, KeyIs};
use crate::pos::files::piece::Broken;
use crate::pos::files::poslog::xml::Tickets;
use jiff::tz::TimeZone;
use proptest::prelude::*;
use std::collections::BTreeMap;

const ARTS: &str = "http://www.nrf-arts.org/IXRetail/namespace/";

fn rules() -> Rules {
    let config = PoslogConfig {
        item_from: ItemFrom::ItemId,
        item_types: vec!["Stock".to_owned()],
        void_lines: VoidLines::LeftOut,
        weighed_by: WeighedBy::Units,
        units: BTreeMap::from([("LBR".to_owned(), Factor { mantissa: 453_592, decimals: 6 })]),
        statuses: BTreeMap::from([("Retrieved".to_owned(), true)]),
    };
    let mapping = Mapping {
        changes: None,
        on_hand: None,
        key_is: KeyIs::Number,
        item_is: ItemIs::Any,
        location: None,
        kinds: Vec::new(),
        times: Times::Text,
        time_zone: TimeZone::get("America/New_York").unwrap(),
    };
    Rules { source: "tills".parse().unwrap(), config, mapping }
}

fn read(text: &[u8]) -> Result<Vec<Piece>, Broken> {
    read_by(&rules(), text)
}

fn read_by(rules: &Rules, text: &[u8]) -> Result<Vec<Piece>, Broken> {
    let mut tickets = Tickets::new(text)?;
    let mut pieces = Vec::new();
    while let Some(ticket) = tickets.next()? {
        pieces.push(rules.piece(&ticket, "day.xml"));
    }
    Ok(pieces)
}

/// A transaction as POSLog 6.0 writes it.
fn ticket(sequence: u32, flags: &str, retail: &str, lines: &str) -> String {
    format!(
        "<Transaction {flags}><BusinessUnit><UnitID>7</UnitID></BusinessUnit><WorkstationID>2</WorkstationID>\
         <SequenceNumber>{sequence}</SequenceNumber><BusinessDayDate>2026-11-28</BusinessDayDate>\
         <BeginDateTime>2026-11-29T00:10:00-05:00</BeginDateTime><EndDateTime>2026-11-29T00:12:00-05:00</EndDateTime>\
         <RetailTransaction {retail}>{lines}</RetailTransaction></Transaction>"
    )
}

fn line(flags: &str, goods: &str, kind: &str, item: &str, quantity: &str) -> String {
    format!(
        "<LineItem {flags}><SequenceNumber>1</SequenceNumber><{goods} ItemType=\"{kind}\"><ItemID>{item}</ItemID>\
         {quantity}</{goods}></LineItem>"
    )
}

fn sale(item: &str, quantity: &str) -> String {
    line("", "Sale", "Stock", item, &format!("<Quantity>{quantity}</Quantity>"))
}

fn log(tickets: &str) -> String {
    format!("<?xml version=\"1.0\"?>\n<POSLog xmlns=\"{ARTS}\" MajorVersion=\"6\">\n{tickets}\n</POSLog>")
}

/// Reference, kind, item, thousandths of each line.
fn moves(pieces: &[Piece]) -> Vec<(String, Kind, String, i64)> {
    let of = |of: &SourceDocument| {
        let document = of.document.clone();
        let item = |item: &ItemKey| match item {
            ItemKey::Sku(sku) => sku.to_string(),
            ItemKey::Gtin(gtin) => gtin.to_string(),
        };
        let name = document.reference.to_string();
        let each = |line: &Line| (name.clone(), document.kind, item(&line.item), line.quantity.thousandths());
        document.lines.iter().map(each).collect::<Vec<_>>()
    };
    pieces.iter().flat_map(|piece| &piece.documents).flat_map(of).collect()
}

fn moved(tickets: &str) -> Vec<(String, Kind, String, i64)> {
    let pieces = read(log(tickets).as_bytes()).unwrap();
    assert_eq!(pieces.iter().map(|piece| piece.set_aside.len()).sum::<usize>(), 0, "{pieces:?}");
    moves(&pieces)
}

fn complaints(text: &str) -> Vec<String> {
    let pieces = read(text.as_bytes()).unwrap();
    pieces.into_iter().flat_map(|piece| piece.set_aside).map(|aside| aside.reason).collect()
}

fn one(name: &str, kind: Kind, item: &str, thousandths: i64) -> (String, Kind, String, i64) {
    (name.to_owned(), kind, item.to_owned(), thousandths)
}

const NAME: &str = "7/2/1/2026-11-28";

#[test]
fn a_sale_is_named_by_its_business_day_and_dated_by_its_clock() {
    let text = format!("\u{feff}{}", log(&ticket(1, "", "", &sale("A1", "2"))));
    let pieces = read(text.as_bytes()).unwrap();
    assert_eq!(moves(&pieces), [one(NAME, Kind::Sale, "A1", 2_000)]);
    let at = pieces[0].documents[0].document.occurred_at;
    assert_eq!(at.0, "2026-11-29T05:12:00Z".parse::<jiff::Timestamp>().unwrap().as_millisecond());
}

#[test]
fn lines_of_one_item_are_one_and_what_was_voided_in_the_ticket_is_gone() {
    let lines =
        [sale("A", "1"), sale("B", "3"), sale("A", "2"), sale("B", "-1"), sale("C", "1"), sale("C", "-1")];
    let expected = [one(NAME, Kind::Sale, "A", 3_000), one(NAME, Kind::Sale, "B", 2_000)];
    assert_eq!(moved(&ticket(1, "", "", &lines.concat())), expected);
    assert_eq!(moved(&ticket(1, "", "", &[sale("A", "1"), sale("A", "-1")].concat())), []);
}

#[test]
fn a_line_marked_void_does_not_count_unless_it_takes_another_back() {
    let void = line("VoidFlag=\"true\"", "Sale", "Stock", "A", "<Quantity>1</Quantity>");
    let negative = line("VoidFlag=\"true\"", "Sale", "Stock", "A", "<Quantity>-1</Quantity>");
    assert_eq!(
        moved(&ticket(1, "", "", &[sale("A", "3"), void.clone()].concat())),
        [one(NAME, Kind::Sale, "A", 3_000)]
    );
    assert_eq!(
        moved(&ticket(1, "", "", &[sale("A", "3"), negative].concat())),
        [one(NAME, Kind::Sale, "A", 2_000)]
    );
    let mut rules = rules();
    rules.config.void_lines = VoidLines::TakeBack;
    let pieces =
        read_by(&rules, log(&ticket(1, "", "", &[sale("A", "3"), void].concat())).as_bytes()).unwrap();
    assert_eq!(moves(&pieces), [one(NAME, Kind::Sale, "A", 2_000)]);
}

#[test]
fn what_comes_back_is_a_document_of_its_own() {
    let back = line("", "Return", "Stock", "B", "<Quantity>1</Quantity>");
    let expected =
        [one(NAME, Kind::Sale, "A", 1_000), one(&format!("{NAME}/return"), Kind::Return, "B", 1_000)];
    assert_eq!(moved(&ticket(1, "", "", &[sale("A", "1"), back].concat())), expected);
}

#[test]
fn weighed_goods_count_by_their_weight_in_the_unit_of_the_item() {
    let weighed = |quantity: &str| line("", "Sale", "Stock", "A", quantity);
    for (quantity, expected) in [
        ("<Quantity Units=\"0.42\" UnitOfMeasureCode=\"KGM\">1</Quantity>", 420),
        ("<Quantity Units=\"0.42\" UnitOfMeasureCode=\"KGM\">-1</Quantity>", -420),
        ("<Quantity Units=\"2\" UnitOfMeasureCode=\"LBR\">1</Quantity>", 907),
        ("<Quantity UnitOfMeasureCode=\"KGM\">0.42</Quantity>", 420),
        ("<Quantity Units=\"1\" UnitOfMeasureCode=\"EA\">3</Quantity>", 3_000),
        ("<Quantity>0.42</Quantity>", 420),
    ] {
        assert_eq!(
            moved(&ticket(1, "", "", &weighed(quantity))),
            [one(NAME, Kind::Sale, "A", expected)],
            "{quantity}"
        );
    }
}

#[test]
fn deposits_services_tenders_and_what_is_not_stocked_move_nothing() {
    let quantity = "<Quantity>1</Quantity>";
    let lines = [
        line("", "Sale", "Deposit", "D", quantity),
        line("", "Sale", "Service", "S", quantity),
        line("DeleteFlag=\"true\"", "Sale", "Stock", "X", quantity),
        format!(
            "<LineItem><Sale NotNormallyStockedFlag=\"true\"><ItemID>N</ItemID>{quantity}</Sale></LineItem>"
        ),
        "<LineItem><Tender TenderType=\"Cash\"><Amount>1.00</Amount></Tender></LineItem>".to_owned(),
        "<LineItem><LoyaltyReward><ItemID>L</ItemID><Quantity>1</Quantity></LoyaltyReward></LineItem>"
            .to_owned(),
    ];
    let pieces = read(log(&ticket(1, "", "", &lines.concat())).as_bytes()).unwrap();
    assert!(pieces[0].is_left_out, "{pieces:?}");
}

#[test]
fn what_was_parked_counts_once_and_what_was_cancelled_or_practised_never() {
    let lines = sale("A", "1");
    let nothing = [
        ticket(1, "", "TransactionStatus=\"Suspended\"", &lines),
        ticket(1, "", "TransactionStatus=\"SuspendedRetrieved\"", &lines),
        ticket(1, "SuspendFlag=\"true\"", "", &lines),
        ticket(1, "CancelFlag=\"true\"", "", &lines),
        ticket(1, "", "TransactionStatus=\"Cancelled\"", &lines),
        ticket(1, "TrainingModeFlag=\"true\"", "", &lines),
        ticket(1, "", "", ""),
    ];
    for nothing in nothing {
        assert_eq!(moved(&nothing), [], "{nothing}");
    }
    // Completed under the number it was parked under.
    let resumed = ticket(1, "", "TransactionStatus=\"Suspended\"", &lines)
        + &ticket(1, "", "TransactionStatus=\"Retrieved\"", &lines);
    assert_eq!(moved(&resumed), [one(NAME, Kind::Sale, "A", 1_000)]);
    let odd = complaints(&log(&ticket(1, "", "TransactionStatus=\"Limbo\"", &lines)));
    assert!(odd[0].starts_with("day.xml, line 3: no rule for the transaction status `Limbo`"), "{odd:?}");
}

#[test]
fn a_transaction_that_was_taken_back_is_nothing_whichever_of_its_records_came() {
    let sold = sale("A", "2");
    let voided = ticket(1, "", "TransactionStatus=\"PostVoided\"", &sold);
    let expected = [one(NAME, Kind::Sale, "A", 2_000), one(&format!("{NAME}/void"), Kind::Sale, "A", -2_000)];
    assert_eq!(moved(&voided), expected);
    let link = "<TransactionLink ReasonCode=\"Void\"><WorkstationID>2</WorkstationID><SequenceNumber>1</SequenceNumber>\
                </TransactionLink>";
    let flagged = line("VoidFlag=\"true\"", "Sale", "Stock", "A", "<Quantity>2</Quantity>");
    for lines in [sold, sale("A", "-2"), flagged] {
        let voiding = ticket(9, "", "", &(link.to_owned() + &lines));
        assert_eq!(moved(&voiding), [one("7/2/9/2026-11-28", Kind::Sale, "A", -2_000)], "{voiding}");
    }
    assert!(complaints(&log(&ticket(9, "", "", link)))[0].contains("without saying what was in it"));
}

#[test]
fn a_bad_line_is_set_aside_and_the_rest_of_its_ticket_stands() {
    let lines = [
        sale("A", "1"),
        sale("B", "many"),
        sale("", "1"),
        line("", "SaleForDelivery", "Stock", "C", ""),
        line("", "Sale", "Stock", "D", ""),
    ];
    let text = log(&ticket(1, "", "", &lines.concat()));
    assert_eq!(moves(&read(text.as_bytes()).unwrap()), [one(NAME, Kind::Sale, "A", 1_000)]);
    let said = complaints(&text);
    for (said, expected) in
        said.iter().zip(["`many` is not a plain", "names no item", "`SaleForDelivery`", "no `Quantity`"])
    {
        assert!(
            said.starts_with(&format!("day.xml, line 3: transaction `{NAME}`, line item `1`: ")),
            "{said}"
        );
        assert!(said.contains(expected), "{said}");
    }
    assert_eq!(said.len(), 4);
}

#[test]
fn elements_of_a_vendor_are_none_of_ours_and_prefixes_are_but_names() {
    let vendors = "<LineItem><Sale><v:ItemID>9</v:ItemID><v:Quantity>5</v:Quantity><ItemID>A</ItemID><Quantity>1</Quantity>\
                   <v:More><ItemID>X</ItemID></v:More></Sale></LineItem><v:LineItem><Sale><ItemID>V</ItemID>\
                   <Quantity>1</Quantity></Sale></v:LineItem>";
    let plain = ticket(1, "", "", vendors);
    let text = log(&plain).replace("<POSLog ", "<POSLog xmlns:v=\"urn:vendor\" ");
    assert_eq!(moves(&read(text.as_bytes()).unwrap()), [one(NAME, Kind::Sale, "A", 1_000)]);
    let prefixed = log(&ticket(1, "", "", &sale("A", "1")))
        .replace("</", "</arts:")
        .replace('<', "<arts:")
        .replace("<arts:?", "<?")
        .replace("<arts:/arts:", "</arts:")
        .replace("xmlns=", "xmlns:arts=");
    assert_eq!(moves(&read(prefixed.as_bytes()).unwrap()), [one(NAME, Kind::Sale, "A", 1_000)]);
}

#[test]
fn card_numbers_are_kept_nowhere_and_said() {
    let tender = "<LineItem><Tender><CreditDebit><PrimaryAccountNumber>4111111111111111</PrimaryAccountNumber></CreditDebit>\
                  </Tender></LineItem>";
    let text =
        log(&ticket(1, "", "", &[sale("A", "1"), sale("4111111111111111", "1"), tender.to_owned()].concat()));
    let pieces = read(text.as_bytes()).unwrap();
    assert_eq!(pieces[0].notes.card_numbers, 2);
    assert_eq!(moves(&pieces).len(), 1);
    assert!(!format!("{pieces:?}").contains("4111"), "{pieces:?}");
}

#[test]
fn what_would_expand_nest_or_never_end_is_refused() {
    let lines = sale("A", "1");
    let whole = log(&ticket(1, "", "", &lines));
    let laughs = "<!DOCTYPE POSLog [<!ENTITY a \"ha\"><!ENTITY b \"&a;&a;&a;&a;\">]>";
    let cases = [
        (whole.replace("<POSLog", &format!("{laughs}<POSLog")), "DTD"),
        (whole.replace(">A<", ">&laugh;<"), "entity `&laugh;`"),
        (whole.replace("ItemType=\"Stock\"", "ItemType=\"&laugh;\""), "entity in an attribute"),
        (whole.replace("<LineItem", &format!("{}<LineItem", "<a>".repeat(200))), "nested deeper"),
        (whole.replace(">A<", &format!(">{}<", "A".repeat(300 * 1024))), "longer than"),
        (whole.replace("<LineItem", &format!("<LineItem x=\"{}\"", "A".repeat(300 * 1024))), "longer than"),
        (whole.replace("</RetailTransaction>", "</Retail>"), "no well-formed XML"),
        (
            whole.replace("<?xml version=\"1.0\"?>", "<?xml version=\"1.0\" encoding=\"UTF-16\"?>"),
            "written in `UTF-16`",
        ),
        (whole.replace("POSLog", "Journal"), "no POSLog"),
        (whole[..whole.len() / 2].to_owned(), "ends in the middle"),
        (String::new(), "ends in the middle"),
        (whole.replace("<LineItem", "<q:LineItem"), "prefix `q`"),
    ];
    for (text, expected) in cases {
        let said = read(text.as_bytes()).unwrap_err().to_string();
        assert!(said.contains(expected), "{expected}: {said}");
    }
    let broken = whole.replace(">A<", ">\u{1}<").into_bytes();
    let broken: Vec<u8> = broken.into_iter().map(|byte| if byte == 1 { 0xff } else { byte }).collect();
    assert!(read(&broken).unwrap_err().to_string().contains("no text of the encoding"));
    let latin = log(&ticket(1, "", "", &sale("K\u{1}se", "1")))
        .replace("\"1.0\"?", "\"1.0\" encoding=\"ISO-8859-1\"?");
    let latin: Vec<u8> =
        latin.into_bytes().into_iter().map(|byte| if byte == 1 { 0xe4 } else { byte }).collect();
    assert_eq!(moves(&read(&latin).unwrap()), [one(NAME, Kind::Sale, "Käse", 1_000)]);
}

#[test]
fn what_came_before_the_break_is_there() {
    let text = log(&(ticket(1, "", "", &sale("A", "1")) + &ticket(2, "", "", &sale("A", "1"))));
    let cut = &text[..text.len() - 60];
    let mut tickets = Tickets::new(cut.as_bytes()).unwrap();
    assert!(tickets.next().unwrap().is_some());
    assert!(matches!(tickets.next(), Err(Broken::Unfinished)));
}

#[test]
fn giant_numbers_and_values_are_set_aside() {
    let long = "9".repeat(400);
    let lines = [sale("A", &long), sale("A", "1e300"), sale(&long, "1"), sale("A", "999999999999")];
    let text = log(&ticket(1, "", "", &lines.concat()));
    assert_eq!(complaints(&text).len(), 4);
    let nameless = log(&ticket(1, "", "", &sale("A", "1"))).replace("<WorkstationID>2", "<WorkstationID>");
    assert!(complaints(&nameless)[0].contains("no `WorkstationID`"));
    let many = log(&ticket(1, "", "", &sale("A", "1").repeat(10_001)));
    assert!(complaints(&many)[0].contains("more lines than a document"));
}

proptest! {
    #![proptest_config(ProptestConfig { cases: 256, failure_persistence: None, ..ProptestConfig::default() })]

    #[test]
    fn any_bytes_are_a_value_or_an_error(bytes in prop::collection::vec(any::<u8>(), 0..4_096)) {
        let _ = read(&bytes);
    }

    #[test]
    fn a_damaged_file_is_a_value_or_an_error(at in any::<prop::sample::Index>(), byte in any::<u8>(), cut in any::<prop::sample::Index>()) {
        let mut bytes = log(&(ticket(1, "", "", &sale("A", "1")) + &ticket(2, "", "", &sale("B&amp;", "-1")))).into_bytes();
        let place = at.index(bytes.len());
        bytes[place] = byte;
        bytes.truncate(cut.index(bytes.len()) + 1);
        let _ = read(&bytes);
    }
}
