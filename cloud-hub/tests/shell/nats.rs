//! What NATS makes of MQTT 5, so that docs/operating/brokers.md says what is true.

use crate::broker::{Server, authority, is_absent, own_address, text};
use crate::mqtt_peer::{CONNACK, MqttPeer, PLAIN, connect};
use crate::peer::Shown;
use cloud_hub::enrol::ca::STORE_DAYS;

const NATS: &str = "/usr/sbin/nats-server";

#[tokio::test]
async fn nats_refuses_mqtt_5_in_the_words_of_its_older_version() {
    if is_absent(NATS, "nats-server") {
        return;
    }
    let (folder, pki) = authority();
    let (clients, mqtt) = (own_address(), own_address());
    let file = |name: &str| text(&folder.path().join(name));
    let configuration = format!(
        "server_name: one\nlisten: \"{clients}\"\njetstream {{ store_dir: \"{}\" }}\n\
         mqtt {{ listen: \"{mqtt}\", tls {{ cert_file: \"{}\", key_file: \"{}\", ca_file: \"{}\", verify: true }} }}\n",
        file("jetstream"),
        file("broker.pem"),
        file("broker.key"),
        file("ca.pem"),
    );
    std::fs::write(file("nats.conf"), configuration).unwrap();
    let _server = Server::started(NATS, &["-c", &file("nats.conf")], &folder, mqtt).await.unwrap();
    let greeted = async || {
        let shown = Shown::issued(&pki, "S0001", STORE_DAYS);
        MqttPeer::greeted(mqtt, pki.server().unwrap().ca, Some(shown), None).await.unwrap()
    };
    let mut newer = greeted().await;
    newer.send(&connect(PLAIN)).await;
    assert_eq!(newer.expect(CONNACK).await, [0, 1], "unacceptable protocol version");
    assert!(newer.packet().await.is_err());
    let mut older = greeted().await;
    older.send(&[0x10, 13, 0, 4, b'M', b'Q', b'T', b'T', 4, 2, 0, 30, 0, 1, b'a']).await;
    assert_eq!(older.expect(CONNACK).await, [0, 0], "MQTT 3.1.1 is what it speaks");
}
