//! Frames as bytes.

use super::*;

mod sizes;

fn framed(body: Body) -> Frame {
    Frame { store: "S0042".parse().unwrap(), epoch: Epoch(0), boot: Boot(0x1122_3344_5566_7788), body }
}
