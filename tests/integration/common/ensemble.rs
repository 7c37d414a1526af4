//! Three ZooKeeper servers that vote.

use std::time::Duration;

use super::zookeeper::{Place, Version, ZooKeeper};
use super::{Client, eventually, free_port};

/// An ensemble of three, of a test's own.
pub struct Ensemble {
    servers: Vec<ZooKeeper>,
}

impl Ensemble {
    /// Starts three servers and waits until each serves.
    ///
    /// # Panics
    /// If one does not.
    pub fn start() -> Self {
        Self::of(&Version::usual())
    }

    /// The same of a certain version.
    ///
    /// # Panics
    /// If one does not serve.
    pub fn of(version: &Version) -> Self {
        let ports: Vec<[u16; 3]> = (0..3).map(|_| [free_port(), free_port(), free_port()]).collect();
        let lines: Vec<String> = (1..)
            .zip(&ports)
            .map(|(id, [client, quorum, election])| {
                format!("server.{id}=127.0.0.1:{quorum}:{election};127.0.0.1:{client}")
            })
            .collect();
        let servers = (1..)
            .zip(&ports)
            .map(|(id, [client, ..])| {
                let place = Place::local(*client);
                ZooKeeper::member(place, "", &lines, Vec::new(), Some(id), None, version.clone())
            })
            .collect();
        let ensemble = Self { servers };
        for server in &ensemble.servers {
            server.wait_until_it_serves();
        }
        ensemble
    }

    /// `127.0.0.1:a,127.0.0.1:b,127.0.0.1:c`.
    pub fn address(&self) -> String {
        self.servers.iter().map(ZooKeeper::address).collect::<Vec<_>>().join(",")
    }

    /// One of the three, to be killed, paused, restarted.
    pub fn server(&mut self, index: usize) -> &mut ZooKeeper {
        &mut self.servers[index]
    }

    /// A client of the first server that serves.
    ///
    /// # Panics
    /// If none does.
    #[track_caller]
    pub fn client(&self) -> Client {
        eventually(Duration::from_secs(30), "server that takes a client", || {
            self.servers.iter().find_map(|server| {
                let mut client = Client::try_connect(&server.address()).ok()?;
                client.try_exists("/").ok().map(|_| client)
            })
        })
    }

    /// The index of the server that leads, once one does.
    ///
    /// # Panics
    /// If none is elected.
    #[track_caller]
    pub fn leader(&self) -> usize {
        eventually(Duration::from_secs(30), "leader of the ensemble", || {
            self.servers.iter().position(ZooKeeper::leads)
        })
    }

    /// Starts all that were killed, together: one alone would wait for the others in vain.
    ///
    /// # Panics
    /// If one does not serve.
    pub fn restart_all(&mut self) {
        for server in &mut self.servers {
            server.launch();
        }
        for server in &self.servers {
            server.wait_until_it_serves();
        }
    }
}
