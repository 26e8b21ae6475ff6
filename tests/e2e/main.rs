//! End to end: the real binaries over real sockets, TLS and files. One test binary of modules, so that it links once.
//!
//! What must hold over each transport stands in modules that are built once for each. The binaries must be built first;
//! `cargo xtask test` and `tests/run` see to that.

#![expect(
    clippy::duplicate_mod,
    reason = "the same tests over each transport; `super::scene` tells them apart"
)]

mod brokers;
mod enrolment;
mod harness;
mod intruders;
mod page;
mod storectl;
mod switching;

#[path = "."]
mod over_quic {
    mod disks;
    mod kills;
    mod metrics;
    mod notes;
    mod orders;
    mod payments;
    mod restores;
    mod sales;
    mod web_shop;

    const HUB_KILLS: u64 = 30;

    fn scene(name: &str) -> crate::harness::Scene {
        crate::harness::Scene::over(crate::harness::Transport::Quic, name)
    }
}

#[path = "."]
mod over_mqtt {
    mod disks;
    mod kills;
    mod metrics;
    mod notes;
    mod orders;
    mod payments;
    mod restores;
    mod sales;
    mod web_shop;

    const HUB_KILLS: u64 = 30;

    fn scene(name: &str) -> crate::harness::Scene {
        crate::harness::Scene::over(crate::harness::Transport::Mqtt, name)
    }
}

#[path = "."]
mod over_broker {
    mod disks;
    mod kills;
    mod metrics;
    mod notes;
    mod orders;
    mod payments;
    mod restores;
    mod sales;
    mod web_shop;

    /// An agent keeps its connection to the broker while the hub dies, and so takes up to ten seconds to notice.
    const HUB_KILLS: u64 = 3;

    fn scene(name: &str) -> crate::harness::Scene {
        crate::harness::Scene::over(crate::harness::Transport::Broker, name)
    }
}
