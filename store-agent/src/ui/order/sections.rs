//! What an order shows, by how it stands: one thing to do next, large; everything else small below it.

use super::acts::is_counted;
use crate::store::reader::{ItemView, OrderView};
use crate::ui::PageDesk;
use crate::ui::layout::token;
use crate::ui::people::roles::{Deed, May};
use crate::ui::texts::{Text, order as texts, orders as list, shared};
use crate::ui::today::item_name;
use crate::ui::visitor::Visitor;
use crate::ui::words::Words;
use maud::{Markup, html};
use sync_protocol::order::lifecycle::{Progress, REFUSAL_BYTES_MAX, UNDO_WITHIN};
use sync_protocol::order::{Cancel, OrderId, Proof, ShortReason, Stage};
use sync_protocol::{Quantity, UnixMillis};

#[must_use]
pub fn of(desk: &PageDesk, visitor: &Visitor, view: &OrderView) -> Markup {
    let words = visitor.words(desk);
    let row = &view.row;
    let cancel = row.hub.as_ref().and_then(|hub| hub.cancel).filter(|_| row.store.stage.is_open());
    let form = Forms { visitor, order: row.order, revision: row.store.revision };
    let may_work = visitor.may(Deed::WorkOnOrders) == May::Yes;
    match (row.store.stage, cancel) {
        (_, Some(cancel)) => cancelling(&words, &form, view, cancel, may_work),
        (Stage::Received | Stage::Accepted, None) => picking(&words, &form, view, may_work),
        (Stage::Ready, None) => ready(&words, &form, view, may_work),
        (Stage::HandedOver, _) => handed_over(&words, &form, view),
        (Stage::Refused | Stage::Cancelled, _) => ended(&words, &form, view, may_work),
    }
}

/// What every form of an order carries.
struct Forms<'a> {
    visitor: &'a Visitor,
    order: OrderId,
    revision: u32,
}

impl Forms<'_> {
    fn act(&self, act: &str, inside: &Markup) -> Markup {
        html! {
            form method="post" action={ "/orders/" (self.order) "/" (act) } data-smooth="#order" {
                (token(self.visitor))
                input type="hidden" name="revision" value=(self.revision);
                (inside)
            }
        }
    }
}

fn picking(words: &Words<'_>, form: &Forms<'_>, view: &OrderView, may_work: bool) -> Markup {
    let progress = &view.row.store.progress;
    let is_complete = progress.iter().all(|line| line.left() == Quantity::ZERO);
    let has_some = view.row.store.has_picked();
    html! {
        @if may_work && !is_complete { (scan_field(words, form)) }
        (lines(words, form, view, may_work))
        @if may_work {
            @if is_complete && has_some {
                (form.act("ready", &html! {
                    button #make-ready .primary.wide type="submit" { (words.say(texts::MAKE_READY)) }
                }))
            } @else if is_complete {
                p.note { (words.say(texts::NOTHING_THERE)) }
            } @else {
                p.note { (words.say(texts::STILL_TO_PICK)) }
            }
            (refuse(words, form, is_complete && !has_some))
        }
    }
}

/// One field for scanner and fingers. A scanner's code lands here wherever the cursor is.
fn scan_field(words: &Words<'_>, form: &Forms<'_>) -> Markup {
    html! {
        form.scan method="post" action={ "/orders/" (form.order) "/scan" } data-scan="#order" data-smooth="#order" {
            (token(form.visitor))
            input type="hidden" name="revision" value=(form.revision);
            label for="code" { (words.say(texts::SCAN)) }
            div.row {
                input #code name="code" autocomplete="off" inputmode="numeric" maxlength="64" required;
                button type="submit" { (words.say(texts::TICK)) }
            }
        }
    }
}

fn lines(words: &Words<'_>, form: &Forms<'_>, view: &OrderView, may_work: bool) -> Markup {
    html! {
        section aria-labelledby="lines" {
            h2 #lines { (words.say(texts::LINES)) }
            ul.lines {
                @for (line, item) in view.row.store.progress.iter().zip(&view.items) {
                    (one_line(words, form, line, item.as_ref(), may_work))
                }
            }
        }
    }
}

fn one_line(
    words: &Words<'_>,
    form: &Forms<'_>,
    line: &Progress,
    item: Option<&ItemView>,
    may_work: bool,
) -> Markup {
    let unit = item.map_or("", |item| item.unit.as_str());
    let left = line.left();
    let is_done = left == Quantity::ZERO;
    let picked = words.amount(line.picked, unit);
    let ordered = words.amount(line.ordered, unit);
    let at_risk = !is_done && item.is_some_and(|item| item.cell.shortfall().is_positive());
    html! {
        li.item data-done[is_done] data-short[line.short.is_positive()] {
            div.what {
                // What is missing must not pass for what is in the bag.
                span.tick aria-hidden="true" {
                    @if is_done && line.short.is_positive() { "!" } @else if is_done { "✓" }
                }
                div {
                    strong.name { (item.map_or("?", |item| item_name(&item.name, &item.sku))) }
                    @if let Some(item) = item { span.soft.sku { (words.fill(shared::SKU, &[("sku", &item.sku)])) } }
                    @if line.short.is_positive() {
                        span.risk {
                            (words.fill(texts::SHORT_SOME, &[
                                ("amount", &words.amount(line.short, unit)),
                                ("why", words.say(short_reason(line.why))),
                            ]))
                        }
                    }
                    @if at_risk { span.risk { (words.say(list::AT_RISK)) } }
                }
                span.amount { (words.fill(texts::PICKED_OF, &[("picked", &picked), ("ordered", &ordered)])) }
            }
            @if may_work && !is_done && let Some(item) = item { (line_acts(words, form, item, left)) }
        }
    }
}

fn line_acts(words: &Words<'_>, form: &Forms<'_>, item: &ItemView, left: Quantity) -> Markup {
    let number = item.item.0;
    let all = words.amount(left, &item.unit);
    let pick = |quantity: Quantity, label: &str, id: &str| {
        form.act("pick", &html! {
            input type="hidden" name="item" value=(number);
            input type="hidden" name="quantity" value=(quantity);
            button id={ (id) "-" (number) } type="submit" aria-label={ (label) ": " (item_name(&item.name, &item.sku)) } {
                (label)
            }
        })
    };
    html! {
        div.acts {
            @if is_counted(item) { (pick(Quantity::ONE.min(left), words.say(texts::ONE_MORE), "one")) }
            @if !is_counted(item) || left > Quantity::ONE {
                (pick(left, &words.fill(texts::ALL_OF, &[("amount", &all)]), "all"))
            }
            details.not-there {
                summary.button id={ "short-" (number) } { (words.say(texts::NOT_THERE)) }
                (short_form(words, form, item, left))
            }
        }
    }
}

fn short_form(words: &Words<'_>, form: &Forms<'_>, item: &ItemView, left: Quantity) -> Markup {
    let number = item.item.0;
    let reasons = [
        (ShortReason::NotFound, texts::WHY_NOT_FOUND, texts::WHY_NOT_FOUND_HINT),
        (ShortReason::Damaged, texts::WHY_DAMAGED, texts::WHY_DAMAGED_HINT),
        (ShortReason::WrongShelf, texts::WHY_WRONG_SHELF, texts::WHY_WRONG_SHELF_HINT),
    ];
    let inside = html! {
        input type="hidden" name="item" value=(number);
        label for={ "how-much-" (number) } { (words.say(texts::HOW_MUCH)) }
        input id={ "how-much-" (number) } name="quantity" value=(left) inputmode="decimal" autocomplete="off" required;
        fieldset.reasons {
            legend { (words.say(texts::WHY)) }
            @for (at, (why, name, hint)) in reasons.into_iter().enumerate() {
                @let id = format!("why-{number}-{at}");
                div.choice {
                    input type="radio" id=(id) name="why" value=(why.name()) required checked[at == 0];
                    label for=(id) { (words.say(name)) span.hint { (words.say(hint)) } }
                }
            }
        }
        button type="submit" { (words.say(texts::REPORT_SHORT)) }
    };
    // Somebody who found only part of it picks that part with an amount of its own.
    let part = html! {
        input type="hidden" name="item" value=(number);
        label for={ "amount-" (number) } { (words.say(texts::AMOUNT)) }
        div.row {
            input id={ "amount-" (number) } name="quantity" inputmode="decimal" autocomplete="off" required;
            button type="submit" { (words.say(texts::PICK_AMOUNT)) }
        }
    };
    html! { div.card { (form.act("short", &inside)) (form.act("pick", &part)) } }
}

fn short_reason(why: Option<ShortReason>) -> Text {
    match why {
        Some(ShortReason::Damaged) => texts::WHY_DAMAGED,
        Some(ShortReason::WrongShelf) => texts::WHY_WRONG_SHELF,
        Some(ShortReason::NotTaken) => texts::WHY_NOT_TAKEN,
        Some(ShortReason::NotFound) | None => texts::WHY_NOT_FOUND,
    }
}

fn refuse(words: &Words<'_>, form: &Forms<'_>, is_open: bool) -> Markup {
    let inside = html! {
        p.hint { (words.say(texts::REFUSE_WHY)) }
        label for="reason" { (words.say(texts::REASON)) }
        input #reason name="reason" maxlength=(REFUSAL_BYTES_MAX) autocomplete="off" required;
        button.danger type="submit" { (words.say(texts::REFUSE_BUTTON)) }
    };
    html! {
        details.aside open[is_open] {
            summary.button #refuse { (words.say(texts::REFUSE)) }
            div.card { (form.act("refuse", &inside)) }
        }
    }
}

fn ready(words: &Words<'_>, form: &Forms<'_>, view: &OrderView, may_work: bool) -> Markup {
    html! {
        p.note { (words.say(texts::READY_WHERE)) }
        (hand_over_link(words, form.order, texts::HAND_OVER))
        (lines(words, form, view, false))
        @if may_work { (refuse(words, form, false)) }
    }
}

fn hand_over_link(words: &Words<'_>, order: OrderId, text: Text) -> Markup {
    html! { p { a #hand-over .button.primary.wide href={ "/hand-over?order=" (order) } { (words.say(text)) } } }
}

fn cancelling(
    words: &Words<'_>,
    form: &Forms<'_>,
    view: &OrderView,
    cancel: Cancel,
    may_work: bool,
) -> Markup {
    let why = match cancel {
        Cancel::Shopper => texts::CANCEL_SHOPPER,
        Cancel::HeadOffice => texts::CANCEL_HEAD_OFFICE,
        Cancel::Expired => texts::CANCEL_EXPIRED,
        Cancel::Rerouted => texts::CANCEL_REROUTED,
        Cancel::Unpaid => texts::CANCEL_UNPAID,
    };
    html! {
        p.trouble { (words.say(why)) " " (words.say(texts::CANCEL_WHAT)) }
        @if may_work {
            (form.act("acknowledge-cancel", &html! {
                button #acknowledge .primary.wide type="submit" { (words.say(texts::ACKNOWLEDGE)) }
            }))
            p { a.button href={ "/hand-over?order=" (form.order) } { (words.say(texts::HAND_OVER_ANYWAY)) } }
        }
        (lines(words, form, view, false))
    }
}

fn handed_over(words: &Words<'_>, form: &Forms<'_>, view: &OrderView) -> Markup {
    let store = &view.row.store;
    let proof = match store.proof {
        Some(Proof::Code) => texts::PROOF_CODE,
        Some(Proof::ShortCode) => texts::PROOF_SHORT_CODE,
        Some(Proof::Till) => texts::PROOF_TILL,
        Some(Proof::Person) | None => texts::PROOF_PERSON,
    };
    let until = UnixMillis(store.since.0.saturating_add(UNDO_WITHIN.cast_signed()));
    let can_undo = store.proof != Some(Proof::Till) && form.visitor.now <= until;
    html! {
        p.good {
            (words.fill(texts::HANDED_OVER_BY, &[("time", &words.moment(store.since)), ("name", &store.by)]))
            ", " (words.say(proof)) "."
        }
        @if can_undo && form.visitor.may(Deed::UndoHandOver) != May::No {
            (form.act("undo", &html! {
                button #undo type="submit" { (words.say(texts::UNDO)) }
                " " span.hint { (words.fill(texts::UNDO_UNTIL, &[("time", &words.moment(until))])) }
            }))
        }
        (lines(words, form, view, false))
    }
}

fn ended(words: &Words<'_>, form: &Forms<'_>, view: &OrderView, may_work: bool) -> Markup {
    let store = &view.row.store;
    let time = words.moment(store.since);
    html! {
        @if store.stage == Stage::Refused {
            p.note {
                (words.fill(texts::REFUSED_BECAUSE, &[("time", &time), ("name", &store.by), ("reason", &store.reason)]))
            }
        } @else {
            p.note { (words.fill(texts::ENDED_AT, &[("time", &time)])) }
        }
        @if !store.put_back {
            p.trouble { (words.say(texts::PUT_BACK_WHAT)) }
            @if may_work {
                (form.act("put-back", &html! {
                    button #put-back .primary.wide type="submit" { (words.say(texts::PUT_BACK)) }
                }))
            }
        }
        (lines(words, form, view, false))
    }
}
