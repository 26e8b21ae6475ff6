//! Why there is no connection to the broker, for people who have to mend it.

use super::CONNECT_MAX;
use crate::config::HostPort;
use rumqttc::v5::mqttbytes::Error as PacketError;
use rumqttc::v5::mqttbytes::v5::ConnectReturnCode;
use rumqttc::v5::{ConnectionError, StateError, TlsError};
use std::error::Error;
use std::fmt::{self, Write};
use std::io;

/// In words. `answered`: the broker had accepted the connection before.
pub(super) fn in_words(error: &ConnectionError, broker: &HostPort, answered: bool) -> String {
    match error {
        // A broker of MQTT 3.1.1 answers in a form that the library waits for the end of, and hangs up.
        error if !answered && is_hang_up(error) => {
            format!("{broker} hung up instead of answering; it must speak MQTT 5")
        }
        ConnectionError::Timeout(_) => format!("no answer in {} seconds", CONNECT_MAX.as_secs()),
        ConnectionError::Tls(TlsError::Io(error)) | ConnectionError::Io(error) => broken(error),
        ConnectionError::ConnectionRefused(
            ConnectReturnCode::UnsupportedProtocolVersion | ConnectReturnCode::RefusedProtocolVersion,
        ) => format!("{broker} does not speak MQTT 5, which the hub and its stores need"),
        ConnectionError::ConnectionRefused(code) => format!("the broker refused the hub: {}", spaced(code)),
        ConnectionError::MqttState(error) => state(error),
        other => with_causes(other),
    }
}

fn is_hang_up(error: &ConnectionError) -> bool {
    match error {
        ConnectionError::MqttState(StateError::ConnectionAborted) => true,
        ConnectionError::MqttState(
            StateError::Io(error) | StateError::Deserialization(PacketError::Io(error)),
        ) => error.kind() == io::ErrorKind::UnexpectedEof,
        _ => false,
    }
}

fn state(error: &StateError) -> String {
    match error {
        StateError::Io(error) | StateError::Deserialization(PacketError::Io(error)) => broken(error),
        StateError::ServerDisconnect { reason_code, reason_string } => {
            let why = reason_string.clone().unwrap_or_else(|| spaced(reason_code));
            format!("the broker closed the connection: {why}")
        }
        StateError::ConnectionAborted => "the broker closed the connection".to_owned(),
        // The library does not read a DISCONNECT that says nothing more.
        StateError::Deserialization(PacketError::PayloadRequired) => {
            "the broker closed the connection".to_owned()
        }
        StateError::AwaitPingResp | StateError::CollisionTimeout => "the broker stopped answering".to_owned(),
        other => with_causes(other),
    }
}

/// A connection that could not be made or that broke. What TLS had to say is wrapped in it.
fn broken(error: &io::Error) -> String {
    let tls = error.get_ref().and_then(|inner| inner.downcast_ref::<rustls::Error>());
    match tls {
        Some(rustls::Error::InvalidCertificate(why)) => {
            format!(
                "the broker's certificate is not accepted ({why}); check broker.ca_file and the name in broker.address"
            )
        }
        Some(rustls::Error::AlertReceived(alert)) => {
            format!("the broker did not accept the hub's certificate ({alert:?})")
        }
        Some(other) => format!("no TLS: {other}"),
        None if error.kind() == io::ErrorKind::UnexpectedEof => {
            "the broker closed the connection without a word".to_owned()
        }
        None => error.to_string(),
    }
}

/// An error with what caused it.
pub(super) fn with_causes(error: &dyn Error) -> String {
    let mut text = error.to_string();
    let mut cause = error.source();
    while let Some(next) = cause {
        let _ = write!(text, ": {next}");
        cause = next.source();
    }
    text
}

/// `NotAuthorized` as `not authorized`.
pub(super) fn spaced(name: &impl fmt::Debug) -> String {
    let mut text = String::new();
    for letter in format!("{name:?}").chars() {
        if letter.is_ascii_uppercase() && !text.is_empty() {
            text.push(' ');
        }
        text.push(letter.to_ascii_lowercase());
    }
    text
}
