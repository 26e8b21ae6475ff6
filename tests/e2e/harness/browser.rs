//! A real Chromium, driven over WebDriver: plain JSON over HTTP, which the client of these tests speaks already.
//!
//! Whatever a page must never do fails the test when the browser closes: an error on the console, a breach of the page's policy, a
//! request to another host.

use super::daemon::Daemon;
use super::http::Client;
use super::scene::Scene;
use super::wait::{eventually, pause};
use serde_json::{Value, json};
use std::cell::Cell;
use std::net::SocketAddr;
use std::path::{Path, PathBuf};
use std::process::Command;

const DRIVER: &str = "/usr/bin/chromedriver";
const CHROMIUM: &str = "/usr/bin/chromium";
/// How WebDriver names an element in JSON.
const ELEMENT: &str = "element-6066-11e4-a52e-4f735466cecf";
/// How long a quick person takes from key to key, in milliseconds: longer than any scanner.
const PERSON: u32 = 80;
/// How fast a wedge scanner types, in seconds a character.
const SCANNER: f64 = 0.005;

/// One browser with one window, its cookies its own.
pub struct Browser {
    driver: Client,
    session: String,
    /// As in `http://localhost:4711`.
    origin: String,
    /// Parts of console lines that are fine here, because the test has broken something.
    pub forgiven: Vec<&'static str>,
    /// Somebody has just typed.
    typed: Cell<bool>,
    _process: Daemon,
}

impl Browser {
    /// A fresh browser that will look at the page of a store.
    pub fn open(scene: &Scene, name: &str, at: SocketAddr) -> Browser {
        Browser::open_with(scene, name, &format!("http://localhost:{}", at.port()), &[], &[])
    }

    /// The same, with more arguments, and variables of its environment.
    pub fn open_with(
        scene: &Scene,
        name: &str,
        origin: &str,
        more: &[String],
        environment: &[(&str, &Path)],
    ) -> Browser {
        let log = scene.join(&format!("{name}.log"));
        let mut command = Command::new(DRIVER);
        command.arg("--port=0").envs(environment.iter().copied());
        let process = Daemon::start(name, command, &log);
        let port: u16 = eventually("the driver to say where it listens", || {
            let text = std::fs::read_to_string(&log).unwrap_or_default();
            let port = text
                .split("successfully on port ")
                .nth(1)
                .and_then(|rest| rest.split(['.', '\n']).next()?.parse().ok());
            port.filter(|port| *port != 0).ok_or(text)
        });
        let driver = Client::new(SocketAddr::from(([127, 0, 0, 1], port)), "none");
        let profile = scene.join(&format!("{name}-profile"));
        let arguments = [
            "--headless=new",
            "--no-sandbox",
            "--disable-gpu",
            "--hide-scrollbars",
            "--disable-dev-shm-usage",
            "--no-first-run",
            "--disable-background-networking",
            "--disable-component-update",
            "--disable-sync",
            "--lang=en",
            "--force-prefers-reduced-motion",
            "--window-size=1280,1000",
            "--autoplay-policy=no-user-gesture-required",
        ];
        let mut arguments: Vec<String> = arguments.map(str::to_owned).to_vec();
        arguments.push(format!("--user-data-dir={}", profile.display()));
        arguments.extend_from_slice(more);
        let wanted = json!({ "capabilities": { "alwaysMatch": {
            "browserName": "chrome",
            "goog:chromeOptions": { "binary": CHROMIUM, "args": arguments, "perfLoggingPrefs": { "enableNetwork": true } },
            "goog:loggingPrefs": { "browser": "ALL", "performance": "ALL" },
        } } });
        let session = driver.post("/session", &wanted).expect("the driver answers").expect(200).json();
        let session = session["value"]["sessionId"].as_str().expect("a session").to_owned();
        Browser {
            driver,
            session,
            origin: origin.to_owned(),
            forgiven: Vec::new(),
            typed: Cell::new(false),
            _process: process,
        }
    }

    pub fn goto(&self, path: &str) {
        let url = format!("{}{path}", self.origin);
        self.command("url", &json!({ "url": url }));
    }

    /// Goes where the browser itself must refuse to go, for this reason.
    #[track_caller]
    pub fn refuses(&self, path: &str, reason: &str) {
        self.goto(path);
        eventually(&format!("the browser to refuse with {reason}"), || {
            let shown = self.run("return document.title + document.documentElement.textContent");
            let shown = shown.as_str().unwrap_or_default();
            let is_refused = shown.starts_with("Privacy error") && shown.contains(reason);
            if is_refused { Ok(()) } else { Err(shown.to_owned()) }
        });
    }

    pub fn path(&self) -> String {
        self.run("return location.pathname").as_str().unwrap_or_default().to_owned()
    }

    /// The path and what stands after it.
    pub fn address(&self) -> String {
        self.run("return location.pathname + location.search").as_str().unwrap_or_default().to_owned()
    }

    /// Runs a script in the page and gives what it returns.
    pub fn run(&self, script: &str) -> Value {
        self.run_with(script, &[])
    }

    pub fn run_with(&self, script: &str, arguments: &[Value]) -> Value {
        self.command("execute/sync", &json!({ "script": script, "args": arguments }))
    }

    pub fn run_until_called_back(&self, script: &str) -> Value {
        self.command("execute/async", &json!({ "script": script, "args": [] }))
    }

    /// What the page shows where `selector` leads, as soon as it holds `text`.
    #[track_caller]
    pub fn shows(&self, selector: &str, text: &str) {
        eventually(&format!("`{selector}` to show `{text}`"), || {
            let found = self.text(selector);
            if found.contains(text) { Ok(()) } else { Err(found) }
        });
    }

    pub fn text(&self, selector: &str) -> String {
        let script = "return [...document.querySelectorAll(arguments[0])].map(e => e.innerText).join('\\n')";
        // In the middle of a navigation there is no document to ask.
        self.tried("execute/sync", &json!({ "script": script, "args": [selector] }))
            .map(|value| value.as_str().unwrap_or_default().to_owned())
            .unwrap_or_default()
    }

    #[track_caller]
    pub fn click(&self, selector: &str) {
        self.on_element(selector, "click", &json!({}));
    }

    /// Replaces what stands in a field.
    #[track_caller]
    pub fn types(&self, selector: &str, text: &str) {
        self.on_element(selector, "clear", &json!({}));
        self.on_element(selector, "value", &json!({ "text": text }));
        self.typed.set(true);
    }

    #[track_caller]
    fn on_element(&self, selector: &str, what: &str, body: &Value) {
        eventually(&format!("`{selector}` to take a {what}"), || {
            let found = self.tried("element", &json!({ "using": "css selector", "value": selector }))?;
            let id = found[ELEMENT].as_str().unwrap_or_default().to_owned();
            // A person scrolls until it is in view, and not behind the menu of a narrow screen.
            let centred =
                json!({ "script": "arguments[0].scrollIntoView({ block: 'center' })", "args": [found] });
            self.tried("execute/sync", &centred)?;
            self.tried(&format!("element/{id}/{what}"), body)
        });
    }

    /// Strikes keys one after the other, as a person does who sees the page: names as in `Tab`, `Enter`, or the letters of a text.
    #[track_caller]
    pub fn strikes(&self, keys: &[&str]) {
        self.is_seen();
        self.typed.set(true);
        let mut actions = Vec::new();
        for key in keys {
            let value = match *key {
                "Tab" => "\u{e004}",
                "Enter" => "\u{e007}",
                other => other,
            };
            for letter in value.chars() {
                if !actions.is_empty() {
                    actions.push(json!({ "type": "pause", "duration": PERSON }));
                }
                actions.push(json!({ "type": "keyDown", "value": letter }));
                actions.push(json!({ "type": "keyUp", "value": letter }));
            }
        }
        self.command(
            "actions",
            &json!({ "actions": [{ "type": "key", "id": "keyboard", "actions": actions }] }),
        );
    }

    /// Goes on with the Tab key until what has the focus is what `selector` means.
    #[track_caller]
    pub fn tabs_to(&self, selector: &str) {
        for _ in 0..120 {
            self.strikes(&["Tab"]);
            if self.run_with("return document.activeElement.matches(arguments[0])", &[json!(selector)])
                == json!(true)
            {
                let visible = "const s = getComputedStyle(document.activeElement); return s.outlineStyle !== 'none' && parseFloat(s.outlineWidth) >= 2";
                assert_eq!(self.run(visible), json!(true), "the focus on `{selector}` is visible");
                return;
            }
        }
        panic!("`{selector}` can't be reached with the Tab key on {}", self.path());
    }

    /// Runs a script in each page that comes, before anything of the page itself.
    pub fn meets_with(&self, script: &str) {
        self.devtools("Page.addScriptToEvaluateOnNewDocument", &json!({ "source": script }));
    }

    /// Nobody scans before they see the page: waits until it has been painted and takes keys.
    #[track_caller]
    fn is_seen(&self) {
        eventually("the page to take keys", || {
            let ready =
                json!({ "script": "return document.documentElement.dataset.scanner ?? null", "args": [] });
            let ready = self.tried("execute/sync", &ready)?;
            if ready == json!("ready") { Ok(()) } else { Err(ready.to_string()) }
        });
    }

    /// A wedge scanner: the keys of a code, five milliseconds apart by the clock of the keyboard itself, and Enter. Each call comes
    /// back when the page has had its key, so none is lost on the way.
    #[track_caller]
    pub fn scans(&self, code: &str) {
        self.stumbles(code, u32::MAX, 0.0);
    }

    /// A scanner that pauses for so many seconds before one of its keys.
    #[track_caller]
    pub fn stumbles(&self, code: &str, stumble: u32, halt: f64) {
        self.is_seen();
        // Nobody pulls the trigger in the quarter of a second after a key.
        if self.typed.replace(false) {
            pause(250);
        }
        let start =
            self.run("return (performance.timeOrigin + performance.now()) / 1000").as_f64().expect("a time");
        let strokes = code
            .chars()
            .map(|c| (c.to_string(), c.to_string()))
            .chain([("Enter".to_owned(), "\r".to_owned())]);
        for ((key, text), at) in strokes.zip(0_u32..) {
            let time = start + f64::from(at) * SCANNER + if at >= stumble { halt } else { 0.0 };
            let code = if key == "Enter" {
                13
            } else {
                key.chars().next().map_or(0, |c| u32::from(c.to_ascii_uppercase()))
            };
            let down = json!({ "type": "keyDown", "key": key, "text": text, "windowsVirtualKeyCode": code, "timestamp": time });
            self.devtools("Input.dispatchKeyEvent", &down);
            let up = json!({ "type": "keyUp", "key": key, "windowsVirtualKeyCode": code, "timestamp": time + 0.001 });
            self.devtools("Input.dispatchKeyEvent", &up);
        }
    }

    pub fn devtools(&self, command: &str, parameters: &Value) -> Value {
        self.command("goog/cdp/execute", &json!({ "cmd": command, "params": parameters }))
    }

    pub fn is_wide(&self, width: u32) {
        let height = if width < 600 { 740 } else { 1000 };
        let size = json!({ "width": width, "height": height, "deviceScaleFactor": 1, "mobile": false });
        self.devtools("Emulation.setDeviceMetricsOverride", &size);
    }

    pub fn is_dark(&self, dark: bool) {
        let value = if dark { "dark" } else { "light" };
        let features = json!([{ "name": "prefers-color-scheme", "value": value }]);
        self.devtools("Emulation.setEmulatedMedia", &json!({ "features": features }));
    }

    /// A picture of the whole page, kept as the test's output.
    pub fn pictured(&self, name: &str) {
        let shot = self
            .devtools("Page.captureScreenshot", &json!({ "format": "png", "captureBeyondViewport": true }));
        let folder = pictures();
        std::fs::create_dir_all(&folder).expect("a folder can be made");
        let png = from_base64(shot["data"].as_str().unwrap_or_default());
        std::fs::write(folder.join(format!("{name}.png")), png).expect("a file can be written");
    }

    /// Nothing went wrong that a page must never do. Fails with what it was.
    #[track_caller]
    pub fn is_clean(&self) {
        let console = self.command("se/log", &json!({ "type": "browser" }));
        let lines = console.as_array().cloned().unwrap_or_default();
        let is_bad = |line: &&Value| {
            let said = line["message"].as_str().unwrap_or_default();
            line["level"] == "SEVERE" && !self.forgiven.iter().any(|part| said.contains(part))
        };
        let bad: Vec<&Value> = lines.iter().filter(is_bad).collect();
        assert!(bad.is_empty(), "the console says {bad:?}");
        let network = self.command("se/log", &json!({ "type": "performance" }));
        for line in network.as_array().cloned().unwrap_or_default() {
            let event: Value =
                serde_json::from_str(line["message"].as_str().unwrap_or("{}")).unwrap_or_default();
            let message = &event["message"];
            if message["method"] != "Network.requestWillBeSent" {
                continue;
            }
            let url = message["params"]["request"]["url"].as_str().unwrap_or_default();
            let is_own = url.starts_with(&format!("{}/", self.origin));
            assert!(
                is_own || url.starts_with("data:") || url.starts_with("chrome"),
                "a request went to {url}"
            );
        }
    }

    #[track_caller]
    fn command(&self, path: &str, body: &Value) -> Value {
        self.tried(path, body).unwrap_or_else(|error| panic!("{path}: {error}"))
    }

    fn tried(&self, path: &str, body: &Value) -> Result<Value, String> {
        let reply = self.driver.post(&format!("/session/{}/{path}", self.session), body);
        let reply = reply.map_err(|error| error.to_string())?;
        let value = reply.json()["value"].clone();
        if reply.status == 200 { Ok(value) } else { Err(value["message"].to_string()) }
    }
}

impl Drop for Browser {
    fn drop(&mut self) {
        // Ends the browser too; killing its driver would not.
        let _ = self.driver.send("DELETE", &format!("/session/{}", self.session), "", &[]);
    }
}

/// Where pictures are kept: `target/page-pictures`.
fn pictures() -> PathBuf {
    let own = std::env::current_exe().expect("a test knows its own file");
    own.ancestors().nth(3).expect("tests run from `target/<profile>/deps`").join("page-pictures")
}

fn from_base64(text: &str) -> Vec<u8> {
    let value = |c: u8| match c {
        b'A'..=b'Z' => Some(c - b'A'),
        b'a'..=b'z' => Some(c - b'a' + 26),
        b'0'..=b'9' => Some(c - b'0' + 52),
        b'+' => Some(62),
        b'/' => Some(63),
        _ => None,
    };
    let (mut bytes, mut bits, mut count) = (Vec::with_capacity(text.len() / 4 * 3), 0_u32, 0);
    for digit in text.bytes().filter_map(value) {
        bits = bits << 6 | u32::from(digit);
        count += 6;
        if count >= 8 {
            count -= 8;
            bytes.push((bits >> count & 0xff).to_le_bytes()[0]);
        }
    }
    bytes
}
