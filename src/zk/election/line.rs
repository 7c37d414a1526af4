//! The line before the lock, and taking over when first in it.

use std::sync::Arc;
use std::time::{Duration, Instant};

use zookeeper::{CreateMode, Stat, ZkError};

use super::holder::Holder;
use super::predecessors::Predecessors;
use super::{Election, GRACE, Granted, PULSE, REFRESH, SOON, Session, Trouble, absent_is_fine, refused};
use crate::clock;
use crate::model::dispatcher;
use crate::model::election_update::ElectionUpdate;
use crate::model::status::{Grant, lease_holds};
use crate::zk::client::{Answer, Client};
use crate::zk::contenders::{self, Contender, MARK};
use crate::zk::ledger::{self, Access};
use crate::zk::silences;
use crate::zk::watch_input::WatchInput;

/// How long the ledger's listing is left alone after it was read: in a storm it changes all the time.
const LISTING_PAUSE: Duration = Duration::from_millis(50);
/// And how many times as long as it took to read, if that is longer.
const LISTING_SHARE: u32 = 10;
/// The time until a stranger who was first seen then is worth a word, if that is before the next look.
fn until_it_is_said(seen: Instant, wait: Duration) -> Duration {
    let left = (seen + GRACE).saturating_duration_since(clock::mono());
    if left.is_zero() { wait } else { wait.min(left) }
}

/// The epoch of the lease that a lock node stands for: the number of the transaction that made the node, of which no
/// two are alike and the later is the greater in the whole life of an ensemble. The lock's own number begins at 0
/// again when somebody removes the lock's parent. It is also smaller than this, being a count of some of the
/// transactions before: so the entries of version 1.0, which bear that, are older than every lease of today.
fn epoch(lock: &Stat) -> u64 {
    // The server counts from 0 upwards.
    lock.czxid.unsigned_abs()
}

impl Election {
    pub(super) fn stand_in_line(&mut self, session: &mut Session) -> Result<Duration, Trouble> {
        if !session.armed {
            return Ok(REFRESH);
        }
        let mut line = self.line(session)?;
        let mut wait = REFRESH;
        for ghost in line.iter().filter(|one| one.is_of(&self.identity.instance)) {
            if session.lock.as_ref() == Some(ghost) {
                continue;
            }
            if let Some(left) = self.ghost_until.and_then(|end| end.checked_duration_since(clock::mono())) {
                wait = wait.min(left + SOON);
                continue;
            }
            // What an earlier session of this process began to send is still its own until it has ended.
            if *self.in_flight.get() > 0 {
                wait = SOON;
                continue;
            }
            absent_is_fine(session.client.delete(&format!("{}/{}", self.places.lock, ghost.name), None))?;
        }
        if session.lock.as_ref().is_none_or(|own| !line.contains(own)) {
            if session.lock.take().is_some() {
                log::warn!("this agent's place in line was removed by somebody; joining at its end");
                self.withdraw(session);
            }
            session.lock = Some(self.join_line(&session.client)?);
            line = self.line(session)?;
        }
        let Some(own) = session.lock.clone() else { return Ok(wait) };
        let place = line.iter().position(|one| *one == own);
        let first = self.holder(session, line.first())?;
        self.note_leader(first.as_ref().map(|first| Arc::clone(&first.name)));
        self.look_for_stranger(session, first.filter(|_| place != Some(0)))?;
        match place {
            // The lease counts from the pulse's first write to our own znode.
            Some(0) if !self.may_hold(session) => return Ok(SOON),
            Some(0) => self.lead(session, &own)?,
            Some(place) => {
                self.withdraw(session);
                session.before = self.before(session, &line[..place])?;
                wait = wait.min(self.watch_ledger(session)?);
                wait = session.stranger.as_ref().map_or(wait, |(_, seen)| until_it_is_said(*seen, wait));
                let before = format!("{}/{}", self.places.lock, line[place - 1].name);
                if session.client.exists(&before, true)?.is_none() {
                    return self.stand_in_line(session);
                }
            }
            // Removed between two calls; the next turn joins again.
            None => return Ok(SOON),
        }
        Ok(wait)
    }

    /// Who these are. One that left between two calls is no stranger for that; if it was the first, what was known of
    /// the first before stands.
    fn before(&self, session: &Session, line: &[Contender]) -> Result<Predecessors, Trouble> {
        let mut first = match session.before {
            Predecessors::Agents(timeout) => timeout,
            Predecessors::Nobody | Predecessors::Stranger => None,
        };
        for (place, one) in line.iter().enumerate() {
            let Some(found) = self.holder(session, Some(one))? else { continue };
            let Some(timeout) = self.timeouts.get(&found.name) else { return Ok(Predecessors::Stranger) };
            if place == 0 {
                first = *timeout;
            }
        }
        Ok(Predecessors::Agents(first))
    }

    /// Sets the watch on the ledger's listing if it has rung, so that the alert side knows until when nobody has
    /// told of anything; gives the time until there may be more to do. An agent that may not list the ledger
    /// will not lead either.
    fn watch_ledger(&self, session: &mut Session) -> Answer<Duration> {
        let listing = &mut session.ledger;
        if listing.watched == Some(listing.rings) {
            return Ok(REFRESH);
        }
        let began = clock::mono();
        if listing.due > began {
            return Ok(listing.due - began);
        }
        match session.client.children(&self.places.alerts, true) {
            Ok(_) => {}
            Err(ZkError::NoNode | ZkError::NoAuth) => return Ok(REFRESH),
            Err(e) => return Err(e),
        }
        let took = clock::mono() - began;
        listing.due = began + took + LISTING_PAUSE.max(took * LISTING_SHARE);
        listing.watched = Some(listing.rings);
        let generation = session.client.generation();
        self.outlets.watch.send(WatchInput::LedgerWatched { generation, rings: listing.rings }).ok();
        Ok(REFRESH)
    }

    /// Whether a lease on this session would hold now.
    fn may_hold(&self, session: &Session) -> bool {
        let grant = Grant { epoch: 0, generation: session.client.generation() };
        lease_holds(Some(grant), &self.connection.get(), clock::mono())
    }

    fn line(&self, session: &Session) -> Answer<Vec<Contender>> {
        // The watch tells a waiting agent nothing that the one before it does not, and costs a bell for each
        // change of the line; so there is none.
        Ok(contenders::line(&session.client.children(&self.places.lock, false)?))
    }

    fn join_line(&self, client: &Client) -> Result<Contender, Trouble> {
        let prefix = format!("{}/{}{MARK}", self.places.lock, self.identity.instance);
        let made =
            match client.create(&prefix, self.name.as_bytes(), &self.acl, CreateMode::EphemeralSequential) {
                Ok(made) => made,
                Err(ZkError::NoNode) => return Err(Trouble::Vanished),
                Err(e) => return Err(refused(&format!("cannot create {prefix}…"), e)),
            };
        let name = made.rsplit('/').next().unwrap_or_default();
        Contender::parse(name).ok_or_else(|| Trouble::Refused(format!("the server named a lock node {made}")))
    }

    /// Leaves the line after a refusal, so that another agent can lead; gives the time until the next try.
    pub(super) fn step_aside(&mut self, session: &mut Session) -> Duration {
        self.withdraw(session);
        if session.lock.is_none() {
            return REFRESH;
        }
        // What was begun under the lease is still its own until it has ended.
        if *self.in_flight.get() > 0 {
            return PULSE;
        }
        let place = session.lock.take_if(|own| {
            let znode = format!("{}/{}", self.places.lock, own.name);
            absent_is_fine(session.client.delete(&znode, None)).is_ok()
        });
        if place.is_some() {
            log::warn!(
                "cluster {}: left the line, so that another agent can send the alerts",
                self.places.cluster
            );
        }
        REFRESH
    }

    fn note_leader(&mut self, leader: Option<Arc<str>>) {
        if let Some(name) = leader.as_ref().filter(|_| leader != self.status.leader) {
            log::info!("cluster {}: {name} is first in line", self.places.cluster);
        }
        self.status.leader = leader;
    }

    /// The first in line, as its lock node tells; nothing if that is gone.
    fn holder(&self, session: &Session, first: Option<&Contender>) -> Result<Option<Holder>, Trouble> {
        let Some(first) = first else { return Ok(None) };
        let znode = format!("{}/{}", self.places.lock, first.name);
        match session.client.data(&znode, false) {
            Ok((bytes, stat)) => Ok(Some(Holder::new(&bytes, &stat, znode))),
            Err(ZkError::NoNode) => Ok(None),
            // It may stand in line all the same.
            Err(ZkError::NoAuth) => {
                let stat = session.client.exists(&znode, false)?;
                Ok(stat.map(|stat| Holder::new(b"", &stat, znode)))
            }
            Err(e) => Err(e.into()),
        }
    }

    /// Notes whether this holder of the lock is no agent. An agent makes its znode before it joins, and both go at once;
    /// so one that joined after the agents were read is found when they are read again, and one that has gone since has
    /// no lock any more.
    fn look_for_stranger(&mut self, session: &mut Session, holder: Option<Holder>) -> Result<(), Trouble> {
        let mut stranger = holder.filter(|holder| !self.timeouts.contains_key(&holder.name));
        if let Some(found) = &stranger {
            self.read_agents(&session.client)?;
            let gone = session.client.exists(&found.znode, false)?.is_none();
            stranger = stranger.filter(|found| !gone && !self.timeouts.contains_key(&found.name));
        }
        let before = session.stranger.take();
        session.stranger = stranger.map(|holder| match before {
            Some((known, seen)) if known == holder => (known, seen),
            _ => (holder, clock::mono()),
        });
        Ok(())
    }

    /// Removes old silences. One that may not be removed is no reason to send no alerts.
    fn sweep(&self, session: &Session) -> Result<(), Trouble> {
        let swept = silences::sweep(&session.client, &self.places, &session.silences, clock::wall());
        match swept.map_err(Trouble::from) {
            Err(Trouble::Refused(reason)) => log::debug!("cannot remove a silence that ended: {reason}"),
            Ok(()) | Err(Trouble::Vanished) => {}
            Err(Trouble::Over) => return Err(Trouble::Over),
        }
        Ok(())
    }

    /// Takes over, or goes on leading.
    fn lead(&mut self, session: &mut Session, own: &Contender) -> Result<(), Trouble> {
        let znode: Arc<str> = format!("{}/{}", self.places.lock, own.name).into();
        if session.granted.is_some() {
            session.client.exists(&znode, true)?;
            return self.sweep(session);
        }
        let epoch = epoch(&session.client.set(&znode, self.name.as_bytes(), None)?);
        if self.line(session)?.first() != Some(own) {
            return self.stand_in_line(session).map(drop);
        }
        let loaded = ledger::load(&session.client, &self.places)?;
        self.read_silences(session)?;
        let adopted = loaded.entries.iter().map(|stored| stored.entry.adoption());
        self.outlets.watch.send(WatchInput::Adopt(adopted.collect())).ok();
        self.barrier += 1;
        let generation = session.client.generation();
        let fence = WatchInput::Fence { generation, path: Arc::clone(&znode), barrier: self.barrier };
        self.outlets.watch.send(fence).ok();
        let grant = Grant { epoch, generation };
        self.outlets.access.publish(Some(Access { epoch, client: session.client.clone() }));
        self.status.grant = Some(grant);
        self.publish();
        self.outlets
            .news
            .send(ElectionUpdate::Granted(dispatcher::Takeover {
                barrier: self.barrier,
                epoch,
                entries: loaded.entries,
                unreadable: loaded.unreadable,
                silences: session.silences.clone(),
                vacancy: session.before.vacancy(session.timeout),
            }))
            .ok();
        // The event of this write is the fence: it comes behind all events of what was committed before.
        session.client.exists(&znode, true)?;
        session.client.set(&znode, self.name.as_bytes(), None)?;
        session.client.exists(&znode, true)?;
        session.granted = Some(Granted { progress: clock::mono(), waits_for: None });
        session.ledger.watched = None;
        Ok(())
    }
}
