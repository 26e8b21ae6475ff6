//! What stores are to count: `/v1/count-tasks`, and head office's own wishes under `/v1/stores/{id}/count-tasks/{sku}`.

use super::answer::Timestamp;
use super::body::whole_body;
use super::problem::{Kind, Problem, ProblemBody, shown};
use super::query::{none, once, pairs, whole};
use super::reply::{fresh, written};
use super::site::Site;
use crate::desk::{CountAnswer, NoAnswer};
use crate::hub::counting::{CountAsk, CountError, TASKS_MAX, TaskView};
use axum::body::Bytes;
use axum::extract::rejection::{BytesRejection, PathRejection};
use axum::extract::{Path, Request, State};
use axum::response::Response;
use serde::{Deserialize, Serialize};
use std::sync::Arc;
use sync_protocol::count::{CountTask, REMARK_BYTES_MAX, TaskState};
use sync_protocol::{Quantity, Sku, StoreId, UnixMillis};
use utoipa::ToSchema;

/// Longest body: a remark in any escaping, with room to spare.
const BODY_BYTES_MAX: usize = 4096;

type ItemPath = Result<Path<(String, String)>, PathRejection>;

/// An item that a store is to count, or has counted.
#[derive(Debug, Serialize, ToSchema)]
#[schema(as = CountTask)]
pub(super) struct TaskBody {
    /// The store's id.
    store: String,
    /// The item; absent where the hub can't name it any more.
    #[serde(skip_serializing_if = "Option::is_none")]
    #[schema(value_type = Option<String>, nullable = false)]
    sku: Option<Sku>,
    /// What the store calls it.
    name: String,
    /// `asked`: the store has not heard of it yet. `open`: it is to be counted. `counted`. `withdrawn`.
    state: &'static str,
    /// Why: `head_office`, `not_found` (for an order), or what took goods that orders were promised: `breach_sale`, `breach_count`,
    /// `breach_other`.
    reasons: Vec<&'static str>,
    /// The order that somebody could not find it for.
    #[serde(skip_serializing_if = "Option::is_none")]
    #[schema(nullable = false)]
    order: Option<String>,
    /// Whoever counts does not see what is expected.
    blind: bool,
    /// Head office's word on it.
    #[serde(skip_serializing_if = "String::is_empty")]
    remark: String,
    /// On the clock of whoever opened it.
    #[schema(value_type = String, format = DateTime)]
    opened_at: Timestamp,
    /// When it ended.
    #[serde(skip_serializing_if = "Option::is_none")]
    #[schema(value_type = Option<String>, format = DateTime, nullable = false)]
    closed_at: Option<Timestamp>,
    /// The source of the count that ended it.
    #[serde(skip_serializing_if = "String::is_empty")]
    counted_by: String,
    /// What that count did to on hand.
    #[serde(skip_serializing_if = "Option::is_none")]
    #[schema(value_type = Option<f64>, nullable = false)]
    variance: Option<Quantity>,
    /// What the store has on hand now, as far as the hub knows.
    #[schema(value_type = f64)]
    on_hand: Quantity,
}

/// A page of tasks.
#[derive(Debug, Serialize, ToSchema)]
#[schema(as = CountTasks)]
pub(super) struct TasksBody {
    /// By store and item.
    tasks: Vec<TaskBody>,
    /// `after` of the next page, where there is one.
    #[serde(skip_serializing_if = "Option::is_none")]
    #[schema(nullable = false)]
    next: Option<String>,
}

/// How an item is to be counted.
#[derive(Debug, Default, Deserialize, ToSchema)]
#[serde(deny_unknown_fields)]
#[schema(as = CountWish)]
pub(super) struct WishBody {
    /// Whoever counts is not to see what is expected.
    #[serde(default)]
    blind: bool,
    /// For whoever counts: up to 200 bytes.
    #[serde(default)]
    #[schema(max_length = 200)]
    remark: String,
}

impl TaskBody {
    fn of(view: TaskView) -> TaskBody {
        let task = view.task.as_ref();
        let asked = |of: fn(&CountTask) -> i64| task.map(of);
        let wish = view.wish.as_ref();
        TaskBody {
            store: view.store.to_string(),
            sku: view.sku,
            name: view.name,
            state: match (wish, task.map(|task| task.state)) {
                (_, Some(TaskState::Open)) => "open",
                (Some(_), _) => "asked",
                (None, Some(TaskState::Counted)) => "counted",
                (None, _) => "withdrawn",
            },
            reasons: match (wish, task) {
                (Some(_), task) if task.is_none_or(|task| !task.is_open()) => vec!["head_office"],
                (_, task) => task.iter().flat_map(|task| &task.reasons).map(|reason| reason.name()).collect(),
            },
            order: task.and_then(CountTask::order).map(|order| order.to_string()),
            blind: wish.map_or_else(|| task.is_some_and(|task| task.blind), |wish| wish.blind),
            remark: wish
                .map(|wish| &wish.remark)
                .or(task.map(|task| &task.remark))
                .cloned()
                .unwrap_or_default(),
            opened_at: Timestamp(UnixMillis(
                wish.map(|wish| wish.asked_at).or(asked(|task| task.opened_at)).unwrap_or_default(),
            )),
            closed_at: task.and_then(|task| task.closed_at).map(|at| Timestamp(UnixMillis(at))),
            counted_by: task.map(|task| task.by.clone()).unwrap_or_default(),
            variance: task.and_then(|task| task.variance),
            on_hand: view.on_hand,
        }
    }
}

/// What stores are to count
///
/// A store opens a task itself when somebody could not find an item for an order, or when more is promised to orders than it has; head
/// office asks for others. Only a count at the store ends one, and nothing else ever sets a number there.
#[utoipa::path(
    get,
    path = "/v1/count-tasks",
    operation_id = "listCountTasks",
    tag = "stores",
    params(
        ("store" = Option<String>, Query, description = "Of this store only."),
        ("state" = Option<String>, Query, description = "`open` (the default, with those only asked for), `counted`, `withdrawn` or `all`."),
        ("after" = Option<String>, Query, description = "`next` of the page before."),
        ("limit" = Option<u64>, Query, description = "1 to 500, 100 by default.", minimum = 1, maximum = 500),
    ),
    responses(
        (status = 200, description = "A page of tasks.", body = TasksBody),
        (status = 400, description = "A parameter is unknown or invalid.", body = ProblemBody,
            content_type = "application/problem+json"),
        (status = 401, description = "No key, or an unknown one.", body = ProblemBody,
            content_type = "application/problem+json"),
        (status = 404, description = "There is no such store.", body = ProblemBody,
            content_type = "application/problem+json"),
        (status = 429, description = "More requests than the key allows.", body = ProblemBody,
            content_type = "application/problem+json"),
        (status = 503, description = "The hub could not answer now.", body = ProblemBody,
            content_type = "application/problem+json"),
    ),
    security(("bearer" = []), ("apiKey" = []))
)]
pub(super) async fn list_count_tasks(
    State(site): State<Arc<Site>>,
    request: Request,
) -> Result<Response, Problem> {
    let (mut store, mut state, mut after, mut limit) = (None, None, None, None);
    for pair in pairs(request.uri().query(), &["store", "state", "after", "limit"]) {
        match pair? {
            ("store", value) => once(&mut store, "store", store_id("store", &value)?)?,
            ("state", value) => once(&mut state, "state", wanted(&value)?)?,
            ("after", value) => once(&mut after, "after", place(&value)?)?,
            (_, value) => once(&mut limit, "limit", whole("limit", &value, 1..=TASKS_MAX)?)?,
        }
    }
    let (state, limit) = (state.unwrap_or(Some(TaskState::Open)), limit.unwrap_or(100));
    let found = site.state.desk.count(CountAsk::List { store, state, after, limit }).await;
    let found = answered(found)?;
    let last = found.tasks.last().filter(|_| found.more);
    let next = last.map(|last| format!("{}.{}", last.store, last.item));
    let tasks = found.tasks.into_iter().map(TaskBody::of).collect();
    Ok(fresh(written(&TasksBody { tasks, next }, 4096)))
}

/// Ask a store to count an item
///
/// The store's people see it at once, or as soon as its line is back. Asking again the same way while nobody has counted changes
/// nothing.
#[utoipa::path(
    put,
    path = "/v1/stores/{id}/count-tasks/{sku}",
    operation_id = "askForCount",
    tag = "stores",
    params(
        ("id" = String, Path, description = "The store's id.", example = "S0001"),
        ("sku" = String, Path, description = "The item."),
    ),
    request_body = WishBody,
    responses(
        (status = 200, description = "The task as it is now, durably.", body = TaskBody),
        (status = 400, description = "The body is not understood, or a field is invalid.", body = ProblemBody,
            content_type = "application/problem+json"),
        (status = 401, description = "No key, or an unknown one.", body = ProblemBody,
            content_type = "application/problem+json"),
        (status = 404, description = "There is no such store, or it has no such item.", body = ProblemBody,
            content_type = "application/problem+json"),
        (status = 413, description = "The body is too large.", body = ProblemBody,
            content_type = "application/problem+json"),
        (status = 429, description = "More requests than the key allows.", body = ProblemBody,
            content_type = "application/problem+json"),
        (status = 503, description = "The hub could not take it now.", body = ProblemBody,
            content_type = "application/problem+json"),
    ),
    security(("bearer" = []), ("apiKey" = []))
)]
pub(super) async fn ask_for_count(
    State(site): State<Arc<Site>>,
    path: ItemPath,
    body: Result<Bytes, BytesRejection>,
) -> Result<Response, Problem> {
    let (store, sku) = named(path)?;
    let WishBody { blind, remark } = read(&whole_body(body, BODY_BYTES_MAX)?)?;
    one(&site, CountAsk::Wish { store, sku, blind, remark }).await
}

/// Withdraw head office's wish for a count
///
/// What the store wants counted for reasons of its own stays. Where there is no wish, nothing changes.
#[utoipa::path(
    delete,
    path = "/v1/stores/{id}/count-tasks/{sku}",
    operation_id = "withdrawCount",
    tag = "stores",
    params(
        ("id" = String, Path, description = "The store's id.", example = "S0001"),
        ("sku" = String, Path, description = "The item."),
    ),
    responses(
        (status = 200, description = "What is left of the task.", body = TasksBody),
        (status = 401, description = "No key, or an unknown one.", body = ProblemBody,
            content_type = "application/problem+json"),
        (status = 404, description = "There is no such store, or it has no such item.", body = ProblemBody,
            content_type = "application/problem+json"),
        (status = 429, description = "More requests than the key allows.", body = ProblemBody,
            content_type = "application/problem+json"),
        (status = 503, description = "The hub could not take it now.", body = ProblemBody,
            content_type = "application/problem+json"),
    ),
    security(("bearer" = []), ("apiKey" = []))
)]
pub(super) async fn withdraw_count(
    State(site): State<Arc<Site>>,
    path: ItemPath,
    request: Request,
) -> Result<Response, Problem> {
    none(request.uri().query())?;
    let (store, sku) = named(path)?;
    let left = answered(site.state.desk.count(CountAsk::Withdraw { store, sku }).await)?;
    let tasks = left.tasks.into_iter().map(TaskBody::of).collect();
    Ok(fresh(written(&TasksBody { tasks, next: None }, 1024)))
}

async fn one(site: &Site, ask: CountAsk) -> Result<Response, Problem> {
    let found = answered(site.state.desk.count(ask).await)?;
    let task = found.tasks.into_iter().next().map(TaskBody::of);
    let task = task.ok_or_else(|| Problem::new(Kind::Internal, "the task can't be shown; list the tasks"))?;
    Ok(fresh(written(&task, 1024)))
}

fn answered(answer: Result<CountAnswer, NoAnswer>) -> Result<crate::hub::counting::Tasks, Problem> {
    let again = |detail: String| Problem::new(Kind::Unhealthy, detail).retry_after(1);
    match answer {
        Ok(Ok(tasks)) => Ok(tasks),
        Ok(Err(error @ CountError::UnknownStore { .. })) => {
            Err(Problem::of(Kind::UnknownStore, "id", format!("{error}; /v1/stores lists them")))
        }
        Ok(Err(error @ CountError::UnknownItem { .. })) => Err(Problem::of(
            Kind::NoSuchItem,
            "sku",
            format!("{error}; check how the store's tills write it"),
        )),
        Ok(Err(error @ CountError::Storage)) => Err(again(error.to_string())),
        Err(error) => Err(again(error.to_string())),
    }
}

fn named(path: ItemPath) -> Result<(StoreId, Sku), Problem> {
    let Path((store, sku)) = path.map_err(|error| Problem::invalid("sku", error.body_text()))?;
    let sku = sku.parse().map_err(|error| Problem::invalid("sku", format!("{error}")))?;
    Ok((store_id("id", &store)?, sku))
}

fn store_id(name: &'static str, text: &str) -> Result<StoreId, Problem> {
    text.parse().map_err(|_| {
        let detail = format!("there is no store `{}`; /v1/stores lists them", shown(text));
        Problem::of(Kind::UnknownStore, name, detail)
    })
}

fn wanted(text: &str) -> Result<Option<TaskState>, Problem> {
    match text {
        "open" => Ok(Some(TaskState::Open)),
        "counted" => Ok(Some(TaskState::Counted)),
        "withdrawn" => Ok(Some(TaskState::Withdrawn)),
        "all" => Ok(None),
        _ => {
            let detail =
                format!("`state` is `{}`; give `open`, `counted`, `withdrawn` or `all`", shown(text));
            Err(Problem::invalid("state", detail))
        }
    }
}

/// Where a page ended.
fn place(text: &str) -> Result<(StoreId, u32), Problem> {
    let read = || {
        let (store, item) = text.rsplit_once('.')?;
        Some((store.parse().ok()?, item.parse().ok()?))
    };
    read().ok_or_else(|| Problem::invalid("after", "is no `next` of an earlier page"))
}

/// An empty body wishes nothing in particular.
fn read(body: &[u8]) -> Result<WishBody, Problem> {
    if body.is_empty() {
        return Ok(WishBody::default());
    }
    let mut reading = serde_json::Deserializer::from_slice(body);
    let wish: WishBody = serde_path_to_error::deserialize(&mut reading).map_err(|error| {
        Problem::of(Kind::InvalidBody, error.path().to_string(), error.inner().to_string())
    })?;
    reading.end().map_err(|error| Problem::new(Kind::InvalidBody, error.to_string()))?;
    if wish.remark.len() > REMARK_BYTES_MAX || wish.remark.chars().any(char::is_control) {
        let detail = format!("has more than {REMARK_BYTES_MAX} bytes or a control character; shorten it");
        return Err(Problem::of(Kind::InvalidBody, "remark", detail));
    }
    Ok(wish)
}
