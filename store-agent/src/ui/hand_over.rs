//! Handing over at the counter: which order, is it the right person, and the bag. All of it works with the line down.

use super::act::{Deeds, audited};
use super::failure::Failure;
use super::form::Form;
use super::guard::redirect;
use super::layout::{self, Screen, token};
use super::order::acts::asked;
use super::order::{known, number, refusals};
use super::people::roles::{Deed, May};
use super::people::staff::is_name;
use super::step_up::{Answer, permitted};
use super::texts::{hand_over as texts, order as order_texts};
use super::today::item_name;
use super::told;
use super::visitor::Visitor;
use super::words::Words;
use super::{Desk, PageDesk};
use crate::agent::pickup::{CLOCK_TOLERANCE_MS, Request, Wish};
use crate::http::reading::ask;
use crate::store::reader::OrderView;
use axum::Extension;
use axum::extract::{Path, State};
use axum::http::Uri;
use axum::response::Response;
use maud::{Markup, html};
use sync_protocol::Quantity;
use sync_protocol::order::{Act, OrderId, Proof, ShortCode, Stage};
use sync_protocol::pickup_code::PickupCode;

/// Ready orders listed at the counter.
const LISTED_MAX: u32 = 200;

/// `GET /hand-over`, with `?order=` for one order.
pub async fn counter(
    State(desk): Desk,
    Extension(visitor): Extension<Visitor>,
    uri: Uri,
) -> Result<Response, Failure> {
    let query = Form::read(uri.query().unwrap_or_default().as_bytes())?;
    if !query.has("order") {
        return at_the_counter(&desk, &visitor, None).await;
    }
    let view = known(&desk, number(query.text("order"))?).await?;
    if !view.row.store.stage.is_open() {
        return Ok(redirect(&format!("/orders/{}", view.row.order)));
    }
    Ok(one(&desk, &visitor, &view, None, None).await)
}

async fn at_the_counter(
    desk: &PageDesk,
    visitor: &Visitor,
    trouble: Option<String>,
) -> Result<Response, Failure> {
    let words = visitor.words(desk);
    let mut ready = ask(&desk.reader, |reader| reader.active_orders(LISTED_MAX)).await?;
    ready.retain(|view| view.row.store.stage == Stage::Ready);
    let main = html! {
        h1 { (words.say(texts::TITLE)) }
        div #counter {
            @if let Some(trouble) = &trouble { (told::refusal(visitor, trouble)) }
            form.scan method="post" action="/hand-over" data-scan="#counter" data-smooth="#counter" {
                (token(visitor))
                label for="code" { (words.say(texts::SCAN)) }
                div.row {
                    input #code name="code" autocomplete="off" maxlength="2048" required aria-describedby="code-hint";
                    button.primary type="submit" { (words.say(texts::FIND)) }
                }
                p #code-hint .hint { (words.say(texts::SCAN_HINT)) }
            }
            section.column aria-labelledby="waiting" {
                h2 #waiting { (words.say(texts::WAITING)) " " span.count { (ready.len()) } }
                div #ready hx-get="/hand-over" hx-trigger="orders from:body" hx-select="#ready" hx-swap="outerHTML"
                    hx-headers=r#"{"X-Live":"1"}"# {
                    @if ready.is_empty() {
                        p.empty { (words.say(texts::NONE_WAITING)) }
                    } @else {
                        ul.orders.grid { @for view in &ready { li { (at_hand(view)) } } }
                    }
                }
            }
        }
    };
    Ok(layout::page(desk, visitor, Screen::new(words.say(texts::TITLE), "/hand-over", main)).await)
}

fn at_hand(view: &OrderView) -> Markup {
    let name = view.row.hub.as_ref().map_or("", |hub| hub.display_name.as_str());
    html! {
        a.order href={ "/hand-over?order=" (view.row.order) } {
            span.line { strong.name { (name) } span.number { (view.row.order) } }
        }
    }
}

/// One order at the counter. `code`: the signed one that was shown for it.
async fn one(
    desk: &PageDesk,
    visitor: &Visitor,
    view: &OrderView,
    code: Option<&str>,
    trouble: Option<String>,
) -> Response {
    let words = visitor.words(desk);
    let order = view.row.order;
    let name = view.row.hub.as_ref().map_or("", |hub| hub.display_name.as_str());
    let title = if name.is_empty() {
        words.say(texts::TO_NOBODY).to_owned()
    } else {
        words.fill(texts::TO, &[("name", name)])
    };
    let phone = view.row.hub.as_ref().map_or("", |hub| hub.phone.as_str());
    let main = html! {
        p { a.back href="/hand-over" { "← " (words.say(texts::TITLE)) } }
        div #counter {
            h1 { (title) }
            p.line.wrap {
                span.number.big { (order) }
                @if !phone.is_empty() { span.soft { (words.fill(order_texts::PHONE, &[("phone", phone)])) } }
            }
            @if let Some(trouble) = &trouble { (told::refusal(visitor, trouble)) }
            (bag(&words, view))
            @if visitor.may(Deed::HandOverOnCode) == May::Yes { (ways(&words, visitor, order, code)) }
        }
    };
    layout::page(desk, visitor, Screen::new(title, "/hand-over", main)).await
}

fn bag(words: &Words<'_>, view: &OrderView) -> Markup {
    let is_picked = view.row.store.stage == Stage::Ready;
    html! {
        section.panel aria-labelledby="bag" {
            h2 #bag { (words.say(texts::IN_THE_BAG)) }
            @if !is_picked { p.stale { (words.say(texts::NOT_PICKED)) } }
            ul.rows {
                @for (line, item) in view.row.store.progress.iter().zip(&view.items) {
                    @let unit = item.as_ref().map_or("", |item| item.unit.as_str());
                    @let due = line.ordered.thousandths() - line.short.thousandths();
                    @if due > 0 {
                        li {
                            span { (item.as_ref().map_or("?", |item| item_name(&item.name, &item.sku))) }
                            strong { (words.amount(Quantity::from_thousandths(due), unit)) }
                        }
                    }
                }
            }
        }
    }
}

fn ways(words: &Words<'_>, visitor: &Visitor, order: OrderId, code: Option<&str>) -> Markup {
    let collected_by = |id: &str| {
        html! {
            label for=(id) { (words.say(texts::COLLECTED_BY)) }
            input id=(id) name="collected_by" maxlength="64" autocomplete="off";
        }
    };
    html! {
        @if let Some(code) = code {
            form.card method="post" action={ "/hand-over/" (order) } {
                (token(visitor))
                p.good { (words.say(texts::CODE_GOOD)) }
                input type="hidden" name="signed_code" value=(code);
                (collected_by("collected-by"))
                button #give .primary.wide type="submit" autofocus { (words.say(texts::GIVE)) }
            }
        } @else {
            form.card method="post" action={ "/hand-over/" (order) } data-scan="#counter" data-scan-field="short_code" {
                (token(visitor))
                label for="short_code" { (words.say(texts::SHORT_CODE)) }
                input #short_code .big name="short_code" autocomplete="off" autocapitalize="characters" spellcheck="false"
                    maxlength="2048" required aria-describedby="short-hint" autofocus;
                p #short-hint .hint { (words.say(texts::SHORT_CODE_HINT)) }
                (collected_by("collected-by"))
                button #give .primary.wide type="submit" { (words.say(texts::GIVE)) }
            }
            @if visitor.may(Deed::HandOverOnWord) != May::No {
                details.aside {
                    summary.button #no-code { (words.say(texts::NO_CODE)) }
                    form.card method="post" action={ "/hand-over/" (order) } {
                        (token(visitor))
                        p { (words.say(texts::NO_CODE_WHY)) }
                        input type="hidden" name="person" value="1";
                        (collected_by("collected-by-word"))
                        button #on-word .danger type="submit" { (words.say(texts::ON_WORD)) }
                    }
                }
            }
        }
    }
}

/// `POST /hand-over`: a code was scanned or a number typed. Shows whose bag it is; nothing is done yet.
pub async fn find(
    State(desk): Desk,
    Extension(visitor): Extension<Visitor>,
    Extension(form): Extension<Form>,
) -> Result<Response, Failure> {
    let text = form.text("code");
    if let Ok(order) = text.parse::<OrderId>() {
        return match known(&desk, order).await {
            Ok(_) => Ok(redirect(&format!("/hand-over?order={order}"))),
            Err(Failure::NotFound) => {
                let said = refusals::words(&visitor.words(&desk), &format!("no-such-order {order}"), None);
                at_the_counter(&desk, &visitor, Some(said)).await
            }
            Err(failure) => Err(failure),
        };
    }
    match signed(&desk, &visitor, text) {
        Ok(code) => shown(&desk, &visitor, &code, text).await,
        Err(refusal) => {
            let said = refusals::words(&visitor.words(&desk), &refusal, None);
            at_the_counter(&desk, &visitor, Some(said)).await
        }
    }
}

/// A code that head office has signed for this store and that is still good.
fn signed(desk: &PageDesk, visitor: &Visitor, text: &str) -> Result<PickupCode, String> {
    let code = desk.counter.read_signed(text).map_err(|refused| refusals::signed(&refused))?;
    code.check(&desk.store, visitor.now, CLOCK_TOLERANCE_MS).map_err(|refused| refusals::code(&refused))?;
    Ok(code)
}

async fn shown(
    desk: &PageDesk,
    visitor: &Visitor,
    code: &PickupCode,
    text: &str,
) -> Result<Response, Failure> {
    match known(desk, code.order).await {
        Ok(view) if view.row.store.stage.is_open() => Ok(one(desk, visitor, &view, Some(text), None).await),
        Ok(view) => Ok(redirect(&format!("/orders/{}", view.row.order))),
        Err(Failure::NotFound) => {
            let words = visitor.words(desk);
            let main = html! {
                div #counter {
                    h1 { (words.say(texts::TO_NOBODY)) }
                    p.number.big { (code.order) }
                    p.note { (words.say(texts::UNKNOWN_ORDER)) }
                    (ways(&words, visitor, code.order, Some(text)))
                }
            };
            Ok(layout::page(desk, visitor, Screen::new(words.say(texts::TITLE), "/hand-over", main)).await)
        }
        Err(failure) => Err(failure),
    }
}

/// `POST /hand-over/{order}`: on the signed code, the short code, or somebody's word.
pub async fn give(
    State(desk): Desk,
    Extension(visitor): Extension<Visitor>,
    Extension(form): Extension<Form>,
    Path(order): Path<String>,
) -> Result<Response, Failure> {
    let order = number(&order)?;
    let deed = if form.has("person") { Deed::HandOverOnWord } else { Deed::HandOverOnCode };
    let permit = match permitted(&desk, &visitor, &form, deed).await? {
        Answer::Permitted(permit) => permit,
        Answer::Asks(response) => return Ok(response),
    };
    let deeds = Deeds { act: "hand_over", subject: order.to_string(), approved_by: permit.approved_by };
    let mut refusal = None;
    let given = async {
        let became = given(&desk, &visitor, &form, order).await;
        refusal = became.clone().err();
        became
    };
    let reference = audited(&desk, &visitor, deeds, given).await?;
    match refusal {
        None => Ok(redirect(&format!("/orders/{order}?act={reference}"))),
        Some(refusal) => {
            let said = refusals::words(&visitor.words(&desk), &refusal, None);
            match known(&desk, order).await {
                Ok(view) if view.row.store.stage.is_open() => {
                    Ok(one(&desk, &visitor, &view, None, Some(said)).await)
                }
                Ok(_) => Ok(redirect(&format!("/orders/{order}?act={reference}"))),
                Err(_) => at_the_counter(&desk, &visitor, Some(said)).await,
            }
        }
    }
}

async fn given(desk: &PageDesk, visitor: &Visitor, form: &Form, order: OrderId) -> Result<String, String> {
    let collected_by = form.text("collected_by");
    if !collected_by.is_empty() && !is_name(collected_by) {
        return Err("reason".to_owned());
    }
    let (wish, proof) = wish(desk, visitor, form, order).await?;
    asked(desk, Request { by: visitor.name().to_owned(), wish }).await?;
    Ok(if collected_by.is_empty() {
        proof.to_owned()
    } else {
        format!("{proof}, collected by {collected_by}")
    })
}

async fn wish(
    desk: &PageDesk,
    visitor: &Visitor,
    form: &Form,
    order: OrderId,
) -> Result<(Wish, &'static str), String> {
    let with = |proof: Proof| Wish::Act { order, act: Act::HandOver { proof }, revision: None };
    if form.has("person") {
        return Ok((with(Proof::Person), "person"));
    }
    let (text, is_signed) = match form.text("signed_code") {
        "" => (form.text("short_code"), form.text("short_code").parse::<ShortCode>().is_err()),
        signed => (signed, true),
    };
    if is_signed {
        // A scanner does not know which field it types into.
        let code = signed(desk, visitor, text)
            .map_err(|refusal| if refusal == "no-code-fits" { "not-a-code".to_owned() } else { refusal })?;
        if code.order != order {
            return Err("another-order".to_owned());
        }
        return Ok((Wish::Code(code), "code"));
    }
    let code: ShortCode = text.parse().map_err(|_| "not-a-code".to_owned())?;
    let view = known(desk, order).await.map_err(|_| format!("no-such-order {order}"))?;
    let now = (desk.clocks.instant)();
    desk.counter.check_short_code(&view, code, now).map_err(refusals::short_code)?;
    Ok((with(Proof::ShortCode), "short code"))
}
