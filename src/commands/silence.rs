//! `--silence`, `--unsilence`, `--silences`

use std::time::Duration;

use super::watched;
use crate::cli::{Answer, Options};
use crate::clock;
use crate::daemon::EX_FAILURE;
use crate::model::rfc3339::rfc3339;
use crate::model::status::Silence;
use crate::watching::session_settings;
use crate::zk::agents;
use crate::zk::client::{Client, describe};
use crate::zk::names::{Places, own_acl};
use crate::zk::once::with_client;
use crate::zk::silences as stored;

/// How long an errand at ZooKeeper may take.
const ERRAND: Duration = Duration::from_secs(10);

/// Makes a silence and prints its id.
pub fn silence(
    options: &Options,
    path: &str,
    duration: Duration,
    comment: &str,
    by: &str,
) -> Result<Answer, Answer> {
    let until = clock::wall() + duration;
    let silence = Silence { id: "".into(), path: path.into(), until, comment: comment.into(), by: by.into() };
    let credentials = options.zookeeper.credentials.is_some();
    let told = format!("{path} is silenced until {} by {by}", rfc3339(until));
    let made = silence.clone();
    let (stdout, agents) = errand(options, move |client, places| {
        is_there(client, places)?;
        places
            .prepare(client, credentials)
            .map_err(|(path, e)| format!("cannot create {path}: {}", describe(e)))?;
        let id = stored::add(client, places, &own_acl(credentials), &made)
            .map_err(|e| format!("cannot make the silence: {}", describe(e)))?;
        Ok((format!("{id}: {told}\n"), agents::addresses(client, places).unwrap_or_default()))
    })?;
    let stderr = match watched::is_of_something(&silence, &agents) {
        Ok(true) => String::new(),
        Ok(false) => {
            format!("zk_monitor: warning: nothing that this cluster watches is {path}: is it misspelt?\n")
        }
        Err(reason) => format!("zk_monitor: cannot tell whether anything watches {path}: {reason}\n"),
    };
    Ok(Answer { stdout, stderr, ..Answer::default() })
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
        [] => format!("there is none under {} yet", places.prefix),
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
    errand(options, move |client, places| {
        is_there(client, places)?;
        let all =
            stored::all(client, places).map_err(|e| format!("cannot read the silences: {}", describe(e)))?;
        let line = |silence: &Silence| {
            let Silence { id, path, until, comment, by } = silence;
            format!("{id}\t{}\t{path}\t{by}\t{comment}\n", rfc3339(*until))
        };
        let lines: String = all.iter().filter(|silence| silence.until > now).map(line).collect();
        Ok(format!("ID\tUNTIL\tPATH\tBY\tCOMMENT\n{lines}"))
    })
    .map(printed)
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
