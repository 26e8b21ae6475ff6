//! What TLS has to say, for people who have to mend it. The same words on QUIC and on TCP.

/// The hub turned this store's certificate away.
pub fn store_refused(alert: &str) -> String {
    format!("the hub did not accept this store's certificate ({alert}); issue a new one")
}

/// This store turned the hub's certificate away.
pub fn hub_refused(why: &str) -> String {
    format!("the hub's certificate is not accepted: {why}; check ca_file and server_name")
}

/// A TLS alert by its number.
pub fn alert(number: u8) -> &'static str {
    match number {
        40 => "handshake failed",
        42 => "bad certificate",
        43 => "unsupported certificate",
        44 => "certificate revoked",
        45 => "certificate expired",
        46 => "certificate unknown",
        48 => "unknown certificate authority",
        49 => "access denied",
        51 => "bad signature",
        116 => "certificate required",
        _ => "TLS alert",
    }
}
