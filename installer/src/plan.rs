//! A plan: steps in order, each of which knows what it would change, changes it, and can take it back.
//!
//! Promises: a step whose thing is as it should be does nothing, so running a plan again converges; after a step has run, it finds
//! nothing more to change, or the plan fails; when a step fails, those before it are taken back, the last one first; when the program
//! is killed, running the plan again leads to the same end.

use crate::fault::{Code, Fault};
use serde::Serialize;

/// One thing that a plan brings about.
pub trait Step {
    /// A short name, the same for ever: for people, logs and tests.
    fn name(&self) -> &'static str;

    /// What would change, in words. Empty: all is as it should be. Changes nothing.
    fn differences(&self) -> Result<Vec<String>, Fault>;

    /// Changes it.
    fn apply(&self, points: &Points) -> Result<Undo, Fault>;
}

/// How to take a step back.
pub enum Undo {
    /// What has been done does no harm when it stays, and this is why it does.
    Kept(&'static str),
    By(Box<dyn FnOnce() -> Result<(), Fault>>),
}

impl Undo {
    pub fn by(undo: impl FnOnce() -> Result<(), Fault> + 'static) -> Undo {
        Undo::By(Box::new(undo))
    }
}

/// Where a test may have the program stop or fail. In a release build nobody can ask for either.
#[derive(Debug, Default, Clone)]
pub struct Points {
    pub stop_at: Option<String>,
    pub fail_at: Option<String>,
}

impl Points {
    /// Called at each place where an interruption must do no harm.
    pub fn reach(&self, name: &str) -> Result<(), Fault> {
        if self.stop_at.as_deref() == Some(name) {
            crate::console::say(&format!("stopped at {name}"));
            loop {
                // Until it is killed: that is what the test wants to do here.
                std::thread::park();
            }
        }
        if self.fail_at.as_deref() == Some(name) {
            return Err(Fault::new(Code::E901, format!("told to fail at {name}")));
        }
        Ok(())
    }
}

/// What a step came to.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
pub struct Outcome {
    pub step: &'static str,
    /// Changed, or that would be changed.
    pub changes: Vec<String>,
}

/// Steps in their order.
#[derive(Default)]
pub struct Plan {
    steps: Vec<Box<dyn Step>>,
}

impl Plan {
    pub fn add(&mut self, step: impl Step + 'static) -> &mut Plan {
        self.steps.push(Box::new(step));
        self
    }

    /// What running it would change.
    pub fn preview(&self) -> Result<Vec<Outcome>, Fault> {
        let look = |step: &dyn Step| Ok(Outcome { step: step.name(), changes: step.differences()? });
        self.steps.iter().map(|step| look(&**step)).collect()
    }

    /// Runs it; `tell` hears of each step that has ended.
    pub fn run(&self, points: &Points, mut tell: impl FnMut(&Outcome)) -> Result<Vec<Outcome>, Fault> {
        let (mut done, mut outcomes) = (Vec::new(), Vec::new());
        for step in &self.steps {
            match run_step(&**step, points, &mut done) {
                Ok(outcome) => {
                    tell(&outcome);
                    outcomes.push(outcome);
                }
                Err(fault) => return Err(taken_back(fault, done)),
            }
        }
        Ok(outcomes)
    }
}

fn run_step(
    step: &dyn Step,
    points: &Points,
    done: &mut Vec<(&'static str, Undo)>,
) -> Result<Outcome, Fault> {
    let changes = step.differences()?;
    if !changes.is_empty() {
        done.push((step.name(), step.apply(points)?));
        let left = step.differences()?;
        if !left.is_empty() {
            let says = format!("step `{}` has run and still finds: {}", step.name(), left.join("; "));
            return Err(Fault::new(Code::E901, says));
        }
    }
    points.reach(step.name())?;
    Ok(Outcome { step: step.name(), changes })
}

/// Takes back what was done, and adds to the fault what could not be.
fn taken_back(fault: Fault, mut done: Vec<(&'static str, Undo)>) -> Fault {
    let mut stays = Vec::new();
    while let Some((name, undo)) = done.pop() {
        match undo {
            Undo::Kept(why) => stays.push(format!("`{name}` stays: {why}")),
            Undo::By(undo) => {
                if let Err(error) = undo() {
                    stays.push(format!("`{name}` could not be taken back: {}", error.story()));
                }
            }
        }
    }
    match stays.as_slice() {
        [] => fault,
        stays => {
            let says = format!("{} ({})", fault.story(), stays.join("; "));
            Fault::new(fault.code, says)
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::cell::RefCell;
    use std::rc::Rc;

    type World = Rc<RefCell<Vec<&'static str>>>;

    /// Wants its name to be in the world.
    struct Wants(&'static str, World);

    impl Step for Wants {
        fn name(&self) -> &'static str {
            self.0
        }

        fn differences(&self) -> Result<Vec<String>, Fault> {
            let there = self.1.borrow().contains(&self.0);
            Ok(if there { Vec::new() } else { vec![format!("{} is missing", self.0)] })
        }

        fn apply(&self, _: &Points) -> Result<Undo, Fault> {
            let (name, world) = (self.0, Rc::clone(&self.1));
            world.borrow_mut().push(name);
            Ok(Undo::by(move || {
                world.borrow_mut().retain(|there| *there != name);
                Ok(())
            }))
        }
    }

    fn plan(world: &World) -> Plan {
        let mut plan = Plan::default();
        for name in ["one", "two", "three"] {
            plan.add(Wants(name, Rc::clone(world)));
        }
        plan
    }

    #[test]
    fn a_second_run_changes_nothing() {
        let world = World::default();
        assert!(plan(&world).preview().unwrap().iter().all(|step| step.changes.len() == 1));
        plan(&world).run(&Points::default(), |_| {}).unwrap();
        assert!(
            plan(&world).run(&Points::default(), |_| {}).unwrap().iter().all(|step| step.changes.is_empty())
        );
        assert_eq!(*world.borrow(), ["one", "two", "three"]);
    }

    #[test]
    fn what_was_done_before_a_failure_is_taken_back_and_what_was_there_stays() {
        let world: World = Rc::new(RefCell::new(vec!["one"]));
        let points = Points { fail_at: Some("two".to_owned()), ..Points::default() };
        plan(&world).run(&points, |_| {}).unwrap_err();
        assert_eq!(*world.borrow(), ["one"]);
    }

    #[test]
    fn a_step_that_does_not_reach_its_end_is_a_fault_of_ours() {
        struct Never;
        impl Step for Never {
            fn name(&self) -> &'static str {
                "never"
            }
            fn differences(&self) -> Result<Vec<String>, Fault> {
                Ok(vec!["it is not so".to_owned()])
            }
            fn apply(&self, _: &Points) -> Result<Undo, Fault> {
                Ok(Undo::Kept("nothing was done"))
            }
        }
        let mut plan = Plan::default();
        plan.add(Never);
        let fault = plan.run(&Points::default(), |_| {}).unwrap_err();
        assert_eq!(fault.code, Code::E901);
        assert!(fault.to_string().contains("`never` stays: nothing was done"), "{fault}");
    }
}
