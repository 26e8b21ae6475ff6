//! What the hub sends out by itself, for those who run it: dead letters, webhooks, and the same events as a feed to follow.

use super::answer::Timestamp;
use super::body::{BODY_BYTES_MAX, whole_body};
use super::problem::{Kind, Problem, ProblemBody, shown};
use super::query::{none, once, pairs, whole};
use super::reply::{fresh, written};
use super::site::Site;
use crate::courier::{CloudEvent, CourierError, DeadLetter, From, Standing};
use axum::body::Bytes;
use axum::extract::rejection::{BytesRejection, PathRejection};
use axum::extract::{Path, Request, State};
use axum::response::Response;
use serde::{Deserialize, Serialize};
use serde_json::value::RawValue;
use std::sync::Arc;
use sync_protocol::UnixMillis;
use utoipa::ToSchema;

const LETTERS_MAX: usize = 200;
const EVENTS_MAX: usize = 1000;

/// Something that the hub could not deliver and has given up.
#[derive(Debug, Serialize, ToSchema)]
#[schema(as = DeadLetter)]
pub(super) struct LetterBody {
    /// Its number among the dead letters.
    id: String,
    /// `payment`, `notification`, or `webhook/` and the webhook's name.
    endpoint: String,
    /// The id it was sent under: `webhook-id` or `Idempotency-Key`.
    task: String,
    /// The kind of event, such as `order.ready`, or of step: `capture`, `refund` or `void`.
    kind: String,
    /// The order it is about.
    order: String,
    /// Since when it was to be delivered.
    #[schema(value_type = String, format = DateTime)]
    created_at: Timestamp,
    /// When it was given up.
    #[schema(value_type = String, format = DateTime)]
    died_at: Timestamp,
    /// How often it was tried.
    attempts: u32,
    /// What the last attempt came to.
    last_error: String,
    /// What was sent. Only where one letter is asked for.
    #[serde(skip_serializing_if = "Option::is_none")]
    #[schema(value_type = Option<Object>, nullable = false)]
    body: Option<Box<RawValue>>,
}

/// A page of dead letters.
#[derive(Debug, Serialize, ToSchema)]
pub(super) struct DeadLetters {
    /// The oldest first.
    dead_letters: Vec<LetterBody>,
    /// `after` of the next page, where there is one.
    #[serde(skip_serializing_if = "Option::is_none")]
    #[schema(nullable = false)]
    next: Option<String>,
}

/// How a webhook stands.
#[derive(Debug, Serialize, ToSchema)]
#[schema(as = Webhook)]
pub(super) struct WebhookBody {
    /// Its name in the settings.
    name: String,
    /// Where it leads, without path and query, which may hold secrets.
    host: String,
    /// `active`, or `disabled` since it was answered 410.
    state: &'static str,
    /// How many deliveries wait.
    waiting: u64,
    /// How many dead letters it has.
    dead_letters: u64,
    /// When a delivery was last taken.
    #[serde(skip_serializing_if = "Option::is_none")]
    #[schema(value_type = Option<String>, format = DateTime, nullable = false)]
    last_success: Option<Timestamp>,
    /// When one last failed.
    #[serde(skip_serializing_if = "Option::is_none")]
    #[schema(value_type = Option<String>, format = DateTime, nullable = false)]
    last_failure: Option<Timestamp>,
}

/// The webhooks of the settings.
#[derive(Debug, Serialize, ToSchema)]
pub(super) struct Webhooks {
    /// As the settings list them.
    webhooks: Vec<WebhookBody>,
}

/// From where on to send again: one of the two.
#[derive(Debug, Deserialize, ToSchema)]
#[serde(deny_unknown_fields)]
pub(super) struct Replay {
    /// Everything that the hub recorded at this time or later.
    #[schema(value_type = Option<String>, format = DateTime, nullable = false)]
    from_time: Option<jiff::Timestamp>,
    /// This event and everything after it.
    #[schema(nullable = false)]
    from_event: Option<String>,
}

/// A page of order events.
#[derive(Debug, Serialize, ToSchema)]
pub(super) struct OrderEvents<'a> {
    /// The oldest first, each as webhooks get it.
    events: Vec<CloudEvent<'a>>,
    /// `after` of the next page; also when there is nothing more yet.
    next: String,
    /// Whether there is more already.
    more: bool,
}

impl LetterBody {
    fn of(letter: DeadLetter, with_body: bool) -> LetterBody {
        LetterBody {
            id: letter.id.to_string(),
            endpoint: letter.endpoint,
            task: letter.task,
            kind: letter.kind,
            order: letter.order,
            created_at: Timestamp(letter.created_at),
            died_at: Timestamp(letter.died_at),
            attempts: letter.attempts,
            last_error: letter.last_error,
            body: RawValue::from_string(letter.body).ok().filter(|_| with_body),
        }
    }
}

impl WebhookBody {
    fn of(standing: Standing) -> WebhookBody {
        WebhookBody {
            name: standing.name,
            host: standing.host,
            state: if standing.disabled { "disabled" } else { "active" },
            waiting: standing.waiting,
            dead_letters: standing.dead,
            last_success: standing.last_success.map(Timestamp),
            last_failure: standing.last_failure.map(Timestamp),
        }
    }
}

/// Dead letters
///
/// What could not be delivered to the payment service, the notification service or a webhook, and is not tried any more until somebody
/// says so. A dead step of payment holds back the later steps of its order.
#[utoipa::path(
    get,
    path = "/v1/dead-letters",
    operation_id = "listDeadLetters",
    tag = "deliveries",
    params(
        ("after" = Option<String>, Query, description = "`next` of the page before."),
        ("limit" = Option<u64>, Query, description = "1 to 200, 100 by default.", minimum = 1, maximum = 200),
    ),
    responses(
        (status = 200, description = "A page of dead letters.", body = DeadLetters),
        (status = 400, description = "A parameter is unknown or invalid.", body = ProblemBody,
            content_type = "application/problem+json"),
        (status = 401, description = "No key, or an unknown one.", body = ProblemBody,
            content_type = "application/problem+json"),
        (status = 429, description = "More requests than the key allows.", body = ProblemBody,
            content_type = "application/problem+json"),
        (status = 503, description = "The hub could not answer now.", body = ProblemBody,
            content_type = "application/problem+json"),
    ),
    security(("bearer" = []), ("apiKey" = []))
)]
pub(super) async fn list_dead_letters(
    State(site): State<Arc<Site>>,
    request: Request,
) -> Result<Response, Problem> {
    let (mut after, mut limit) = (None, None);
    for pair in pairs(request.uri().query(), &["after", "limit"]) {
        match pair? {
            ("after", value) => once(&mut after, "after", whole("after", &value, 0..=i64::MAX)?)?,
            (_, value) => once(&mut limit, "limit", whole("limit", &value, 1..=LETTERS_MAX)?)?,
        }
    }
    let limit = limit.unwrap_or(100);
    let mut letters =
        site.state.courier.dead_letters(after.unwrap_or(0), limit + 1).await.map_err(unanswered)?;
    let has_more = letters.len() > limit;
    letters.truncate(limit);
    let next = letters.last().filter(|_| has_more).map(|last| last.id.to_string());
    let dead_letters = letters.into_iter().map(|letter| LetterBody::of(letter, false)).collect();
    Ok(fresh(written(&DeadLetters { dead_letters, next }, 4096)))
}

/// One dead letter
#[utoipa::path(
    get,
    path = "/v1/dead-letters/{id}",
    operation_id = "getDeadLetter",
    tag = "deliveries",
    params(("id" = String, Path, description = "The letter's number.", example = "17")),
    responses(
        (status = 200, description = "The letter, with what was sent.", body = LetterBody),
        (status = 401, description = "No key, or an unknown one.", body = ProblemBody,
            content_type = "application/problem+json"),
        (status = 404, description = "There is no such letter; perhaps it has been retried.", body = ProblemBody,
            content_type = "application/problem+json"),
        (status = 429, description = "More requests than the key allows.", body = ProblemBody,
            content_type = "application/problem+json"),
        (status = 503, description = "The hub could not answer now.", body = ProblemBody,
            content_type = "application/problem+json"),
    ),
    security(("bearer" = []), ("apiKey" = []))
)]
pub(super) async fn get_dead_letter(
    State(site): State<Arc<Site>>,
    id: Result<Path<String>, PathRejection>,
) -> Result<Response, Problem> {
    let (id, shown) = number(id)?;
    let letter = site.state.courier.dead_letter(id).await.map_err(unanswered)?;
    let letter = letter.ok_or_else(|| no_letter(&shown))?;
    Ok(fresh(written(&LetterBody::of(letter, true), 1024)))
}

/// Try a dead letter again
///
/// At once, and then as often as if it were new. It goes out under its old id, so whoever had taken it after all takes it as known.
#[utoipa::path(
    post,
    path = "/v1/dead-letters/{id}/retry",
    operation_id = "retryDeadLetter",
    tag = "deliveries",
    params(("id" = String, Path, description = "The letter's number.", example = "17")),
    responses(
        (status = 200, description = "The letter as it was; it is none any more.", body = LetterBody),
        (status = 401, description = "No key, or an unknown one.", body = ProblemBody,
            content_type = "application/problem+json"),
        (status = 404, description = "There is no such letter; perhaps it has been retried.", body = ProblemBody,
            content_type = "application/problem+json"),
        (status = 429, description = "More requests than the key allows.", body = ProblemBody,
            content_type = "application/problem+json"),
        (status = 503, description = "The hub could not take it now; send it again.", body = ProblemBody,
            content_type = "application/problem+json"),
    ),
    security(("bearer" = []), ("apiKey" = []))
)]
pub(super) async fn retry_dead_letter(
    State(site): State<Arc<Site>>,
    id: Result<Path<String>, PathRejection>,
) -> Result<Response, Problem> {
    let (id, shown) = number(id)?;
    let letter = site.state.courier.retry(id).await.map_err(unanswered)?;
    let letter = letter.ok_or_else(|| no_letter(&shown))?;
    Ok(fresh(written(&LetterBody::of(letter, true), 1024)))
}

/// Webhooks
///
/// How those of the settings stand. Secrets and paths are never shown.
#[utoipa::path(
    get,
    path = "/v1/webhooks",
    operation_id = "listWebhooks",
    tag = "deliveries",
    responses(
        (status = 200, description = "The webhooks.", body = Webhooks),
        (status = 401, description = "No key, or an unknown one.", body = ProblemBody,
            content_type = "application/problem+json"),
        (status = 429, description = "More requests than the key allows.", body = ProblemBody,
            content_type = "application/problem+json"),
        (status = 503, description = "The hub could not answer now.", body = ProblemBody,
            content_type = "application/problem+json"),
    ),
    security(("bearer" = []), ("apiKey" = []))
)]
pub(super) async fn list_webhooks(
    State(site): State<Arc<Site>>,
    request: Request,
) -> Result<Response, Problem> {
    none(request.uri().query())?;
    let standings = site.state.courier.webhooks().await.map_err(unanswered)?;
    let webhooks = standings.into_iter().map(WebhookBody::of).collect();
    Ok(fresh(written(&Webhooks { webhooks }, 1024)))
}

/// Send a webhook its events again
///
/// From a time or an event on, also those that were delivered, under their old ids. A webhook that was disabled by an answer 410 gets
/// events again. Events are kept for 30 days.
#[utoipa::path(
    post,
    path = "/v1/webhooks/{name}/replay",
    operation_id = "replayWebhook",
    tag = "deliveries",
    params(("name" = String, Path, description = "The webhook's name in the settings.", example = "shop")),
    request_body = Replay,
    responses(
        (status = 200, description = "The webhooks as they stand now; the events follow.", body = Webhooks),
        (status = 400, description = "The body is not understood, or there is no such event any more.", body = ProblemBody,
            content_type = "application/problem+json"),
        (status = 401, description = "No key, or an unknown one.", body = ProblemBody,
            content_type = "application/problem+json"),
        (status = 404, description = "There is no such webhook.", body = ProblemBody,
            content_type = "application/problem+json"),
        (status = 413, description = "The body is too large.", body = ProblemBody,
            content_type = "application/problem+json"),
        (status = 429, description = "More requests than the key allows.", body = ProblemBody,
            content_type = "application/problem+json"),
        (status = 503, description = "The hub could not take it now; send it again.", body = ProblemBody,
            content_type = "application/problem+json"),
    ),
    security(("bearer" = []), ("apiKey" = []))
)]
pub(super) async fn replay_webhook(
    State(site): State<Arc<Site>>,
    name: Result<Path<String>, PathRejection>,
    body: Result<Bytes, BytesRejection>,
) -> Result<Response, Problem> {
    let name = name.map_or_else(|_| String::new(), |Path(name)| name);
    let body = whole_body(body, BODY_BYTES_MAX)?;
    let replay: Replay = serde_json::from_slice(&body)
        .map_err(|error| Problem::new(Kind::InvalidBody, format!("the body is not understood: {error}")))?;
    let from = match (replay.from_time, replay.from_event) {
        (Some(time), None) => From::Time(UnixMillis(time.as_millisecond())),
        (None, Some(event)) => From::Event(event),
        _ => return Err(Problem::new(Kind::InvalidBody, "give either `from_time` or `from_event`")),
    };
    match site.state.courier.replay(&name, from).await.map_err(unanswered)? {
        Some(true) => {}
        Some(false) => {
            let detail = "there is no such event, or it is no longer kept; give `from_time` instead";
            return Err(Problem::of(Kind::InvalidBody, "from_event", detail));
        }
        None => {
            let detail = format!("there is no webhook `{}`; `/v1/webhooks` lists them", shown(&name));
            return Err(Problem::of(Kind::NoSuchWebhook, "name", detail));
        }
    }
    let standings = site.state.courier.webhooks().await.map_err(unanswered)?;
    let webhooks = standings.into_iter().map(WebhookBody::of).collect();
    Ok(fresh(written(&Webhooks { webhooks }, 1024)))
}

/// What has happened to orders
///
/// The events that webhooks get, for whoever would rather ask: each in its order, none left out. Without a cursor from the oldest that
/// is kept, which is 30 days old.
#[utoipa::path(
    get,
    path = "/v1/orders/events",
    operation_id = "listOrderEvents",
    tag = "orders",
    params(
        ("after" = Option<String>, Query, description = "`next` of the page before."),
        ("limit" = Option<u64>, Query, description = "1 to 1000, 500 by default.", minimum = 1, maximum = 1000),
    ),
    responses(
        (status = 200, description = "A page of events.", body = OrderEvents),
        (status = 400, description = "A parameter is unknown or invalid.", body = ProblemBody,
            content_type = "application/problem+json"),
        (status = 401, description = "No key, or an unknown one.", body = ProblemBody,
            content_type = "application/problem+json"),
        (status = 410, description = "Events after this cursor are no longer kept, or the hub was restored from a backup since: list \
            the open orders, and begin without a cursor.", body = ProblemBody, content_type = "application/problem+json"),
        (status = 429, description = "More requests than the key allows.", body = ProblemBody,
            content_type = "application/problem+json"),
        (status = 503, description = "The hub could not answer now.", body = ProblemBody,
            content_type = "application/problem+json"),
    ),
    security(("bearer" = []), ("apiKey" = []))
)]
pub(super) async fn list_order_events(
    State(site): State<Arc<Site>>,
    request: Request,
) -> Result<Response, Problem> {
    let lineage = site.settings().lineage;
    let (mut after, mut limit) = (None, None);
    for pair in pairs(request.uri().query(), &["after", "limit"]) {
        match pair? {
            ("after", value) => once(&mut after, "after", read_place(&value, lineage)?)?,
            (_, value) => once(&mut limit, "limit", whole("limit", &value, 1..=EVENTS_MAX)?)?,
        }
    }
    let limit = limit.unwrap_or(500);
    let (found, (first, end)) =
        site.state.courier.events(after.unwrap_or(0), limit + 1).await.map_err(unanswered)?;
    if after.is_some_and(|after| after + 1 < first || after > end) {
        return Err(too_old());
    }
    let page = &found[..found.len().min(limit)];
    let next = page.last().map_or(after.unwrap_or(end), |last| last.seq);
    let answer = OrderEvents {
        events: page.iter().map(CloudEvent::of).collect(),
        next: format!("e{lineage:x}-{next:x}"),
        more: found.len() > limit,
    };
    Ok(fresh(written(&answer, 100 + 600 * page.len())))
}

fn read_place(text: &str, lineage: u64) -> Result<u64, Problem> {
    let number = |digits: &str| {
        let fits = !digits.is_empty() && digits.bytes().all(|byte| byte.is_ascii_hexdigit());
        u64::from_str_radix(digits, 16).ok().filter(|_| fits)
    };
    let place = |digits: &str| number(digits).filter(|place| *place < i64::MAX.unsigned_abs());
    let parts = text.strip_prefix('e').and_then(|rest| rest.split_once('-'));
    match parts.and_then(|(lineage, at)| Some((number(lineage)?, place(at)?))) {
        Some((read, at)) if read == lineage => Ok(at),
        Some(_) => Err(too_old()),
        None => {
            let detail =
                format!("`after` is `{}`; give the `next` of an earlier page, unchanged", shown(text));
            Err(Problem::invalid("after", detail))
        }
    }
}

fn too_old() -> Problem {
    let detail = "events after this cursor are no longer kept, or the hub was restored from a backup since: list the open \
                  orders, and begin without a cursor";
    Problem::of(Kind::CursorTooOld, "after", detail)
}

fn number(id: Result<Path<String>, PathRejection>) -> Result<(i64, String), Problem> {
    let text = id.map_or_else(|_| String::new(), |Path(id)| id);
    let number = text.parse().map_err(|_| no_letter(&text))?;
    Ok((number, text))
}

fn no_letter(id: &str) -> Problem {
    let detail = format!("there is no dead letter `{}`; `/v1/dead-letters` lists them", shown(id));
    Problem::of(Kind::NoSuchLetter, "id", detail)
}

fn unanswered(error: CourierError) -> Problem {
    tracing::error!(error = &error as &dyn std::error::Error, "the courier did not answer");
    Problem::new(Kind::Unhealthy, "the hub can't read or write its courier's database").retry_after(1)
}
