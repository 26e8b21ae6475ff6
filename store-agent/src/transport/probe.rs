//! Tries whether QUIC gets through while the link runs over MQTT: a connection of its own that carries nothing, stands for a
//! while with its keep-alives answered, and goes. The hub makes no link of it.

use super::quic::{self, LOOK_EVERY, in_words};
use super::wire::Wire;
use crate::config::HubConfig;
use crate::telemetry::Metrics;
use quinn::VarInt;
use std::time::Duration;
use tokio::time::timeout;

/// Tells the hub in the TLS handshake that this is no link.
pub const ALPN: &[u8] = b"shopsmart-probe/1";

const KEEP_ALIVE: Duration = Duration::from_secs(2);
const IDLE_MAX: Duration = Duration::from_secs(10);
/// So many looks without any answer, and QUIC does not get through.
const LOOKS_UNANSWERED_MAX: u32 = 3;

/// Comes back once a connection has stood for as long as asked, or with why none did.
pub async fn stand(config: &HubConfig, metrics: &Metrics, stands: Duration) -> Result<(), String> {
    let (_endpoint, connection) = quic::dial(config, ALPN, transport(config)).await?;
    let mut wire = Wire::new(&connection, metrics);
    let stood = timeout(stands, async {
        loop {
            tokio::select! {
                error = connection.closed() => return in_words(&error),
                () = tokio::time::sleep(LOOK_EVERY) => {}
            }
            if wire.look() >= LOOKS_UNANSWERED_MAX {
                return "the hub leaves everything unanswered".to_owned();
            }
        }
    });
    let ended = stood.await;
    connection.close(VarInt::from_u32(0), b"the probe is over");
    match ended {
        Ok(reason) => Err(reason),
        Err(_) => Ok(()),
    }
}

fn transport(config: &HubConfig) -> quinn::TransportConfig {
    let mut transport = quic::transport(config);
    transport
        .keep_alive_interval(Some(KEEP_ALIVE))
        .max_idle_timeout(Some(IDLE_MAX.try_into().expect("10 s is a QUIC timeout")));
    transport
}
