//! What is served, as it is published.

use std::time::Instant;

use super::status::View;
use crate::model::lease::LeaseStage;
use crate::model::recent::Recent;
use crate::model::status::{Alerts, Cluster, Compliance, ConfigStatus, Connection, WatchStatus, is_alerting};
use crate::published::{Liveness, Reader};

/// All that is served.
#[derive(Clone, Debug)]
pub struct Snapshots {
    pub connection: Reader<Connection>,
    pub compliance: Reader<Compliance>,
    /// How good the readings are.
    pub watch: Reader<WatchStatus>,
    pub alerts: Reader<Alerts>,
    /// Whether the lease that was granted is in effect.
    pub stage: Reader<LeaseStage>,
    pub cluster: Reader<Cluster>,
    pub config: Reader<ConfigStatus>,
    pub events: Reader<Recent>,
    pub pulses: Vec<Liveness>,
}

impl Snapshots {
    /// All cells as they are now.
    pub(super) fn view(&self, now: Instant) -> View {
        let (connection, cluster) = (self.connection.get(), self.cluster.get());
        View {
            connected: connection.is_up(now),
            alerting: is_alerting(cluster.grant, *self.stage.get(), &connection, now),
            connection,
            cluster,
            compliance: self.compliance.get(),
            watch: self.watch.get(),
            alerts: self.alerts.get(),
            config: self.config.get(),
            journal_failing: self.events.get().is_failing,
        }
    }
}
