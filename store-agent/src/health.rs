//! Whether the agent can do its first duty: take what the tills report.
//!
//! A link that is down is not ill health: the store sells without it. A core that has gone, or a disk that refuses, is.

use serde::Serialize;

/// What the last go of the core said about the disk.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub enum Storage {
    #[default]
    Takes,
    Refuses {
        reason: String,
    },
}

/// The facts health is judged by.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Vitals<'a> {
    pub core_runs: bool,
    pub storage: &'a Storage,
}

/// The verdict, as `/healthz` words it.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
pub struct Health {
    pub status: &'static str,
    #[serde(skip_serializing_if = "Option::is_none")]
    pub reason: Option<String>,
}

impl Health {
    #[must_use]
    pub fn of(vitals: &Vitals<'_>) -> Health {
        let reason = match vitals {
            Vitals { core_runs: false, .. } => {
                Some("the agent's core has stopped; restart the agent".to_owned())
            }
            Vitals { storage: Storage::Refuses { reason }, .. } => {
                Some(format!("the disk does not take changes: {reason}"))
            }
            _ => None,
        };
        Health { status: if reason.is_none() { "ok" } else { "failing" }, reason }
    }

    #[must_use]
    pub fn is_ok(&self) -> bool {
        self.reason.is_none()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_disk_that_refuses_is_ill_health_and_says_why() {
        let storage = Storage::Refuses { reason: "disk full".to_owned() };
        let health = Health::of(&Vitals { core_runs: true, storage: &storage });
        assert!(!health.is_ok() && health.reason.unwrap().contains("disk full"));
    }

    #[test]
    fn an_agent_that_can_record_is_well() {
        assert!(Health::of(&Vitals { core_runs: true, storage: &Storage::Takes }).is_ok());
        assert!(!Health::of(&Vitals { core_runs: false, storage: &Storage::Takes }).is_ok());
    }
}
