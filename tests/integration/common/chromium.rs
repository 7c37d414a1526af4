//! A browser without a window, driven by the DevTools protocol over two pipes.
//!
//! It has a profile of its own, resolves no names, and tells all that a page is not to do: see [`Chromium::troubles`].

use std::io::{BufRead as _, BufReader, Write as _};
use std::os::unix::process::CommandExt as _;
use std::path::Path;
use std::process::{ChildStdin, Stdio};
use std::time::{Duration, Instant};

use crossbeam_channel::{Receiver, unbounded};
use rustix::process::{Pid, Signal};
use serde_json::{Value, json};

use super::Folder;
use super::children::{Process, bound_to_us};

/// How long the browser may take for one answer; its start is the longest.
const ANSWER: Duration = Duration::from_secs(60);

/// The browser reads descriptor 3 and writes descriptor 4; ours are its standard input and output.
const BY_PIPE: &str = "exec chromium \"$@\" 3<&0 4>&1 0</dev/null 1>&2";

/// No window, no traffic of its own, no helpers that outlive it. What it shows is ours, so that it needs no sandbox,
/// which it cannot have as root or in a container.
const OPTIONS: [&str; 17] = [
    "--headless",
    "--remote-debugging-pipe",
    "--no-sandbox",
    "--disable-gpu",
    "--disable-dev-shm-usage",
    "--disable-background-networking",
    "--disable-breakpad",
    "--disable-client-side-phishing-detection",
    "--disable-component-update",
    "--disable-default-apps",
    "--disable-extensions",
    "--disable-features=OptimizationHints,MediaRouter,DialMediaRouteProvider",
    "--disable-sync",
    "--host-resolver-rules=MAP * ~NOTFOUND, EXCLUDE 127.0.0.1",
    "--no-default-browser-check",
    "--no-first-run",
    "--no-proxy-server",
];

/// Domains whose events tell what a page does.
const WATCHED: [&str; 4] = ["Page", "Runtime", "Log", "Network"];

/// A key that a reader may press.
#[derive(Clone, Copy, Debug)]
pub enum Key {
    Tab,
    Enter,
    Escape,
    Slash,
}

/// A browser with one page. Ends with all its processes when dropped.
pub struct Chromium {
    process: Process,
    to: ChildStdin,
    from: Receiver<Value>,
    asked: u64,
    session: String,
    troubles: Vec<String>,
    requested: Vec<String>,
    // Removed after the processes that write to it have ended.
    _profile: Folder,
}

impl Chromium {
    /// Starts one with an empty page.
    ///
    /// # Panics
    /// If it does not start.
    pub fn start() -> Self {
        assert!(Path::new("/usr/bin/chromium").exists(), "chromium is missing: tests/run installs it");
        let profile = Folder::new("chromium");
        let mut command = bound_to_us("bash");
        command.args(["-c", BY_PIPE, "bash"]).args(OPTIONS);
        command.arg(format!("--user-data-dir={}", profile.path().display())).env("HOME", profile.path());
        command.env_remove("DBUS_SESSION_BUS_ADDRESS").env_remove("DISPLAY").process_group(0);
        let log = std::fs::File::create(profile.path().join("log")).unwrap();
        command.stdin(Stdio::piped()).stdout(Stdio::piped()).stderr(log);
        let mut process = Process::start(command);
        let to = process.0.stdin.take().unwrap();
        let from = messages(process.0.stdout.take().unwrap());
        let (session, nothing) = (String::new(), Vec::new());
        let mut browser = Self {
            process,
            to,
            from,
            asked: 0,
            session,
            troubles: nothing.clone(),
            requested: nothing,
            _profile: profile,
        };
        let target = browser.call("Target.createTarget", json!({"url": "about:blank"}));
        let attach = json!({"targetId": target["targetId"], "flatten": true});
        let attached = browser.call("Target.attachToTarget", attach);
        browser.session = attached["sessionId"].as_str().unwrap().to_owned();
        for domain in WATCHED {
            browser.call(&format!("{domain}.enable"), json!({}));
        }
        browser
    }

    /// Calls a method of the protocol.
    ///
    /// # Panics
    /// If it fails or is not answered in time.
    #[track_caller]
    pub fn call(&mut self, method: &str, parameters: Value) -> Value {
        let id = self.send(method, parameters);
        let deadline = Instant::now() + ANSWER;
        loop {
            let message = self.from.recv_deadline(deadline);
            let message = message.unwrap_or_else(|error| panic!("no answer to {method}: {error}"));
            if message["id"] != id {
                self.hear(&message);
                continue;
            }
            assert!(message["error"].is_null(), "{method}: {}", message["error"]);
            return message["result"].clone();
        }
    }

    /// Loads a page.
    ///
    /// # Panics
    /// If nobody answers there.
    #[track_caller]
    pub fn open(&mut self, url: &str) {
        let answer = self.call("Page.navigate", json!({"url": url}));
        assert!(answer["errorText"].is_null(), "{url}: {answer}");
    }

    /// The value of a script's last expression, as JSON.
    ///
    /// # Panics
    /// If the script throws.
    #[track_caller]
    pub fn evaluate(&mut self, script: &str) -> Value {
        let parameters = json!({"expression": script, "returnByValue": true, "awaitPromise": true});
        let answer = self.call("Runtime.evaluate", parameters);
        assert!(answer["exceptionDetails"].is_null(), "{script}: {answer}");
        answer["result"]["value"].clone()
    }

    /// Dialogs, errors on the console, exceptions and violations of the page's policy since the last call.
    pub fn troubles(&mut self) -> Vec<String> {
        // What happened before this call has been told before its answer.
        self.call("Runtime.evaluate", json!({"expression": "0"}));
        std::mem::take(&mut self.troubles)
    }

    /// The addresses that the page asked for since the last call.
    pub fn requested(&mut self) -> Vec<String> {
        std::mem::take(&mut self.requested)
    }

    /// Forgets what happened so far.
    pub fn forget(&mut self) {
        self.troubles();
        self.requested();
    }

    /// Presses a key and lets it go.
    pub fn press(&mut self, key: Key) {
        let (name, code, text) = match key {
            Key::Tab => ("Tab", 9, ""),
            Key::Enter => ("Enter", 13, "\r"),
            Key::Escape => ("Escape", 27, ""),
            Key::Slash => ("/", 191, "/"),
        };
        for kind in ["keyDown", "keyUp"] {
            let mut event = json!({"type": kind, "key": name, "code": name, "windowsVirtualKeyCode": code});
            if kind == "keyDown" && !text.is_empty() {
                event["text"] = text.into();
            }
            self.call("Input.dispatchKeyEvent", event);
        }
    }

    /// Sets what the page is shown on: size in pixels, and whether the reader prefers dark colours.
    pub fn screen(&mut self, width: u32, height: u32, dark: bool) {
        let size = json!({"width": width, "height": height, "deviceScaleFactor": 1, "mobile": false});
        self.call("Emulation.setDeviceMetricsOverride", size);
        let colours = if dark { "dark" } else { "light" };
        let preference = json!({"features": [{"name": "prefers-color-scheme", "value": colours}]});
        self.call("Emulation.setEmulatedMedia", preference);
    }

    /// Writes what the screen shows as PNG.
    ///
    /// # Panics
    /// If the file cannot be written.
    pub fn screenshot(&mut self, file: &Path) {
        let picture = self.call("Page.captureScreenshot", json!({"format": "png"}));
        std::fs::write(file, from_base64(picture["data"].as_str().unwrap())).unwrap();
    }

    fn send(&mut self, method: &str, parameters: Value) -> u64 {
        self.asked += 1;
        let mut message = json!({"id": self.asked, "method": method, "params": parameters});
        if !self.session.is_empty() {
            message["sessionId"] = self.session.clone().into();
        }
        // The pipe takes far more than one message, and the browser reads them as they come.
        self.to.write_all(format!("{message}\0").as_bytes()).unwrap();
        self.asked
    }

    fn hear(&mut self, event: &Value) {
        let told = &event["params"];
        let trouble = match event["method"].as_str().unwrap_or_default() {
            "Network.requestWillBeSent" => {
                self.requested.push(told["request"]["url"].as_str().unwrap().to_owned());
                false
            }
            "Page.javascriptDialogOpening" => {
                // Until it is closed no script goes on. Nobody waits for the answer.
                self.send("Page.handleJavaScriptDialog", json!({"accept": false}));
                true
            }
            "Runtime.exceptionThrown" => true,
            "Runtime.consoleAPICalled" => told["type"] == "error" || told["type"] == "assert",
            "Log.entryAdded" => told["entry"]["level"] == "error",
            _ => false,
        };
        if trouble {
            self.troubles.push(event.to_string());
        }
    }
}

impl Drop for Chromium {
    fn drop(&mut self) {
        // The group has the renderers too. They may have ended already with the browser.
        rustix::process::kill_process_group(Pid::from_child(&self.process.0), Signal::KILL).ok();
    }
}

/// The messages of the browser, which a byte of zero ends.
fn messages(from: impl std::io::Read + Send + 'static) -> Receiver<Value> {
    let (to, messages) = unbounded();
    // Ends with the browser, which closes its end of the pipe then.
    std::thread::spawn(move || {
        for message in BufReader::new(from).split(0).map_while(Result::ok) {
            // Nobody listens any more when the browser is dropped.
            drop(to.send(serde_json::from_slice(&message).unwrap()));
        }
    });
    messages
}

fn from_base64(text: &str) -> Vec<u8> {
    const DIGITS: &str = "ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789+/";
    let value = |digit: u8| DIGITS.bytes().position(|known| known == digit).unwrap() as u32;
    let digits: Vec<u32> = text.bytes().filter(|digit| *digit != b'=').map(value).collect();
    let bytes = |four: &[u32]| {
        let bits = four.iter().enumerate().fold(0, |bits, (place, digit)| bits | digit << (18 - 6 * place));
        bits.to_be_bytes()[1..four.len()].to_vec()
    };
    digits.chunks(4).flat_map(bytes).collect()
}
