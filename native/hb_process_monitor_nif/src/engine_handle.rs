//! The resource by which Erlang holds an engine. The engine ends with the process that made it, however
//! that ends.

use crate::resources::Resources;
use crate::runner::Runner;
use rustler::{Env, LocalPid, Monitor, Resource};
use std::panic::RefUnwindSafe;
use std::sync::{Arc, Mutex};

/// An engine.
pub(crate) struct EngineHandle {
    pub(crate) resources: Arc<Resources>,
    pub(crate) runner: Mutex<Runner>,
}

/// A panic leaves nothing half done that is used again: a poisoned runner is refused, and what threads
/// share is changed in one step at a time.
impl RefUnwindSafe for EngineHandle {}

#[rustler::resource_impl]
impl Resource for EngineHandle {
    fn down<'a>(&'a self, _: Env<'a>, _: LocalPid, _: Monitor) {
        self.resources.stop();
    }
}

impl Drop for EngineHandle {
    fn drop(&mut self) {
        self.resources.stop();
    }
}
