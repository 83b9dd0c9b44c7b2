//! The XDP program's lists of sources.

use aya::maps::lpm_trie::{Key, LpmTrie};
use aya::maps::{Array, MapData, MapError};
use ipnet::IpNet;
use xdtls_common::access::{AccessValue, PrefixKey};
use xdtls_common::cookie::mapped;

use super::xdp_program::{XdpError, XdpProgram};
use crate::access::AccessRules;

/// The program's lists, and which of them it is to look at.
pub struct AccessMaps {
    denied: LpmTrie<MapData, PrefixKey, u8>,
    allowed: LpmTrie<MapData, PrefixKey, u8>,
    lists: Array<MapData, [u8; 8]>,
}

impl AccessMaps {
    /// Takes the maps of a program that has just been loaded.
    pub(super) fn take(program: &mut XdpProgram) -> Result<Self, XdpError> {
        Ok(Self {
            denied: program.map("DENIED", LpmTrie::try_from)?,
            allowed: program.map("ALLOWED", LpmTrie::try_from)?,
            lists: program.map("ACCESS", Array::try_from)?,
        })
    }

    /// Makes `new` of what was `old`, both [normalized](AccessRules::normalized). New entries come first and old ones go last: no source that
    /// both lists treat alike is treated otherwise in between.
    pub fn replace(&mut self, old: &AccessRules, new: &AccessRules) -> Result<(), XdpError> {
        insert(&mut self.denied, "DENIED", &old.deny, &new.deny)?;
        insert(&mut self.allowed, "ALLOWED", &old.allow, &new.allow)?;
        let lists = AccessValue::new(!new.deny.is_empty(), !new.allow.is_empty());
        self.lists
            .set(0, bytemuck::must_cast::<_, [u8; 8]>(lists), 0)
            .map_err(|error| XdpError::Map("ACCESS", error))?;
        remove(&mut self.denied, "DENIED", &old.deny, &new.deny)?;
        remove(&mut self.allowed, "ALLOWED", &old.allow, &new.allow)
    }
}

type Trie = LpmTrie<MapData, PrefixKey, u8>;

fn insert(
    trie: &mut Trie,
    name: &'static str,
    old: &[IpNet],
    new: &[IpNet],
) -> Result<(), XdpError> {
    for prefix in new.iter().filter(|prefix| old.binary_search(prefix).is_err()) {
        trie.insert(&key(*prefix), 1, 0).map_err(|error| XdpError::Map(name, error))?;
    }
    Ok(())
}

fn remove(
    trie: &mut Trie,
    name: &'static str,
    old: &[IpNet],
    new: &[IpNet],
) -> Result<(), XdpError> {
    for prefix in old.iter().filter(|prefix| new.binary_search(prefix).is_err()) {
        match trie.remove(&key(*prefix)) {
            Ok(()) | Err(MapError::KeyNotFound) => {}
            Err(error) => return Err(XdpError::Map(name, error)),
        }
    }
    Ok(())
}

/// A prefix as the tries have it, IPv4 as mapped.
fn key(prefix: IpNet) -> Key<PrefixKey> {
    let mapped_bits = if prefix.addr().is_ipv4() { 96 } else { 0 };
    Key::new(mapped_bits + u32::from(prefix.prefix_len()), mapped(prefix.network()))
}
