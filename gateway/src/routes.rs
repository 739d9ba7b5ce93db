// SPDX-License-Identifier: Apache-2.0 OR MIT
//! The routes to instances: which are there, until when, who uses them. Pure but for a lock; time is always given.

use std::{
    collections::{BTreeMap, HashMap, HashSet},
    fmt,
    hash::Hash,
    sync::{Arc, Mutex, MutexGuard, PoisonError},
    time::Duration,
};

use alloy::primitives::Address;
use mandate_acme::name::DomainName;
use mandate_model::wire::gateway as wire;
use thiserror::Error;

use crate::facts::Facts;

mod reported;
mod route;

pub use reported::Reported;
pub use route::{Candidate, ConnectionGuard, Ingress, Route, RouteId};

/// Routes that one instance may have at once: one per key and place that it registered.
pub const MAX_PER_INSTANCE: usize = 4;
/// Routes that the gateway holds at once.
pub const MAX_ROUTES: usize = 16_384;

/// Why a route was not made.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Error)]
pub enum RouteError {
    /// The instance id is taken: it is the guest's own claim, so the first holder keeps it.
    #[error("instance id {instance} is in use by another app until its routes end; choose another seed")]
    InstanceTaken {
        /// The claimed id.
        instance: Address,
    },
    /// The instance claims an app's id as its own.
    #[error("instance id {instance} is the id of an app that has routes; choose another seed")]
    InstanceIsAnApp {
        /// The claimed id.
        instance: Address,
    },
    /// The table is full.
    #[error("the gateway holds its limit of {MAX_ROUTES} routes; try again later or at another gateway")]
    Full,
}

/// Until when a route stands.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Term {
    /// When the instance must have registered again.
    pub lease: Duration,
    /// When the verdict ends by the passing of time alone.
    pub allowed: Duration,
}

impl Term {
    fn end(self) -> Duration {
        self.lease.min(self.allowed)
    }
}

struct Slot {
    route: Arc<Route>,
    term: Term,
}

#[derive(Default)]
struct Table {
    slots: BTreeMap<RouteId, Slot>,
    by_app: HashMap<Address, Vec<RouteId>>,
    by_instance: HashMap<Address, Vec<RouteId>>,
    by_domain: HashMap<DomainName, Vec<RouteId>>,
    next: u64,
    turn: usize,
}

/// The table of routes.
#[derive(Default)]
pub struct Routes(Mutex<Table>);

impl fmt::Debug for Routes {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Routes").field("len", &self.len()).finish()
    }
}

impl Routes {
    fn table(&self) -> MutexGuard<'_, Table> {
        // No method leaves the table half changed, so a panic elsewhere is no reason to stop routing.
        self.0.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// Makes the route, or lengthens the term of the same one.
    pub fn insert(&self, mut candidate: Candidate, term: Term) -> Result<Arc<Route>, RouteError> {
        let mut table = self.table();
        table.check(&candidate)?;
        if let Some(slot) = table.same(&candidate) {
            slot.term = term;
            slot.route.report(std::mem::take(&mut candidate.certificates));
            return Ok(Arc::clone(&slot.route));
        }
        table.make_room(candidate.facts.instance);
        if table.slots.len() >= MAX_ROUTES {
            return Err(RouteError::Full);
        }
        Ok(table.add(candidate, term))
    }

    /// Live routes of an app or else of an instance, in the order in which to try them: those that failed last come last,
    /// and among equals the one with the fewest connections comes first, each in turn. None that is draining is there.
    pub fn candidates(&self, id: Address, now: Duration) -> Vec<Arc<Route>> {
        let mut table = self.table();
        let mut found = table.live(table.by_app.get(&id), now);
        if found.is_empty() {
            found = table.live(table.by_instance.get(&id), now);
        }
        table.order(found)
    }

    /// Live routes to the instances that end the TLS of `name` themselves, in the order in which to try them.
    pub fn ingress(&self, name: &DomainName, now: Duration) -> Vec<Arc<Route>> {
        let mut table = self.table();
        let mut found = table.live(table.by_domain.get(name), now);
        found.retain(|route| route.ingress(name).is_some());
        table.order(found)
    }

    /// Stops leading `name` to instances of `app`, and ends the connections to it.
    pub fn remove_ingress(&self, name: &DomainName, app: Address) {
        for route in self.of_app(app) {
            if let Some(ingress) = route.ingress(name) {
                ingress.ended.cancel();
            }
        }
    }

    /// The domains that instances serve themselves, each with its app.
    pub fn ingress_domains(&self) -> Vec<(DomainName, Address)> {
        let table = self.table();
        let routes = table.slots.values().map(|slot| &slot.route);
        let all = routes.flat_map(|route| {
            let live = route.ingress.iter().filter(|ingress| !ingress.ended.is_cancelled());
            live.map(|ingress| (ingress.name.clone(), route.facts.app))
        });
        all.collect::<HashSet<_>>().into_iter().collect()
    }

    /// The routes of one app, expired ones too.
    pub fn of_app(&self, app: Address) -> Vec<Arc<Route>> {
        let table = self.table();
        let ids = table.by_app.get(&app).into_iter().flatten();
        ids.filter_map(|id| table.slots.get(id)).map(|slot| Arc::clone(&slot.route)).collect()
    }

    /// Every route.
    pub fn all(&self) -> Vec<Arc<Route>> {
        self.table().slots.values().map(|slot| Arc::clone(&slot.route)).collect()
    }

    /// Every route as the API shows it.
    pub fn listing(&self) -> Vec<wire::Route> {
        let shown = |route: &Arc<Route>| wire::Route {
            app: route.facts.app,
            instance: route.facts.instance,
            code_hash: route.facts.code_hash,
            upstream: route.upstream.to_string(),
            connections: route.connections(),
            failing: route.is_failing(),
            draining: route.is_draining(),
            domains: route.ingress.iter().map(|ingress| ingress.name.to_string()).collect(),
        };
        self.table().slots.values().map(|slot| shown(&slot.route)).collect()
    }

    /// Ends a route and its connections. False when it had ended before.
    pub fn remove(&self, id: RouteId) -> bool {
        self.table().remove(id)
    }

    /// Sets when the route's verdict ends, after it was judged anew.
    pub fn set_allowed(&self, id: RouteId, allowed: Duration) {
        if let Some(slot) = self.table().slots.get_mut(&id) {
            slot.term.allowed = allowed;
        }
    }

    /// Ends the routes whose term is over and gives them.
    pub fn expire(&self, now: Duration) -> Vec<Arc<Route>> {
        let mut table = self.table();
        let over = table.slots.values().filter(|slot| slot.term.end() <= now);
        let over: Vec<_> = over.map(|slot| Arc::clone(&slot.route)).collect();
        for route in &over {
            table.remove(route.id);
        }
        over
    }

    /// When the next route ends.
    pub fn next_end(&self) -> Option<Duration> {
        self.table().slots.values().map(|slot| slot.term.end()).min()
    }

    /// The apps that have routes.
    pub fn apps(&self) -> HashSet<Address> {
        self.table().by_app.keys().copied().collect()
    }

    /// How many there are.
    pub fn len(&self) -> usize {
        self.table().slots.len()
    }

    /// Whether there is none.
    pub fn is_empty(&self) -> bool {
        self.len() == 0
    }
}

impl Table {
    fn check(&self, candidate: &Candidate) -> Result<(), RouteError> {
        let Facts { app, instance, .. } = candidate.facts;
        if instance != app && self.by_app.contains_key(&instance) {
            return Err(RouteError::InstanceIsAnApp { instance });
        }
        let mut holders =
            self.by_instance.get(&instance).into_iter().flatten().filter_map(|id| self.slots.get(id));
        match holders.any(|slot| slot.route.facts.app != app) {
            true => Err(RouteError::InstanceTaken { instance }),
            false => Ok(()),
        }
    }

    fn same(&mut self, candidate: &Candidate) -> Option<&mut Slot> {
        let ids = self.by_instance.get(&candidate.facts.instance)?;
        let id =
            ids.iter().find(|id| self.slots.get(id).is_some_and(|slot| slot.route.is_same(candidate)))?;
        self.slots.get_mut(id)
    }

    /// Of an instance's routes, a failing one gives way first, then the one that ends first.
    fn make_room(&mut self, instance: Address) {
        let ids = self.by_instance.get(&instance).map_or(&[][..], Vec::as_slice);
        if ids.len() < MAX_PER_INSTANCE {
            return;
        }
        let slots = ids.iter().filter_map(|id| self.slots.get(id));
        let least = slots.min_by_key(|slot| (!slot.route.is_failing(), slot.term.end(), slot.route.id));
        if let Some(id) = least.map(|slot| slot.route.id) {
            self.remove(id);
        }
    }

    fn add(&mut self, candidate: Candidate, term: Term) -> Arc<Route> {
        let id = RouteId(self.next);
        self.next += 1;
        self.by_app.entry(candidate.facts.app).or_default().push(id);
        self.by_instance.entry(candidate.facts.instance).or_default().push(id);
        for name in &candidate.ingress {
            self.by_domain.entry(name.clone()).or_default().push(id);
        }
        let route = Arc::new(Route::new(id, candidate));
        self.slots.insert(id, Slot { route: Arc::clone(&route), term });
        self.count();
        route
    }

    fn remove(&mut self, id: RouteId) -> bool {
        let Some(slot) = self.slots.remove(&id) else { return false };
        slot.route.ended.cancel();
        forget(&mut self.by_app, slot.route.facts.app, id);
        forget(&mut self.by_instance, slot.route.facts.instance, id);
        for ingress in &slot.route.ingress {
            forget(&mut self.by_domain, ingress.name.clone(), id);
        }
        self.count();
        true
    }

    fn live(&self, ids: Option<&Vec<RouteId>>, now: Duration) -> Vec<Arc<Route>> {
        let slots = ids.into_iter().flatten().filter_map(|id| self.slots.get(id));
        let live = slots.filter(|slot| now < slot.term.end() && !slot.route.is_draining());
        live.map(|slot| Arc::clone(&slot.route)).collect()
    }

    fn order(&mut self, mut found: Vec<Arc<Route>>) -> Vec<Arc<Route>> {
        if found.len() > 1 {
            self.turn = self.turn.wrapping_add(1);
            let start = self.turn % found.len();
            found.rotate_left(start);
            found.sort_by_cached_key(|route| (route.is_failing(), route.connections()));
        }
        found
    }

    fn count(&self) {
        metrics::gauge!("mandate_gateway_routes").set(self.slots.len() as f64);
    }
}

fn forget<K: Eq + Hash>(index: &mut HashMap<K, Vec<RouteId>>, key: K, id: RouteId) {
    if let Some(ids) = index.get_mut(&key) {
        ids.retain(|other| *other != id);
        if ids.is_empty() {
            index.remove(&key);
        }
    }
}

#[cfg(test)]
mod tests;
