//! `GET /v1/work`: whether somebody is at work on an order or a count. Whoever wants to start the agent anew waits for them.

use super::StoreDesk;
use super::movements::rfc3339;
use axum::Json;
use axum::extract::State;
use serde::Serialize;

#[derive(Serialize)]
pub struct WorkText {
    busy: bool,
    /// Unless they go on; null when nobody is at work.
    busy_until: Option<String>,
}

pub async fn show(State(desk): State<StoreDesk>) -> Json<WorkText> {
    let until = desk.counter.at_work.until((desk.clocks.wall)());
    Json(WorkText { busy: until.is_some(), busy_until: until.map(rfc3339) })
}
