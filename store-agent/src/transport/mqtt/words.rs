//! Why an MQTT connection ended, for people who have to mend it.

use super::super::words::{alert, hub_refused, store_refused};
use super::CONNECT_WITHIN;
use crate::config::HubConfig;
use rumqttc::v5::mqttbytes::Error as PacketError;
use rumqttc::v5::{ConnectionError, StateError, TlsError};
use std::fmt;
use std::io;

/// Where the connection goes: what a person would check.
#[derive(Debug, Clone)]
pub struct Place {
    hub: String,
    proxy: Option<String>,
}

impl Place {
    pub fn of(config: &HubConfig) -> Place {
        Place { hub: config.mqtt_address.to_string(), proxy: config.proxy.as_ref().map(ToString::to_string) }
    }
}

impl fmt::Display for Place {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match &self.proxy {
            Some(proxy) => write!(f, "{} through the proxy {proxy}", self.hub),
            None => f.write_str(&self.hub),
        }
    }
}

/// `answered`: the connection had been accepted before.
pub fn in_words(error: &ConnectionError, place: &Place, answered: bool) -> String {
    match error {
        // A broker of MQTT 3.1.1 answers in a form that the library waits for the end of, and hangs up.
        error if !answered && is_hang_up(error) => {
            format!("{place} hung up instead of answering; what is there must speak MQTT 5")
        }
        ConnectionError::Timeout(_) => {
            format!("no answer from {place} in {} seconds", CONNECT_WITHIN.as_secs())
        }
        ConnectionError::Tls(TlsError::Io(error)) => broken(error, place),
        ConnectionError::Io(error) => broken(error, place),
        ConnectionError::Proxy(error) => proxy(&error.to_string(), place),
        ConnectionError::ConnectionRefused(code) => {
            format!("the hub refused the connection: {}", spaced(code))
        }
        ConnectionError::NotConnAck(_) => format!("{place} answers, but not as MQTT 5 has it"),
        ConnectionError::MqttState(error) => state(error, place),
        other => format!("no MQTT connection to {place}: {other}"),
    }
}

fn is_hang_up(error: &ConnectionError) -> bool {
    match error {
        ConnectionError::MqttState(StateError::ConnectionAborted) => true,
        ConnectionError::MqttState(
            StateError::Io(error) | StateError::Deserialization(PacketError::Io(error)),
        ) => is_end(error),
        _ => false,
    }
}

/// The other side closed the connection, and TLS had nothing to say to that.
fn is_end(error: &io::Error) -> bool {
    error.kind() == io::ErrorKind::UnexpectedEof
        && error.get_ref().is_none_or(|inner| !inner.is::<rustls::Error>())
}

fn state(error: &StateError, place: &Place) -> String {
    match error {
        StateError::Io(error) | StateError::Deserialization(PacketError::Io(error)) => broken(error, place),
        StateError::ServerDisconnect { reason_code, reason_string } => {
            let why = reason_string.clone().unwrap_or_else(|| spaced(reason_code));
            format!("the hub closed the link: {why}")
        }
        StateError::ConnectionAborted => "the hub closed the connection without a word".to_owned(),
        // The library does not read a DISCONNECT that says nothing more.
        StateError::Deserialization(PacketError::PayloadRequired) => {
            "the hub closed the link without a reason".to_owned()
        }
        StateError::AwaitPingResp | StateError::CollisionTimeout => "the hub stopped answering".to_owned(),
        StateError::Deserialization(PacketError::PayloadSizeLimitExceeded { pkt_size, max }) => {
            format!("the hub announced a packet of {pkt_size} bytes; {max} are allowed")
        }
        StateError::OutgoingPacketTooLarge { max, .. }
        | StateError::Deserialization(PacketError::OutgoingPacketTooLarge { max, .. }) => {
            format!("the hub takes only packets of up to {max} bytes, too few for a frame")
        }
        other => format!("the hub does not keep to MQTT 5: {other}"),
    }
}

/// A connection that could not be made or that broke. What TLS had to say is wrapped in it.
fn broken(error: &io::Error, place: &Place) -> String {
    let tls = error.get_ref().and_then(|inner| inner.downcast_ref::<rustls::Error>());
    match tls {
        Some(rustls::Error::InvalidCertificate(why)) => hub_refused(&why.to_string()),
        Some(rustls::Error::AlertReceived(received)) => match alert(u8::from(*received)) {
            "TLS alert" => format!("{place} ended the TLS handshake: {received:?}"),
            known => store_refused(known),
        },
        Some(other) => format!("no TLS with {place}: {other}"),
        None if error.kind() == io::ErrorKind::UnexpectedEof => {
            "the hub closed the connection without a word".to_owned()
        }
        None => format!("no connection to {place}: {error}"),
    }
}

/// The proxy's own answer is a number in the library's text.
fn proxy(error: &str, place: &Place) -> String {
    let proxy = place.proxy.as_deref().unwrap_or_default();
    let error = error.trim_end_matches('.');
    if let Some((_, code)) = error.rsplit_once("not equal 200: ") {
        return format!("the proxy {proxy} does not let us through to {}: it answered {code}", place.hub);
    }
    format!("no way through the proxy {proxy} to {}: {error}", place.hub)
}

/// `NotAuthorized` as `not authorized`.
pub fn spaced(name: &impl fmt::Debug) -> String {
    let mut text = String::new();
    for letter in format!("{name:?}").chars() {
        if letter.is_ascii_uppercase() && !text.is_empty() {
            text.push(' ');
        }
        text.push(letter.to_ascii_lowercase());
    }
    text
}

#[cfg(test)]
mod tests {
    use super::*;
    use rumqttc::v5::mqttbytes::v5::{ConnectReturnCode, DisconnectReasonCode};

    fn place() -> Place {
        Place { hub: "hub.example:8883".to_owned(), proxy: Some("proxy:3128".to_owned()) }
    }

    #[test]
    fn what_the_hub_says_is_put_into_words() {
        let closed = |reason_string: Option<&str>| {
            let reason_string = reason_string.map(str::to_owned);
            let reason_code = DisconnectReasonCode::ServerShuttingDown;
            in_words(&StateError::ServerDisconnect { reason_code, reason_string }.into(), &place(), true)
        };
        assert_eq!(closed(None), "the hub closed the link: server shutting down");
        assert_eq!(closed(Some("closing for the night")), "the hub closed the link: closing for the night");
        let refused = ConnectionError::ConnectionRefused(ConnectReturnCode::NotAuthorized);
        assert_eq!(in_words(&refused, &place(), false), "the hub refused the connection: not authorized");
    }

    #[test]
    fn a_broker_of_an_older_mqtt_is_told_apart() {
        let said = |answered| in_words(&StateError::ConnectionAborted.into(), &place(), answered);
        assert!(said(false).contains("must speak MQTT 5"), "{}", said(false));
        assert_eq!(said(true), "the hub closed the connection without a word");
    }

    #[test]
    fn a_refusal_of_the_proxy_is_put_into_words() {
        let said = proxy("Proxy connect: The HTTP code is not equal 200: 407.", &place());
        assert_eq!(said, "the proxy proxy:3128 does not let us through to hub.example:8883: it answered 407");
    }

    #[test]
    fn refused_certificates_sound_as_on_quic() {
        let tls = |error: rustls::Error| {
            let error = io::Error::new(io::ErrorKind::InvalidData, error);
            in_words(&ConnectionError::Tls(TlsError::Io(error)), &place(), false)
        };
        let theirs = tls(rustls::Error::AlertReceived(rustls::AlertDescription::CertificateExpired));
        assert!(theirs.contains("did not accept this store's certificate (certificate expired)"), "{theirs}");
        let ours = tls(rustls::Error::InvalidCertificate(rustls::CertificateError::UnknownIssuer));
        assert!(ours.contains("check ca_file and server_name"), "{ours}");
    }
}
