//! The MQTT endpoint against Debian's own clients: what they make of it, not what our own library does.

use crate::ingest::{Hub, answer};
use crate::peer::PATIENCE;
use cloud_hub::enrol::ca::STORE_DAYS;
use cloud_hub::runtime::clock::Clock;
use std::path::PathBuf;
use std::process::{Output, Stdio};
use sync_protocol::frame::Stream;
use tokio::process::{Child, Command};
use tokio::time::timeout;

impl Hub {
    /// A client with the certificate of S0001.
    fn mosquitto(&self, program: &str, arguments: &[&str]) -> Child {
        let keys = self.keys_of("S0001");
        let mut command = Command::new(program);
        command.args(["-V", "mqttv5", "-q", "1", "-h", "localhost", "-p", &self.mqtt.port().to_string()]);
        for (option, file) in [("--cafile", "ca.pem"), ("--cert", "store.pem"), ("--key", "store.key")] {
            command.arg(option).arg(keys.join(file));
        }
        let command = command.args(arguments).stdout(Stdio::piped()).stderr(Stdio::piped());
        command.kill_on_drop(true).spawn().unwrap()
    }

    fn keys_of(&self, store: &str) -> PathBuf {
        let out = self.folder.path().join(store);
        if !out.exists() {
            let issued = self.pki.issue(&store.parse().unwrap(), STORE_DAYS, Clock::start().wall());
            issued.unwrap().write_to(&out).unwrap();
        }
        out
    }
}

async fn ended(client: Child) -> Output {
    timeout(PATIENCE, client.wait_with_output()).await.expect("the client ends").unwrap()
}

fn said(output: &Output) -> String {
    format!("{}{}", String::from_utf8_lossy(&output.stdout), String::from_utf8_lossy(&output.stderr))
}

#[expect(clippy::print_stdout, reason = "whoever reads the test's output must see what was not tested")]
fn absent() -> bool {
    let asked = std::process::Command::new("mosquitto_pub").arg("--help").output();
    if asked.is_err() {
        println!("SKIPPED: there is no mosquitto_pub; install the package mosquitto-clients");
    }
    asked.is_err()
}

#[tokio::test]
async fn mosquitto_pub_hands_in_a_frame() {
    if absent() {
        return;
    }
    let mut hub = Hub::listening();
    let file = hub.folder.path().join("frame");
    std::fs::write(&file, b"a frame").unwrap();
    let arguments = ["-t", "shopsmart/v1/S0001/up/state", "-f", file.to_str().unwrap()];
    let client = hub.mosquitto("mosquitto_pub", &arguments);
    let (_, store, _outlet) = hub.link_up().await;
    assert_eq!(store, "S0001");
    let (frame, room) = hub.uncommitted().await;
    assert_eq!(frame, b"a frame");
    room.committed();
    let output = ended(client).await;
    assert!(output.status.success(), "{}", said(&output));
}

#[tokio::test]
async fn mosquitto_sub_hears_the_own_streams() {
    if absent() {
        return;
    }
    let mut hub = Hub::listening();
    let topics = ["-t", "shopsmart/v1/S0001/down/state", "-t", "shopsmart/v1/S0001/down/history"];
    let client = hub.mosquitto("mosquitto_sub", &[&topics[..], &["-C", "2", "-v"]].concat());
    let (_, _, outlet) = hub.link_up().await;
    outlet.send(answer(&[(Stream::State, b"now"), (Stream::History, b"then")]));
    let output = ended(client).await;
    assert_eq!(said(&output), "shopsmart/v1/S0001/down/state now\nshopsmart/v1/S0001/down/history then\n");
}

#[tokio::test]
async fn mosquitto_sub_is_refused_on_foreign_topics() {
    if absent() {
        return;
    }
    let mut hub = Hub::listening();
    let output = ended(hub.mosquitto("mosquitto_sub", &["-t", "shopsmart/v1/S0002/down/state", "-E"])).await;
    assert!(said(&output).contains("denied"), "{}", said(&output));
    hub.only_the_well_behaved_arrive().await;
}
