//! One HTTP request, and what its answer says of whether the receiver took it.

use std::io::Read;
use std::sync::Arc;
use std::time::{Duration, SystemTime};

use base64::Engine as _;
use base64::engine::general_purpose::STANDARD;
use percent_encoding::percent_decode_str;
use ureq::http::{Response, StatusCode, Uri};
use ureq::typestate::WithBody;
use ureq::unversioned::resolver::DefaultResolver;
use ureq::unversioned::transport::{ConnectProxyConnector, Connector};
use ureq::{Agent, Body, Error, Proxy, RequestBuilder};

use super::transport::{HandedOver, Tcp, Tls};
use super::{proxy, reason, roots};
use crate::clock;
use crate::model::receiver::Outcome;

/// How much of an answer is read, in bytes.
const ANSWER: u64 = 64 * 1024;
/// How long a receiver may ask to be left alone; more would hide an outage.
const LONGEST_RETRY_AFTER: Duration = Duration::from_secs(3600);

/// A client for one receiver. It keeps no connection: an idle one may be dead, and what is sent into it is
/// neither surely taken nor surely not.
#[derive(Debug)]
pub(super) struct Client {
    /// Nothing can be sent if the proxy that the environment names makes no sense.
    agent: Result<Agent, &'static str>,
    handed_over: HandedOver,
    /// The host and port of the proxy that it goes through.
    proxy: Option<String>,
    url: String,
    authorization: Option<String>,
}

/// An answer to a request.
#[derive(Debug)]
pub(super) struct Answer {
    status: StatusCode,
    retry_after: Option<Duration>,
    date: Option<SystemTime>,
    body: Body,
}

impl Client {
    /// A client for one URL, whose credentials go into a header. Each request ends within `limit`, all of it.
    /// The authorities in `ca`, in PEM, are trusted beside the system's.
    pub(super) fn new(url: &str, limit: Duration, ca: Option<&[u8]>) -> Self {
        Self::with(url, limit, ca, &|name| std::env::var(name).ok())
    }

    /// The same in this environment.
    pub(super) fn with(url: &str, limit: Duration, ca: Option<&[u8]>, env: proxy::Env<'_>) -> Self {
        let (url, authorization) = without_credentials(url);
        let handed_over = HandedOver::default();
        let chosen = proxy::choose(&url, env);
        let proxy = chosen.as_ref().ok().and_then(Option::as_ref);
        let proxy = proxy.map(|proxy| format!("{}:{}", proxy.host(), proxy.port()));
        let agent = chosen.map(|proxy| {
            let handed_over = handed_over.of(proxy.is_some());
            let connector =
                ().chain(ConnectProxyConnector::default())
                    .chain(Tcp)
                    .chain(Tls::new(ca.is_some()))
                    .chain(handed_over);
            Agent::with_parts(config(&url, proxy, limit, ca), connector, DefaultResolver::default())
        });
        Self { agent, handed_over, proxy, url, authorization }
    }

    /// A client to which these connections are all there are.
    #[cfg(any(test, fuzzing))]
    pub(super) fn over(connections: impl Connector) -> Self {
        use crate::model::notifier::ATTEMPT;

        let (url, handed_over) = ("http://127.0.0.1/".to_owned(), HandedOver::default());
        let connector = connections.chain(handed_over.of(false));
        let agent =
            Agent::with_parts(config(&url, None, ATTEMPT, None), connector, DefaultResolver::default());
        Self { agent: Ok(agent), handed_over, proxy: None, url, authorization: None }
    }

    /// Posts a body of this type. An error is the outcome of the attempt.
    pub(super) fn post(&self, headers: &[(&str, &str)], body: &[u8]) -> Result<Answer, Outcome> {
        self.post_below("", headers, body)
    }

    /// The same, and it ends within this limit.
    pub(super) fn post_within(
        &self,
        limit: Duration,
        headers: &[(&str, &str)],
        body: &[u8],
    ) -> Result<Answer, Outcome> {
        let request = self.request("", headers)?.config().timeout_global(Some(limit)).build();
        request.send(body).map(answer).map_err(|error| self.outcome(&error))
    }

    /// The same to the URL with this behind it.
    pub(super) fn post_below(
        &self,
        path: &str,
        headers: &[(&str, &str)],
        body: &[u8],
    ) -> Result<Answer, Outcome> {
        self.request(path, headers)?.send(body).map(answer).map_err(|error| self.outcome(&error))
    }

    fn request(&self, path: &str, headers: &[(&str, &str)]) -> Result<RequestBuilder<WithBody>, Outcome> {
        self.handed_over.reset();
        let mut request = self.agent()?.post(format!("{}{path}", self.url));
        for (name, value) in self.authorization(headers).iter().chain(headers) {
            request = request.header(*name, *value);
        }
        Ok(request)
    }

    pub(super) fn get(&self) -> Result<Answer, Outcome> {
        self.handed_over.reset();
        let mut request = self.agent()?.get(&self.url);
        if let Some((name, value)) = self.authorization(&[]) {
            request = request.header(name, value);
        }
        request.call().map(answer).map_err(|error| self.outcome(&error))
    }

    fn agent(&self) -> Result<&Agent, Outcome> {
        self.agent.as_ref().map_err(|reason| failed((*reason).to_owned()))
    }

    /// The URL's credentials, unless the headers hold some.
    fn authorization(&self, headers: &[(&str, &str)]) -> Option<(&str, &str)> {
        let given = headers.iter().any(|(name, _)| name.eq_ignore_ascii_case("authorization"));
        self.authorization.as_deref().filter(|_| !given).map(|value| ("Authorization", value))
    }

    /// What became of a request that was not answered.
    fn outcome(&self, error: &Error) -> Outcome {
        let reason = self.blame(error);
        if self.handed_over.get() {
            return Outcome::Ambiguous { reason: format!("no answer: {reason}") };
        }
        failed(reason)
    }

    /// What went wrong, and with whom. With a proxy every connection is to that; what comes after it was asked to connect
    /// may be its fault or the receiver's.
    fn blame(&self, error: &Error) -> String {
        let reason = words(error);
        let Some(proxy) = &self.proxy else { return reason };
        let is_connecting = matches!(
            error,
            Error::Io(_) | Error::HostNotFound | Error::ConnectProxyFailed(_) | Error::InvalidProxyUrl
        );
        if is_connecting && !self.handed_over.get() && !reason.starts_with("TLS") {
            format!("the proxy {proxy}: {reason}")
        } else {
            format!("{reason} (by way of the proxy {proxy})")
        }
    }
}

impl Answer {
    /// `Ok` if the status says that the request was taken; else the outcome of the attempt.
    ///
    /// An explicit "not now" (408, 425, 429, 5xx) is a failure. Only a gateway's time-out (504) leaves open
    /// whether the request got through to the receiver behind it. Everything else that is no success is final,
    /// redirects included: a POST that follows them becomes a GET.
    pub(super) fn check(&self) -> Result<(), Outcome> {
        let reason = self.status_words();
        match self.status.as_u16() {
            200..=299 => Ok(()),
            504 | 100..=199 => Err(Outcome::Ambiguous { reason }),
            408 | 425 | 429 | 500..=599 => Err(Outcome::Failed { reason, retry_after: self.retry_after }),
            _ => Err(Outcome::Refused { reason }),
        }
    }

    /// The same, with what the receiver said about a failure.
    pub(super) fn check_with(&mut self, said: impl FnOnce(&[u8]) -> Option<String>) -> Result<(), Outcome> {
        self.check().map_err(|outcome| match self.body().as_deref().and_then(said) {
            Some(said) => explained(outcome, &said),
            None => outcome,
        })
    }

    /// Reads the body, cut at 64 KiB; `None` if it did not arrive.
    pub(super) fn body(&mut self) -> Option<Vec<u8>> {
        let mut body = Vec::new();
        self.body.as_reader().take(ANSWER).read_to_end(&mut body).ok().map(|_| body)
    }

    /// How long the receiver asked to be left alone, at most an hour.
    pub(super) fn retry_after(&self) -> Option<Duration> {
        self.retry_after
    }

    /// When it was given, by the receiver's clock.
    pub(super) fn date(&self) -> Option<SystemTime> {
        self.date
    }

    fn status_words(&self) -> String {
        let code = self.status.as_u16();
        match self.status.canonical_reason() {
            Some(words) => format!("HTTP {code} {words}"),
            None => format!("HTTP {code}"),
        }
    }
}

/// An attempt that surely was in vain, with nothing said about when to try again.
pub(super) fn failed(reason: String) -> Outcome {
    Outcome::Failed { reason, retry_after: None }
}

/// A base URL and the well-known path below it.
pub(super) fn join(base: &str, path: &str) -> String {
    format!("{}{path}", base.trim_end_matches('/'))
}

/// The host and port of a URL, in lower case.
pub(super) fn authority(url: &str) -> Arc<str> {
    // What is no URL is refused with the configuration.
    let url: Uri = url.parse().unwrap_or_default();
    let port = url.port_u16().unwrap_or(if url.scheme_str() == Some("http") { 80 } else { 443 });
    format!("{}:{port}", url.host().unwrap_or_default().to_ascii_lowercase()).into()
}

fn explained(outcome: Outcome, said: &str) -> Outcome {
    let more = |reason: String| format!("{reason}: {said}");
    match outcome {
        Outcome::Failed { reason, retry_after } => Outcome::Failed { reason: more(reason), retry_after },
        Outcome::Ambiguous { reason } => Outcome::Ambiguous { reason: more(reason) },
        Outcome::Refused { reason } => Outcome::Refused { reason: more(reason) },
        Outcome::Accepted | Outcome::NotTried => outcome,
    }
}

fn config(url: &str, proxy: Option<Proxy>, limit: Duration, ca: Option<&[u8]>) -> ureq::config::Config {
    let encrypted = url.starts_with("https") || proxy.is_some();
    let mut config = Agent::config_builder()
        .timeout_global(Some(limit))
        .http_status_as_error(false)
        .max_redirects(0)
        .max_redirects_will_error(false)
        .max_idle_connections(0)
        .max_idle_connections_per_host(0)
        .proxy(proxy)
        .user_agent(concat!("zk_monitor/", env!("CARGO_PKG_VERSION")));
    if encrypted {
        let tls = ureq::tls::TlsConfig::builder().root_certs(roots::for_http(ca)).build();
        config = config.tls_config(tls);
    }
    config.build()
}

fn answer(response: Response<Body>) -> Answer {
    let header = |name| response.headers().get(name).and_then(|value| value.to_str().ok());
    let date = header("Date").and_then(|value| httpdate::parse_http_date(value.trim()).ok());
    // A date to wait for is one of the clock that gave it.
    let now = date.unwrap_or_else(clock::wall);
    let retry_after = header("Retry-After").and_then(|value| retry_after(value, now));
    Answer { status: response.status(), retry_after, date, body: response.into_body() }
}

/// `Retry-After`: seconds, or a date.
fn retry_after(value: &str, now: SystemTime) -> Option<Duration> {
    let asked = match value.trim().parse::<u64>() {
        Ok(seconds) => Duration::from_secs(seconds),
        Err(_) => httpdate::parse_http_date(value.trim()).ok()?.duration_since(now).unwrap_or_default(),
    };
    Some(asked.min(LONGEST_RETRY_AFTER))
}

/// Takes user and password out of a URL, for a header: they would not be sent otherwise.
fn without_credentials(url: &str) -> (String, Option<String>) {
    let whole = || (url.to_owned(), None);
    let Some((scheme, rest)) = url.split_once("://") else { return whole() };
    let authority = rest.split(['/', '?', '#']).next().unwrap_or(rest);
    let Some((credentials, _)) = authority.rsplit_once('@') else { return whole() };
    let (user, password) = credentials.split_once(':').unwrap_or((credentials, ""));
    let plain = |text| percent_decode_str(text).collect::<Vec<u8>>();
    let pair = [plain(user), plain(password)].join(&b':');
    let bare = format!("{scheme}://{}", &rest[credentials.len() + 1..]);
    (bare, Some(format!("Basic {}", STANDARD.encode(pair))))
}

/// An error in words. Its own can hold the URL.
#[expect(clippy::wildcard_enum_match_arm, reason = "the library's errors, most of which cannot happen here")]
fn words(error: &Error) -> String {
    match error {
        Error::Io(error) => reason::io(error),
        Error::Rustls(error) => reason::tls(error),
        Error::Timeout(_) => "timed out".to_owned(),
        Error::HostNotFound => reason::NO_SUCH_HOST.to_owned(),
        Error::ConnectProxyFailed(_) | Error::InvalidProxyUrl => "it does not pass the request on".to_owned(),
        Error::Http(_) | Error::BadUri(_) => "the URL or a header is not valid".to_owned(),
        Error::Protocol(_) | Error::LargeResponseHeader(..) => "what came back is not HTTP".to_owned(),
        _ => "the request failed".to_owned(),
    }
}

#[cfg(test)]
mod tests {
    use std::time::UNIX_EPOCH;

    use super::*;

    #[test]
    fn hosts_are_told_apart_by_name_and_port() {
        let check = |url: &str, expected: &str| assert_eq!(&*authority(url), expected, "{url}");
        check("http://h", "h:80");
        check("https://User:pw@Host.Example/a?b", "host.example:443");
        check("HTTP://[::1]:81/", "[::1]:81");
        check("http://u:p@h:8080", "h:8080");
    }

    #[test]
    fn a_proxy_that_cannot_be_reached_is_named_and_not_the_receiver() {
        // Port 1 of the loopback is nobody's.
        for url in ["http://receiver.test/x", "https://receiver.test/x"] {
            let env = |name: &str| (name == "ALL_PROXY").then(|| "http://user:s3cret@127.0.0.1:1".to_owned());
            let refused = Client::with(url, Duration::from_secs(20), None, &env).get().unwrap_err();
            let reason = "the proxy 127.0.0.1:1: connection refused".to_owned();
            assert_eq!(refused, Outcome::Failed { reason, retry_after: None }, "{url}");
        }
    }

    #[test]
    fn retry_after_in_seconds_or_as_a_date() {
        let now = UNIX_EPOCH + Duration::from_secs(784_111_777); // Sun, 06 Nov 1994 08:49:37 GMT
        let check = |value, expected: Option<u64>| {
            assert_eq!(retry_after(value, now), expected.map(Duration::from_secs), "{value}");
        };
        check("120", Some(120));
        check("0", Some(0));
        check("999999999999", Some(3600));
        check("Sun, 06 Nov 1994 08:50:37 GMT", Some(60));
        check("Sun, 06 Nov 1994 08:48:37 GMT", Some(0));
        check("Sat, 06 Nov 1999 08:48:37 GMT", Some(3600));
        check("soon", None);
        check("-1", None);
    }

    #[test]
    fn credentials_move_from_the_url_to_a_header() {
        let check = |url, bare: &str, header: Option<&str>| {
            assert_eq!(without_credentials(url), (bare.to_owned(), header.map(str::to_owned)));
        };
        check("http://u:p%40ss@h:1/x?y=a@b", "http://h:1/x?y=a@b", Some("Basic dTpwQHNz"));
        check("https://token@h", "https://h", Some("Basic dG9rZW46"));
        check("http://h/a@b", "http://h/a@b", None);
        check("no url", "no url", None);
    }
}
