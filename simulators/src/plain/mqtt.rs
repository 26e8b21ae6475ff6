//! As much of MQTT 3.1.1 as the hand-made build needs: connect, publish and subscribe at QoS 1, acknowledge.

use anyhow::{Result, bail};

const CONNECT: u8 = 0x10;
const CONNACK: u8 = 0x20;
const PUBLISH_QOS1: u8 = 0x32;
const PUBACK: u8 = 0x40;
const SUBSCRIBE: u8 = 0x82;
const SUBACK: u8 = 0x90;
const KIND_MASK: u8 = 0xf0;

/// What the broker sends.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Packet<'a> {
    Connected { code: u8 },
    Subscribed,
    Published { id: u16, payload: &'a [u8] },
    Acknowledged { id: u16 },
    Other,
}

/// Opens a session that outlives the connection.
pub fn connect(out: &mut Vec<u8>, client: &str) {
    let mut body = Vec::new();
    text(&mut body, "MQTT");
    // Version 4 is 3.1.1; no flag set: the session is kept; no keep-alive.
    body.extend_from_slice(&[4, 0, 0, 0]);
    text(&mut body, client);
    packet(out, CONNECT, &body);
}

pub fn subscribe(out: &mut Vec<u8>, topic: &str) {
    let mut body = vec![0, 1];
    text(&mut body, topic);
    body.push(1);
    packet(out, SUBSCRIBE, &body);
}

pub fn publish(out: &mut Vec<u8>, id: u16, topic: &str, payload: &[u8]) {
    let mut body = Vec::with_capacity(topic.len() + payload.len() + 4);
    text(&mut body, topic);
    body.extend_from_slice(&id.to_be_bytes());
    body.extend_from_slice(payload);
    packet(out, PUBLISH_QOS1, &body);
}

pub fn acknowledge(out: &mut Vec<u8>, id: u16) {
    packet(out, PUBACK, &id.to_be_bytes());
}

/// The first packet in `bytes` and how long it is; `None` when it is not complete yet.
pub fn decode(bytes: &[u8]) -> Result<Option<(Packet<'_>, usize)>> {
    let Some((&first, rest)) = bytes.split_first() else { return Ok(None) };
    let Some((length, length_bytes)) = decode_length(rest)? else { return Ok(None) };
    let Some(body) = rest.get(length_bytes..length_bytes + length) else { return Ok(None) };
    Ok(Some((understand(first, body)?, 1 + length_bytes + length)))
}

fn understand(first: u8, body: &[u8]) -> Result<Packet<'_>> {
    Ok(match (first & KIND_MASK, body) {
        (CONNACK, [_, code]) => Packet::Connected { code: *code },
        (SUBACK, _) => Packet::Subscribed,
        (PUBACK, [high, low]) => Packet::Acknowledged { id: u16::from_be_bytes([*high, *low]) },
        (kind, [high, low, rest @ ..]) if kind == PUBLISH_QOS1 & KIND_MASK => {
            let topic = usize::from(u16::from_be_bytes([*high, *low]));
            let Some([high, low, payload @ ..]) = rest.get(topic..) else { bail!("a torn message") };
            Packet::Published { id: u16::from_be_bytes([*high, *low]), payload }
        }
        _ => Packet::Other,
    })
}

/// Appends a packet: its first byte, the length, the rest.
pub fn packet(out: &mut Vec<u8>, first: u8, body: &[u8]) {
    out.push(first);
    let mut length = body.len();
    loop {
        let low = u8::try_from(length % 128).expect("below 128");
        length /= 128;
        out.push(if length > 0 { low | 0x80 } else { low });
        if length == 0 {
            break;
        }
    }
    out.extend_from_slice(body);
}

/// The length that a packet's second byte begins, and how many bytes say it; `None` when that is not complete yet.
pub fn decode_length(bytes: &[u8]) -> Result<Option<(usize, usize)>> {
    let mut length = 0;
    for (place, byte) in bytes.iter().take(4).enumerate() {
        length |= usize::from(byte & 0x7f) << (7 * place);
        if byte & 0x80 == 0 {
            return Ok(Some((length, place + 1)));
        }
    }
    if bytes.len() >= 4 {
        bail!("the length of a packet has more than four bytes");
    }
    Ok(None)
}

/// A text after its length in two bytes.
pub fn text(out: &mut Vec<u8>, text: &str) {
    let length = u16::try_from(text.len()).expect("topics and names here are short");
    out.extend_from_slice(&length.to_be_bytes());
    out.extend_from_slice(text.as_bytes());
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_published_message_reads_back() {
        let (mut bytes, payload) = (Vec::new(), [b'x'; 300]);
        publish(&mut bytes, 513, "stores/S0001", &payload);
        let (packet, length) = decode(&bytes).unwrap().unwrap();
        assert_eq!((packet, length), (Packet::Published { id: 513, payload: &payload }, bytes.len()));
    }

    #[test]
    fn an_incomplete_packet_is_waited_for() {
        let mut bytes = Vec::new();
        publish(&mut bytes, 1, "t", &[0; 200]);
        assert!((0..bytes.len()).all(|length| decode(&bytes[..length]).unwrap().is_none()));
    }

    #[test]
    fn acknowledgements_are_told_apart() {
        assert_eq!(decode(&[0x40, 2, 1, 0]).unwrap().unwrap().0, Packet::Acknowledged { id: 256 });
        assert_eq!(decode(&[0x20, 2, 0, 0]).unwrap().unwrap().0, Packet::Connected { code: 0 });
        assert_eq!(decode(&[0x90, 3, 0, 1, 1]).unwrap().unwrap().0, Packet::Subscribed);
        assert!(decode(&[0x30, 0xff, 0xff, 0xff, 0xff]).is_err());
    }
}
