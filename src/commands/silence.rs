//! `--silence`, `--unsilence`, `--silences`

use std::time::Duration;

use crate::cli::{Answer, Options};
use crate::clock;
use crate::daemon::EX_FAILURE;
use crate::model::rfc3339::rfc3339;
use crate::model::status::Silence;
use crate::watching::session_settings;
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
    let told = format!("{path} is silenced until {}", rfc3339(until));
    errand(options, move |client, places| {
        // The silence may be there before the first agent.
        places
            .prepare(client, credentials)
            .map_err(|(path, e)| format!("cannot create {path}: {}", describe(e)))?;
        let id = stored::add(client, places, &own_acl(credentials), &silence)
            .map_err(|e| format!("cannot make the silence: {}", describe(e)))?;
        Ok(format!("{id}: {told}\n"))
    })
}

pub fn unsilence(options: &Options, id: &str) -> Result<Answer, Answer> {
    let id = id.to_owned();
    errand(options, move |client, places| match stored::remove(client, places, &id) {
        Ok(true) => Ok(format!("{id}: ended\n")),
        Ok(false) => Err(format!("there is no silence {id}; --silences lists them")),
        Err(e) => Err(format!("cannot end silence {id}: {}", describe(e))),
    })
}

/// Lists the silences in force, a line each: id, end, path, by whom, comment.
pub fn silences(options: &Options) -> Result<Answer, Answer> {
    let now = clock::wall();
    errand(options, move |client, places| {
        let all =
            stored::all(client, places).map_err(|e| format!("cannot read the silences: {}", describe(e)))?;
        let line = |silence: &Silence| {
            let Silence { id, path, until, comment, by } = silence;
            format!("{id}\t{}\t{path}\t{by}\t{comment}\n", rfc3339(*until))
        };
        Ok(all.iter().filter(|silence| silence.until > now).map(line).collect())
    })
}

fn errand(
    options: &Options,
    errand: impl FnOnce(&Client, &Places) -> Result<String, String> + Send + 'static,
) -> Result<Answer, Answer> {
    let places = Places::new(&options.cluster_prefix, &options.cluster_name);
    session_settings(&options.zookeeper)
        .and_then(|settings| with_client(settings, ERRAND, move |client| errand(client, &places)))
        .map(|stdout| Answer { stdout, ..Answer::default() })
        .map_err(|reason| Answer::failed(EX_FAILURE, &reason))
}
