//! Applies rule sets as elements of nftables' maps, each change as one netlink transaction.
use super::tool::Tool;
use super::{ProxyError, ServiceProxy, forget_flows};
use crate::netfilter::{Netfilter, NetfilterError, ruleset};
use async_trait::async_trait;
use logic::proxy::RuleSet;
use logic::proxy::flows::Stale;
use logic::proxy::iptables::passage;
use logic::proxy::nftables::program::{self, Chain, Options};
use logic::proxy::nftables::{By, Elements, Map, State, TABLE_ANY, table};
use parking_lot::Mutex;
use std::net::Ipv4Addr;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};

impl From<NetfilterError> for ProxyError {
    fn from(error: NetfilterError) -> ProxyError {
        ProxyError(format!("nftables: {error}"))
    }
}

/// The nftables implementation. One instance for each cluster on a host: it owns the table with the cluster's name.
pub struct NftablesProxy {
    kernel: Arc<Mutex<Kernel>>,
    tool: Tool,
    /// What an earlier run left to iptables has been looked at.
    taken_over: AtomicBool,
}

impl NftablesProxy {
    /// `cluster`: whose table this is. `pod_network`: the bridge network of the pods, such as `172.17.0.0/16`.
    pub fn new(cluster: &str, pod_network: &str) -> NftablesProxy {
        let masquerade_within = network(pod_network).filter(|_| super::bridged_packets_bypass());
        let options = Options { table: table(cluster), masquerade_within };
        let kernel = Kernel { options, netfilter: None, applied: None };
        NftablesProxy { kernel: Arc::new(Mutex::new(kernel)), tool: Tool::new(cluster), taken_over: AtomicBool::new(false) }
    }

    /// Netlink answers within the call, but a large transaction takes its time: not on a thread that serves others.
    async fn with_kernel<T: Send + 'static>(
        &self,
        work: impl FnOnce(&mut Kernel) -> Result<T, NetfilterError> + Send + 'static,
    ) -> Result<T, ProxyError> {
        let kernel = self.kernel.clone();
        let outcome = tokio::task::spawn_blocking(move || work(&mut kernel.lock())).await;
        Ok(outcome.map_err(|e| ProxyError(e.to_string()))??)
    }

    /// The one thing that our table cannot do: let packets pass where Docker drops them.
    async fn ensure_passage(&self) -> Result<(), ProxyError> {
        let (jumps, chains) = passage(&self.tool.prefix);
        for (chain, wanted) in &chains {
            if self.tool.rules(chain).await.as_ref() != Some(wanted) {
                self.tool.replace([chain.clone()].into(), &chains).await?;
            }
        }
        self.tool.ensure(&jumps).await
    }

    async fn take_over(&self) -> Result<(), ProxyError> {
        // Docker needs iptables as well: where it is absent, nothing is dropped for lack of a rule.
        if Tool::is_installed() {
            let (jumps, chains) = passage(&self.tool.prefix);
            self.tool.remove_except(&jumps, &chains).await?;
            self.ensure_passage().await?;
        }
        if self.with_kernel(Kernel::has_others).await? || Tool::is_installed() && self.tool.has_others().await {
            super::warn_of_others();
        }
        Ok(())
    }
}

#[async_trait]
impl ServiceProxy for NftablesProxy {
    async fn apply(&self, rules: &RuleSet) -> Result<(), ProxyError> {
        let rules = rules.clone();
        let stale = self.with_kernel(move |kernel| kernel.apply(&rules)).await?;
        if !self.taken_over.load(Ordering::Acquire) {
            // Only now: services are served all the while.
            self.take_over().await?;
            self.taken_over.store(true, Ordering::Release);
        }
        forget_flows(stale).await;
        Ok(())
    }

    async fn check(&self) -> Result<(), ProxyError> {
        self.with_kernel(Kernel::check).await?;
        if self.taken_over.load(Ordering::Acquire) && Tool::is_installed() {
            self.ensure_passage().await?;
        }
        Ok(())
    }

    async fn remove_all(&self) -> Result<(), ProxyError> {
        self.with_kernel(Kernel::remove).await?;
        self.taken_over.store(false, Ordering::Release);
        if Tool::is_installed() {
            self.tool.remove_except(&[], &Default::default()).await?;
        }
        Ok(())
    }
}

/// Why this mode cannot be used here, if it cannot.
pub fn unavailable() -> Option<String> {
    Netfilter::open().and_then(|mut netfilter| netfilter.generation()).err().map(|error| error.to_string())
}

/// Removes a cluster's table, if there is one.
pub(super) async fn remove_table(cluster: &str) -> Result<(), ProxyError> {
    NftablesProxy::new(cluster, "").with_kernel(Kernel::remove).await
}

/// Address and bits of a network such as `172.17.0.0/16`.
fn network(text: &str) -> Option<(Ipv4Addr, u8)> {
    let (address, bits) = text.split_once('/')?;
    Some((address.parse().ok()?, bits.parse().ok().filter(|bits| *bits <= 32)?))
}

/// What the kernel holds of ours, and the connection to it.
struct Kernel {
    options: Options,
    netfilter: Option<Netfilter>,
    /// `None` until the first change has been made, and when nobody knows.
    applied: Option<Applied>,
}

struct Applied {
    state: State,
    /// The last of anybody's transactions that cannot have touched ours; `None` after one that nobody has looked at.
    generation: Option<u32>,
    /// Chains and rules as the kernel shows them.
    structure: Vec<Vec<u8>>,
}

impl Kernel {
    fn netfilter(&mut self) -> Result<&mut Netfilter, NetfilterError> {
        match self.netfilter {
            Some(ref mut open) => Ok(open),
            None => Ok(self.netfilter.insert(Netfilter::open()?)),
        }
    }

    fn apply(&mut self, rules: &RuleSet) -> Result<Stale, NetfilterError> {
        let Some(mut applied) = self.applied.take() else {
            self.replace(rules)?;
            return Ok(Stale::at_start(rules));
        };
        let old = applied.state.set().clone();
        match self.change(&mut applied, rules) {
            Ok(()) => self.applied = Some(applied),
            Err(error) => {
                // Somebody has taken away what this change builds on.
                tracing::warn!(%error, "service rules were changed by somebody else; writing them again");
                self.netfilter = None;
                self.replace(rules)?;
            }
        }
        Ok(Stale::after(&old, rules))
    }

    fn change(&mut self, applied: &mut Applied, rules: &RuleSet) -> Result<(), NetfilterError> {
        let difference = applied.state.advance(rules);
        if difference.is_empty() {
            return Ok(());
        }
        let table = self.options.table.clone();
        let mut messages = Vec::new();
        let chains: Vec<Chain> = difference.picks.iter().map(|pick| program::pick(*pick)).collect();
        messages.extend(chains.iter().map(|chain| ruleset::add_chain(&table, chain)));
        messages.extend(chains.iter().flat_map(|chain| chain.rules.iter().map(|rule| ruleset::add_rule(&table, &chain.name, rule))));
        messages.extend(ruleset::delete_elements(&table, &difference.delete));
        messages.extend(ruleset::add_elements(&table, &difference.add));
        let netfilter = self.netfilter()?;
        netfilter.commit(messages)?;
        let now = netfilter.generation()?;
        // One more than the last is ours; if there were others between, they are looked at by the next check.
        applied.generation = applied.generation.filter(|last| last.wrapping_add(1) == now).map(|_| now);
        if !chains.is_empty() {
            applied.structure = netfilter.structure(&table)?;
        }
        Ok(())
    }

    /// The whole table anew, in one transaction with the removal of what was there; who sticks to whom is kept.
    fn replace(&mut self, rules: &RuleSet) -> Result<(), NetfilterError> {
        let mut state = State::default();
        let difference = state.advance(rules);
        let table = self.options.table.clone();
        let mut chains = program::base(&self.options);
        chains.extend(difference.picks.iter().map(|pick| program::pick(*pick)));
        let netfilter = self.netfilter()?;
        let mut messages = vec![ruleset::add_table(&table), ruleset::delete_table(&table), ruleset::add_table(&table)];
        messages.extend(chains.iter().map(|chain| ruleset::add_chain(&table, chain)));
        messages.extend((1..).zip(Map::ALL).map(|(id, map)| ruleset::add_map(&table, map, id)));
        messages.extend(chains.iter().flat_map(|chain| chain.rules.iter().map(|rule| ruleset::add_rule(&table, &chain.name, rule))));
        messages.extend(ruleset::add_elements(&table, &difference.add));
        for by in [By::Address, By::NodePort] {
            let map = Map::Affinity(by);
            // Nothing is remembered where there is no such table.
            let mut clients = netfilter.remembered(&table, map).unwrap_or_default();
            clients.retain(|client| state.holds(by, &client.key, &client.value));
            messages.extend(ruleset::remember(&table, map, &clients));
        }
        netfilter.commit(messages)?;
        // Read afterwards: a transaction of somebody else in between is looked at by the next check.
        let structure = netfilter.structure(&table)?;
        self.applied = Some(Applied { state, generation: None, structure });
        Ok(())
    }

    fn check(&mut self) -> Result<(), NetfilterError> {
        let Some(applied) = self.applied.take() else { return Ok(()) };
        let now = self.netfilter()?.generation()?;
        let whole = applied.generation == Some(now) || self.is_whole(&applied)?;
        if !whole {
            tracing::warn!("service rules were changed by somebody else; writing them again");
            return self.replace(&applied.state.set().clone());
        }
        self.applied = Some(Applied { generation: Some(now), ..applied });
        Ok(())
    }

    fn is_whole(&mut self, applied: &Applied) -> Result<bool, NetfilterError> {
        let table = self.options.table.clone();
        let netfilter = self.netfilter()?;
        if netfilter.structure(&table)? != applied.structure {
            return Ok(false);
        }
        let mut found = Elements::new();
        for map in Map::ALL.into_iter().filter(|map| !matches!(map, Map::Affinity(_))) {
            match netfilter.elements(&table, map, &mut found) {
                Err(error) if error.is_absent() => return Ok(false),
                outcome => outcome?,
            }
        }
        Ok(found == applied.state.elements())
    }

    fn remove(&mut self) -> Result<(), NetfilterError> {
        self.applied = None;
        let table = self.options.table.clone();
        let netfilter = self.netfilter()?;
        if !netfilter.tables()?.contains(&table) {
            return Ok(());
        }
        netfilter.commit([ruleset::delete_table(&table)])
    }

    fn has_others(&mut self) -> Result<bool, NetfilterError> {
        let own = self.options.table.clone();
        Ok(self.netfilter()?.tables()?.iter().any(|table| table.starts_with(TABLE_ANY) && *table != own))
    }
}
