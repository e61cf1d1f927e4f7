// SPDX-License-Identifier: Apache-2.0
//! Compiled policies into the kernel: fill, read back, verify, switch.
//!
//! A policy is immutable once it is in force. Everything that belongs to it is keyed by its number, its automaton lies
//! in an extent of its own, and the switch is one pointer (the slot's inner map): an access that has begun goes on with
//! the policy that it began with.

use std::collections::BTreeMap;
use std::os::fd::{AsFd, AsRawFd};
use std::sync::atomic::Ordering;

use libbpf_rs::{MapCore, MapFlags, MapHandle, MapType};

use crate::abi::{self, flags};
use crate::error::{Error, Result, bpf};
use crate::mapping::{Mapping, bytes_of, from_bytes};
use crate::skel::types;
use crate::{Identity, Sensor};

/// One cell of a compressed automaton, numbers relative to its first cell; `0xffff_ffff` in `check` is unused.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Cell {
    pub check: u32,
    pub next: u32,
    pub default: u32,
    pub accept: u32,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum PortSet {
    None,
    All,
    /// Index into [`Tables::ports`].
    Set(u32),
}

/// A bit for each port.
pub type Ports = [u64; 1024];

#[derive(Clone, Copy, Debug)]
pub struct Network {
    pub listen: bool,
    /// IPv4 as `::ffff:a.b.c.d`.
    pub addr: [u8; 16],
    /// 0 to 128
    pub len: u8,
    pub tcp: PortSet,
    pub udp: PortSet,
}

#[derive(Clone, Copy, Debug)]
pub struct Hash {
    pub sha256: [u8; 32],
    pub allow: bool,
}

/// A compiled policy as the kernel's tables.
pub struct Tables<'a> {
    pub cells: &'a [Cell],
    pub start: u32,
    /// [`abi::flags`], without `HAS_IDENTITIES` and `HAS_HASHES`, which follow from the lists.
    pub flags: u32,
    pub privileges: u32,
    /// Who judges its executions, by what: part of every remembered verdict.
    pub judge: u32,
    pub networks: &'a [Network],
    pub ports: &'a [&'a Ports],
    pub hashes: &'a [Hash],
    pub identities: &'a [(Identity, u32)],
}

struct Installed {
    extent: (u32, u32),
    networks: Vec<types::lictor_network_key>,
    ports: Vec<u32>,
    hashes: Vec<types::lictor_hash_key>,
    identities: Vec<types::lictor_identity_key>,
    /// Kept open: `policies` holds a reference too, this one shows it to the guard.
    _inner: MapHandle,
}

/// What is installed, by policy number.
pub struct PolicyStore {
    installed: BTreeMap<u32, Installed>,
    in_force: BTreeMap<u32, u32>,
    free: Vec<(u32, u32)>,
    capacity: u32,
    next_policy: u32,
    next_ports: u32,
}

const UNUSED: u32 = 0xffff_ffff;
const MAPPED_PREFIX_BITS: u32 = 64;

impl PolicyStore {
    /// Starts from what the kernel holds: nothing, or the policies of sessions that an earlier daemon left in force
    /// (`slots` are theirs). Everything else in the tables is swept.
    pub fn open(sensor: &Sensor, slots: &[u32]) -> Result<PolicyStore> {
        let capacity = sensor.map("cells")?.max_entries();
        let mut store = PolicyStore {
            installed: BTreeMap::new(),
            in_force: BTreeMap::new(),
            free: vec![(0, capacity)],
            capacity,
            next_policy: 1,
            next_ports: 1,
        };
        let policies = sensor.map("policies")?;
        for slot in slots {
            let Some(id) = policies.lookup(&slot.to_ne_bytes(), MapFlags::ANY).map_err(bpf("cannot read a policy"))?
            else {
                continue;
            };
            let id = from_bytes::<u32>(&id).ok_or(Error::Verify("policies"))?;
            let inner = MapHandle::from_map_id(id).map_err(bpf("cannot open a policy in force"))?;
            let value =
                inner.lookup(&0u32.to_ne_bytes(), MapFlags::ANY).map_err(bpf("cannot read a policy in force"))?;
            let policy: types::lictor_policy =
                value.and_then(|bytes| from_bytes(&bytes)).ok_or(Error::Verify("policies"))?;
            let extent = (policy.dead, policy.cells);
            store.take_extent(extent)?;
            store.next_policy = store.next_policy.max(policy.id + 1);
            store.in_force.insert(*slot, policy.id);
            store.installed.insert(
                policy.id,
                Installed {
                    extent,
                    networks: vec![],
                    ports: vec![],
                    hashes: vec![],
                    identities: vec![],
                    _inner: inner,
                },
            );
        }
        store.sweep(sensor)?;
        Ok(store)
    }

    /// Attributes every table entry to its installed policy, and deletes what belongs to none.
    fn sweep(&mut self, sensor: &Sensor) -> Result<()> {
        let mut used_ports: Vec<u32> = Vec::new();
        let networks = sensor.map("networks")?;
        for key in networks.keys().collect::<Vec<_>>() {
            let Some(entry) = from_bytes::<types::lictor_network_key>(&key) else { continue };
            match self.installed.get_mut(&entry.policy) {
                Some(installed) => {
                    installed.networks.push(entry);
                    let value = networks.lookup(&key, MapFlags::ANY).map_err(bpf("cannot read `networks`"))?;
                    if let Some(value) = value.and_then(|bytes| from_bytes::<types::lictor_network>(&bytes)) {
                        for set in [value.tcp, value.udp] {
                            if set != 0 && set != UNUSED && !installed.ports.contains(&set) {
                                installed.ports.push(set);
                                used_ports.push(set);
                            }
                        }
                    }
                }
                None => networks.delete(&key).map_err(bpf("cannot sweep `networks`"))?,
            }
        }
        let ports = sensor.map("ports")?;
        for key in ports.keys().collect::<Vec<_>>() {
            let Some(set) = from_bytes::<u32>(&key) else { continue };
            if used_ports.contains(&set) {
                self.next_ports = self.next_ports.max(set + 1);
            } else {
                ports.delete(&key).map_err(bpf("cannot sweep `ports`"))?;
            }
        }
        let hashes = sensor.map("hashes")?;
        for key in hashes.keys().collect::<Vec<_>>() {
            let Some(entry) = from_bytes::<types::lictor_hash_key>(&key) else { continue };
            match self.installed.get_mut(&entry.policy) {
                Some(installed) => installed.hashes.push(entry),
                None => hashes.delete(&key).map_err(bpf("cannot sweep `hashes`"))?,
            }
        }
        let identities = sensor.map("identities")?;
        for key in identities.keys().collect::<Vec<_>>() {
            let Some(entry) = from_bytes::<types::lictor_identity_key>(&key) else { continue };
            match self.installed.get_mut(&entry.policy) {
                Some(installed) => installed.identities.push(entry),
                None if entry.policy == 0 => {}
                None => identities.delete(&key).map_err(bpf("cannot sweep `identities`"))?,
            }
        }
        Ok(())
    }

    /// Installs a policy for a session and switches to it. Returns the policy's number. On an error the policy that
    /// was in force stays.
    pub fn install(&mut self, sensor: &Sensor, slot: u32, session: u64, tables: &Tables<'_>) -> Result<u32> {
        let id = self.next_policy;
        self.next_policy =
            self.next_policy.checked_add(1).ok_or_else(|| Error::Full("policy numbers ran out".into()))?;
        let mut parts = Parts::default();
        match self.fill(sensor, id, session, tables, &mut parts) {
            Ok(inner) => {
                let fd = inner.as_fd().as_raw_fd();
                let switched = sensor
                    .map("policies")?
                    .update(&slot.to_ne_bytes(), &fd.to_ne_bytes(), MapFlags::ANY)
                    .map_err(bpf("cannot switch the policy"));
                if let Err(error) = switched {
                    self.discard(sensor, parts);
                    return Err(error);
                }
                // The kernel returns from the switch only when no program runs any more that saw the old pointer.
                let old = self.in_force.insert(slot, id);
                let Parts { extent, networks, ports, hashes, identities } = parts;
                self.installed.insert(id, Installed { extent, networks, ports, hashes, identities, _inner: inner });
                if let Some(old) = old {
                    self.uninstall(sensor, old);
                }
                Ok(id)
            }
            Err(error) => {
                self.discard(sensor, parts);
                Err(error)
            }
        }
    }

    /// Takes a session's policy away: whoever still carries its label is denied everything.
    pub fn remove(&mut self, sensor: &Sensor, slot: u32) -> Result<()> {
        sensor.map("policies")?.delete(&slot.to_ne_bytes()).or_else(|error| match error.kind() {
            libbpf_rs::ErrorKind::NotFound => Ok(()),
            _ => Err(bpf("cannot take a policy away")(error)),
        })?;
        if let Some(id) = self.in_force.remove(&slot) {
            self.uninstall(sensor, id);
        }
        Ok(())
    }

    fn fill(
        &mut self,
        sensor: &Sensor,
        id: u32,
        session: u64,
        tables: &Tables<'_>,
        parts: &mut Parts,
    ) -> Result<MapHandle> {
        let len = tables.cells.len() as u32;
        parts.extent = self.allocate(len)?;
        let base = parts.extent.0;
        let map = sensor.map("cells")?;
        let mapping = Mapping::new(map.as_fd(), self.capacity as usize * size_of::<types::lictor_cell>(), "cells")?;
        let offset = base as usize * size_of::<types::lictor_cell>();
        let relocated = |cell: &Cell| {
            [
                if cell.check == UNUSED { UNUSED } else { cell.check + base },
                if cell.check == UNUSED { 0 } else { cell.next + base },
                cell.default + base,
                cell.accept,
            ]
        };
        mapping.write_words(offset, tables.cells.iter().flat_map(relocated));
        let wrong = tables
            .cells
            .iter()
            .flat_map(relocated)
            .enumerate()
            .any(|(index, word)| mapping.u32(offset + index * 4).load(Ordering::Relaxed) != word);
        if wrong {
            return Err(Error::Verify("cells"));
        }
        drop(mapping);

        let first_set = self.next_ports;
        let ports = sensor.map("ports")?;
        for (index, set) in tables.ports.iter().enumerate() {
            let key = first_set + index as u32;
            let value = types::lictor_ports { bits: **set };
            put(ports, "ports", &key, &value)?;
            parts.ports.push(key);
        }
        self.next_ports = first_set + tables.ports.len() as u32;
        let number = |set: PortSet| match set {
            PortSet::None => 0,
            PortSet::All => UNUSED,
            PortSet::Set(index) => first_set + index,
        };
        let networks = sensor.map("networks")?;
        for network in tables.networks {
            let key = types::lictor_network_key {
                prefixlen: MAPPED_PREFIX_BITS + u32::from(network.len),
                policy: id,
                direction: u32::from(network.listen),
                addr: network.addr,
            };
            let value = types::lictor_network { tcp: number(network.tcp), udp: number(network.udp) };
            put(networks, "networks", &key, &value)?;
            parts.networks.push(key);
        }
        let hashes = sensor.map("hashes")?;
        for (index, hash) in tables.hashes.iter().enumerate() {
            let key = types::lictor_hash_key { policy: id, sha256: hash.sha256 };
            let right = if hash.allow { abi::rights::EXEC } else { abi::rights::EXEC_DENY };
            put(hashes, "hashes", &key, &(right | (index as u32) << 8))?;
            parts.hashes.push(key);
        }
        parts.identities = put_identities(sensor, id, tables.identities)?;

        let mut flags = tables.flags;
        if !tables.hashes.is_empty() {
            flags |= flags::HAS_HASHES;
        }
        if !tables.identities.is_empty() {
            flags |= flags::HAS_IDENTITIES;
        }
        let policy = types::lictor_policy {
            id,
            start: tables.start + base,
            dead: base,
            flags,
            privileges: tables.privileges,
            cells: len,
            judge: tables.judge,
            pad: 0,
            session,
        };
        let options = libbpf_sys::bpf_map_create_opts {
            sz: size_of::<libbpf_sys::bpf_map_create_opts>() as _,
            ..Default::default()
        };
        let inner = MapHandle::create(
            MapType::Array,
            Some("lictor_policy"),
            4,
            size_of::<types::lictor_policy>() as u32,
            1,
            &options,
        )
        .map_err(bpf("cannot make a policy's map"))?;
        put(&inner, "policies", &0u32, &policy)?;
        inner.freeze().map_err(bpf("cannot freeze a policy"))?;
        sensor.mark_own_map(&inner)?;
        Ok(inner)
    }

    /// First fit; neighbours are joined when they are freed.
    fn allocate(&mut self, len: u32) -> Result<(u32, u32)> {
        let Some(index) = self.free.iter().position(|(_, size)| *size >= len) else {
            let free: u32 = self.free.iter().map(|(_, size)| size).sum();
            return Err(Error::Full(format!(
                "the automaton needs {len} cells and {free} of {} are free: end sessions, use fewer or simpler \
                 patterns, or raise `automaton_cells` in lictord.yaml",
                self.capacity
            )));
        };
        let (start, size) = self.free[index];
        if size == len {
            self.free.remove(index);
        } else {
            self.free[index] = (start + len, size - len);
        }
        Ok((start, len))
    }

    fn take_extent(&mut self, (start, len): (u32, u32)) -> Result<()> {
        let end = start.checked_add(len).ok_or(Error::Verify("cells"))?;
        let index = self
            .free
            .iter()
            .position(|(free, size)| *free <= start && end <= free + size)
            .ok_or(Error::Verify("cells"))?;
        let (free, size) = self.free.remove(index);
        for part in [(end, free + size - end), (free, start - free)] {
            if part.1 > 0 {
                self.free.insert(index, part);
            }
        }
        Ok(())
    }

    fn release(&mut self, (start, len): (u32, u32)) {
        if len == 0 {
            return;
        }
        let index = self.free.partition_point(|(free, _)| *free < start);
        self.free.insert(index, (start, len));
        let mut joined: Vec<(u32, u32)> = Vec::with_capacity(self.free.len());
        for (start, len) in self.free.drain(..) {
            match joined.last_mut() {
                Some((before, size)) if *before + *size == start => *size += len,
                _ => joined.push((start, len)),
            }
        }
        self.free = joined;
    }

    fn uninstall(&mut self, sensor: &Sensor, id: u32) {
        if let Some(Installed { extent, networks, ports, hashes, identities, .. }) = self.installed.remove(&id) {
            self.discard(sensor, Parts { extent, networks, ports, hashes, identities });
        }
    }

    /// Deletes entries that nothing refers to any more. One that cannot be deleted costs memory until the next start
    /// sweeps it, and opens nothing: its policy's number is never used again.
    fn discard(&mut self, sensor: &Sensor, parts: Parts) {
        fn delete<K: Copy>(sensor: &Sensor, map: &'static str, keys: &[K]) {
            for key in keys {
                let deleted = sensor.map(map).and_then(|map| map.delete(bytes_of(key)).map_err(bpf("delete")));
                if let Err(error) = deleted {
                    tracing::warn!("an entry of `{map}` stays behind: {error}");
                }
            }
        }
        delete(sensor, "networks", &parts.networks);
        delete(sensor, "ports", &parts.ports);
        delete(sensor, "hashes", &parts.hashes);
        delete(sensor, "identities", &parts.identities);
        self.release(parts.extent);
    }
}

#[derive(Default)]
struct Parts {
    extent: (u32, u32),
    networks: Vec<types::lictor_network_key>,
    ports: Vec<u32>,
    hashes: Vec<types::lictor_hash_key>,
    identities: Vec<types::lictor_identity_key>,
}

impl Sensor {
    /// Objects that mean the same to every session: the dynamic loaders ([`abi::rights::EXEC`]).
    pub fn set_common_identities(&self, objects: &[(Identity, u32)]) -> Result<()> {
        put_identities(self, 0, objects).map(|_| ())
    }

    /// Takes back what [`Sensor::set_common_identities`] said of objects with any of these marks: an earlier daemon's
    /// program is not ours for ever.
    pub fn forget_common_identities(&self, marks: u32) -> Result<()> {
        let map = self.map("identities")?;
        for key in map.keys().collect::<Vec<_>>() {
            let common = from_bytes::<types::lictor_identity_key>(&key).is_some_and(|key| key.policy == 0);
            if !common {
                continue;
            }
            let value = map.lookup(&key, MapFlags::ANY).map_err(bpf("cannot read `identities`"))?;
            if value.and_then(|value| from_bytes::<u32>(&value)).is_some_and(|rights| rights & marks != 0) {
                map.delete(&key).map_err(bpf("cannot take an identity back"))?;
            }
        }
        Ok(())
    }

    fn mark_own_map(&self, map: &MapHandle) -> Result<()> {
        let id = map.info().map_err(bpf("cannot ask for a map's id"))?.info.id;
        put(self.map("own_objects")?, "own_objects", &(1u64 << 32 | u64::from(id)), &1u32)
    }
}

fn put_identities(
    sensor: &Sensor,
    policy: u32,
    objects: &[(Identity, u32)],
) -> Result<Vec<types::lictor_identity_key>> {
    let map = sensor.map("identities")?;
    let bloom_map = sensor.map("identity_bloom")?;
    let words = bloom_map.max_entries();
    let bloom = Mapping::new(bloom_map.as_fd(), words as usize * 8, "identity_bloom")?;
    let mut keys = Vec::with_capacity(objects.len());
    for (object, rights) in objects {
        // As in path.bpf.h, identity_of.
        let hash = (object.ino ^ (object.ino >> 16)) as u32;
        bloom.u64(((hash >> 6) & (words - 1)) as usize * 8).fetch_or(1 << (hash & 63), Ordering::AcqRel);
        let key = types::lictor_identity_key {
            ino: object.ino,
            policy,
            dev: object.dev,
            generation: object.generation,
            pad: 0,
        };
        let before = map
            .lookup(bytes_of(&key), MapFlags::ANY)
            .map_err(bpf("cannot read `identities`"))?
            .and_then(|bytes| from_bytes::<u32>(&bytes))
            .unwrap_or(0);
        put(map, "identities", &key, &(before | rights))?;
        keys.push(key);
    }
    keys.sort_unstable_by_key(|key| (key.ino, key.dev, key.generation));
    keys.dedup_by_key(|key| (key.ino, key.dev, key.generation));
    Ok(keys)
}

/// Writes an entry and reads it back.
fn put<K: Copy, V: Copy>(map: &impl MapCore, name: &'static str, key: &K, value: &V) -> Result<()> {
    let (key, value) = (bytes_of(key), bytes_of(value));
    map.update(key, value, MapFlags::ANY).map_err(|cause| match cause.kind() {
        // E2BIG and ENOSPC: the map holds as many entries as it was made for.
        _ if cause.to_string().contains("No space left") || cause.to_string().contains("too long") => {
            Error::Full(format!("the kernel table `{name}` is full: end sessions or use fewer rules"))
        }
        _ => Error::Bpf { what: format!("cannot write the kernel table `{name}`"), cause },
    })?;
    match map.lookup(key, MapFlags::ANY).map_err(bpf(format!("cannot read `{name}` back")))? {
        Some(read) if read == value => Ok(()),
        _ => Err(Error::Verify(name)),
    }
}
