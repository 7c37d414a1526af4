//! `--silence`, `--unsilence`, `--silences`

use std::collections::BTreeMap;
use std::sync::Arc;
use std::time::Duration;

use super::watched;
use crate::cli::{Answer, Options};
use crate::clock;
use crate::daemon::EX_FAILURE;
use crate::model::alert_key::AlertKey;
use crate::model::ledger::ENTRY_MAX;
use crate::model::rfc3339::rfc3339;
use crate::model::status::{Silence, Until};
use crate::watching::session_settings;
use crate::zk::agents;
use crate::zk::client::{Client, describe};
use crate::zk::ledger;
use crate::zk::names::{Places, own_acl};
use crate::zk::once::with_client;
use crate::zk::silences as stored;
use crate::zk::skipped::Reasons;

/// How many incidents one acknowledgement may be of: the agent that leads looks for each of them whether it is over, and
/// with paths of usual length they fit one znode.
const ACKNOWLEDGED: usize = 1000;
/// How long an errand at ZooKeeper may take.
const ERRAND: Duration = Duration::from_secs(10);

/// Makes a silence and prints its id.
pub fn silence(
    options: &Options,
    path: &str,
    duration: Option<Duration>,
    comment: &str,
    by: &str,
) -> Result<Answer, Answer> {
    let until =
        duration.map_or_else(|| Until::Recovery(BTreeMap::new()), |long| Until::Time(clock::wall() + long));
    let silence = Silence { id: "".into(), path: path.into(), until, comment: comment.into(), by: by.into() };
    let credentials = options.zookeeper.credentials.is_some();
    let mut made = silence.clone();
    let (stdout, agents) = errand(options, move |client, places| {
        is_there(client, places)?;
        places
            .prepare(client, credentials)
            .map_err(|(path, e)| format!("cannot create {path}: {}", describe(e)))?;
        acknowledge(client, places, &mut made)?;
        let id = stored::add(client, places, &own_acl(credentials), &made)
            .map_err(|e| format!("cannot make the silence: {}", describe(e)))?;
        let Silence { path, by, until, .. } = &made;
        let told = format!("{id}: {path} is silenced until {} by {by}{}\n", end(until), incidents(until));
        Ok((told, agents::addresses(client, places).unwrap_or_default()))
    })?;
    if duration.is_none() {
        // What is acknowledged is watched.
        return Ok(printed(stdout));
    }
    let stderr = match watched::is_of_something(&silence, &agents) {
        Ok(true) => String::new(),
        Ok(false) => {
            format!("zk_monitor: warning: nothing that this cluster watches is {path}: is it misspelt?\n")
        }
        Err(reason) => format!("zk_monitor: cannot tell whether anything watches {path}: {reason}\n"),
    };
    Ok(Answer { stdout, stderr, ..Answer::default() })
}

/// If the silence is to end with the incidents that are open, finds which these are.
fn acknowledge(client: &Client, places: &Places, silence: &mut Silence) -> Result<(), String> {
    if let Until::Time(_) = silence.until {
        return Ok(());
    }
    let mut open = ledger::open_incidents(client, places)
        .map_err(|e| format!("cannot read the open incidents: {}", describe(e)))?;
    open.retain(|key, _| silence.is_of(key));
    let path = &silence.path;
    let bytes = |(key, id): (&AlertKey, &Arc<str>)| key.path.len() + id.len() + 100;
    let fits = open.iter().map(bytes).sum::<usize>() <= ENTRY_MAX;
    match open.len() {
        0 => Err(format!(
            "{path} has no open incident, so there is nothing to acknowledge: nobody was told that it is out of spec; \
             --silence {path} --for DURATION holds back what is to come"
        )),
        1..=ACKNOWLEDGED if fits => {
            silence.until = Until::Recovery(open);
            Ok(())
        }
        many => Err(format!(
            "{path} has {many} open incidents, too many for one acknowledgement (at most {ACKNOWLEDGED}, less with long paths); --silence {path} --for \
             DURATION silences any number"
        )),
    }
}

/// When it ends, in words.
pub(super) fn end(until: &Until) -> String {
    match until {
        Until::Time(end) => rfc3339(*end),
        Until::Recovery(_) => "recovery".to_owned(),
    }
}

/// How many incidents are acknowledged, in words.
fn incidents(until: &Until) -> String {
    match until {
        Until::Recovery(incidents) if incidents.len() > 1 => format!(", {} incidents", incidents.len()),
        Until::Time(_) | Until::Recovery(_) => String::new(),
    }
}

/// A silence of a cluster that is not there would silence nothing, and be there for the next who misspells its name.
fn is_there(client: &Client, places: &Places) -> Result<(), String> {
    let cluster = &places.cluster;
    match client.exists(cluster, false) {
        Ok(Some(_)) => return Ok(()),
        Ok(None) => {}
        Err(e) => return Err(format!("cannot look for {cluster}: {}", describe(e))),
    }
    let mut others = client.children(&places.prefix, false).unwrap_or_default();
    others.sort();
    let others = match others.as_slice() {
        [] => format!("there is none under {}, where the first agent that runs makes it", places.prefix),
        names => format!("those under {} are {}", places.prefix, names.join(", ")),
    };
    Err(format!("there is no cluster {cluster}: {others}; name it by --cluster_name and --cluster_prefix"))
}

pub fn unsilence(options: &Options, id: &str) -> Result<Answer, Answer> {
    let id = id.to_owned();
    errand(options, move |client, places| match stored::remove(client, places, &id) {
        Ok(true) => Ok(format!("{id}: ended\n")),
        Ok(false) => Err(format!("there is no silence {id}; --silences lists them")),
        Err(e) => Err(format!("cannot end silence {id}: {}", describe(e))),
    })
    .map(printed)
}

/// Lists the silences in force, a line each, below a line that says what is what.
pub fn silences(options: &Options) -> Result<Answer, Answer> {
    let now = clock::wall();
    let (stdout, stderr) = errand(options, move |client, places| {
        is_there(client, places)?;
        let (all, skipped) =
            stored::all(client, places).map_err(|e| format!("cannot read the silences: {}", describe(e)))?;
        let line = |silence: &Silence| {
            let Silence { id, path, until, comment, by } = silence;
            format!("{id}\t{}\t{path}\t{by}\t{comment}\n", end(until))
        };
        let lines: String = all.iter().filter(|silence| silence.is_in_force(now)).map(line).collect();
        Ok((format!("ID\tUNTIL\tPATH\tBY\tCOMMENT\n{lines}"), left_out(&skipped)))
    })?;
    Ok(Answer { stdout, stderr, ..Answer::default() })
}

/// The znodes that are no silence or may not be read, in lines for standard error. The agents leave them out, too.
pub(super) fn left_out(skipped: &Reasons) -> String {
    skipped.iter().map(|(znode, reason)| format!("zk_monitor: left out {znode}: {reason}\n")).collect()
}

fn errand<T: Send + 'static>(
    options: &Options,
    errand: impl FnOnce(&Client, &Places) -> Result<T, String> + Send + 'static,
) -> Result<T, Answer> {
    let places = Places::new(&options.cluster_prefix, &options.cluster_name);
    session_settings(&options.zookeeper)
        .and_then(|settings| with_client(settings, ERRAND, move |client| errand(client, &places)))
        .map_err(|reason| Answer::failed(EX_FAILURE, &reason))
}

fn printed(stdout: String) -> Answer {
    Answer { stdout, ..Answer::default() }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_is_left_out_is_told() {
        let skipped = [("/z/s1", "no silence: it says no end"), ("/z/s2", "not authorised")];
        let skipped = skipped.map(|(znode, reason)| (znode.to_owned(), reason.to_owned()));
        let told = "zk_monitor: left out /z/s1: no silence: it says no end\nzk_monitor: left out /z/s2: not authorised\n";
        assert_eq!(left_out(&Reasons::from(skipped)), told);
        assert_eq!(left_out(&Reasons::new()), "");
    }
}
