//! `renew`: the next certificate when it is time. For a timer: it does nothing until then.

use super::{Report, Site};
use crate::clock::{self, rfc3339};
use crate::enrolling::{self, Due};
use crate::fault::{Code, Fault};
use crate::settings::Settings;
use serde_json::json;

pub fn run(site: &Site, now: bool) -> Result<Report, Fault> {
    let identity = site.identity()?;
    let (Some(held), Some(known)) = (identity.held()?, identity.enrolment()?) else {
        return Err(Fault::new(Code::E509, "this store has no certificate of the hub"));
    };
    let renew_after = held.renew_after(Some(&known));
    let due = match Due::at(clock::now(), renew_after, held.until) {
        Due::Not if now => Due::Renewal,
        due => due,
    };
    let (from, until) = (rfc3339(renew_after), rfc3339(held.until));
    if due == Due::Not {
        let text = format!("the certificate is good until {until}; the next one is due from {from} on");
        return Ok(Report::done(text, json!({ "renewed": false, "until": until, "renew_after": from })));
    }
    if site.dry_run {
        let change = crate::plan::Outcome {
            step: "certificate",
            changes: vec!["the next certificate is got".to_owned()],
        };
        return Ok(Report::preview(&[change]));
    }
    let _alone = site.alone()?;
    let proxy = Settings::read(&site.layout)?.as_ref().and_then(Settings::proxy);
    enrolling::renew(&identity, &known, due, proxy.as_ref(), &site.points)?;
    let until = identity.held()?.map(|held| rfc3339(held.until)).unwrap_or_default();
    let how = if due == Due::Recovery { "recovered" } else { "renewed" };
    Ok(Report::done(
        format!("the certificate is {how}, and good until {until}"),
        json!({ "renewed": true, "how": how, "until": until }),
    ))
}
