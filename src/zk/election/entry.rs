//! What an agent makes of its own: the cluster's places, and its own znode among the agents'.

use zookeeper::{CreateMode, ZkError};

use super::{Election, Session, Trouble, absent_is_fine, patience, refused};
use crate::clock;
use crate::zk::agents::AgentInfo;
use crate::zk::client::Client;
use crate::zk::{names, places};

impl Election {
    /// Makes the persistent znodes of the cluster.
    pub(super) fn prepare(&self, client: &Client) -> Result<(), Trouble> {
        let made = places::prepare(client, &self.places, self.identity.credentials);
        made.map_err(|(path, e)| {
            if e == ZkError::NoNode && path == self.places.top() {
                return Trouble::Refused(no_chroot(&path));
            }
            refused(&format!("cannot create {path}"), e)
        })
    }

    /// Makes this agent's znode; tells whether it is there. If another process has the name, waits for as long
    /// as a dead one's znode can stay, and then takes another name.
    pub(super) fn enter_agent(&mut self, session: &mut Session) -> Result<bool, Trouble> {
        if let Some(path) = &session.agent {
            if session.client.exists(path, false)?.is_some() {
                return Ok(true);
            }
            log::warn!("{path} was removed by somebody; making it again");
            session.agent = None;
        }
        for suffix in 1..=100 {
            let name = match suffix {
                1 => self.identity.name.clone(),
                suffix => format!("{}-{suffix}", self.identity.name),
            };
            let path = format!("{}/{}", self.places.agents, names::encode(&name));
            match session.client.create(&path, &self.info.encode(), &self.acl, CreateMode::Ephemeral) {
                Ok(_) => {
                    session.agent = Some(path.as_str().into());
                    self.name = name;
                    self.status.agent = self.name.as_str().into();
                    self.publish_own_of(session);
                    return Ok(true);
                }
                Err(ZkError::NodeExists) => {}
                // What may have gone is made again first; this is tried anew after that.
                Err(ZkError::NoNode) => return Err(Trouble::Vanished),
                Err(e) => return Err(refused(&format!("cannot create {path}"), e)),
            }
            if self.remove_own_ghost(session, &path)? {
                return self.enter_agent(session);
            }
            if clock::mono() - session.began < patience(session.timeout) {
                // The watch tells when it goes.
                session.client.exists(&path, true)?;
                return Ok(false);
            }
        }
        Err(Trouble::Refused(format!("a hundred agents are called {}", self.identity.name)))
    }

    /// Removes an agent node that an earlier session of this very process left.
    fn remove_own_ghost(&self, session: &Session, path: &str) -> Result<bool, Trouble> {
        let ours = match session.client.data(path, false) {
            Ok((bytes, _)) => {
                AgentInfo::decode(&bytes).is_some_and(|info| info.instance == self.info.instance)
            }
            Err(ZkError::NoNode) => true,
            Err(e) => return Err(e.into()),
        };
        if ours {
            absent_is_fine(session.client.delete(path, None))?;
        }
        Ok(ours)
    }
}

fn no_chroot(path: &str) -> String {
    format!(
        "cannot create {path}: its parent does not exist; if --zookeeper names a chroot, create that znode; \
         this agent watches and serves, and sends no alerts"
    )
}
