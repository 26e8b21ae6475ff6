//! P5: no core asks to be woken again and again for nothing. A daemon would burn a processor over it.

use super::{Check, must};
use crate::dst::world::World;

const WAKES_MAX: u32 = 50;

pub fn agent(world: &mut World, at: usize, idle: bool) -> Check {
    let ticks = world.machine_ticks(at);
    let Some(process) = &mut world.machines[at].process else { return Ok(()) };
    let wakes = process.idle_wakes(ticks, idle);
    must(wakes < WAKES_MAX, "P5", || {
        format!("the agent on machine {at} wakes over and over and does nothing")
    })
}

pub fn hub(world: &mut World, idle: bool) -> Check {
    let ticks = world.hub_now().ticks;
    let Some(process) = &mut world.hub.process else { return Ok(()) };
    let wakes = process.idle_wakes(ticks, idle);
    must(wakes < WAKES_MAX, "P5", || "the hub wakes over and over and does nothing".to_owned())
}
