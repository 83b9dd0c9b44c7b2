//! What a node keeps of its associations for those that replace them.

use std::collections::HashMap;
use std::sync::{Arc, Mutex};

use xdtls_common::id::LocalId;
use xdtls_proto::handshakes::Installation;
use xdtls_proto::rekey::{Ancestor, AncestorLookup};

#[derive(Clone, Default)]
pub(crate) struct Ancestry(Arc<Mutex<HashMap<LocalId, Ancestor>>>);

impl Ancestry {
    pub(crate) fn insert(&self, installation: &Installation) {
        self.put(installation.local, Ancestor::of(installation));
    }

    pub(crate) fn put(&self, id: LocalId, ancestor: Ancestor) {
        self.0.lock().unwrap().insert(id, ancestor);
    }

    pub(crate) fn remove(&self, id: LocalId) {
        self.0.lock().unwrap().remove(&id);
    }

    pub(crate) fn find(&self, id: LocalId) -> Option<Ancestor> {
        self.0.lock().unwrap().get(&id).cloned()
    }

    pub(crate) fn lookup(&self) -> AncestorLookup {
        let ancestry = self.clone();
        Box::new(move |id| ancestry.find(id))
    }
}
