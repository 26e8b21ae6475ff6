//! A browser of few words: keeps its cookies, sends forms as one does, follows where it is sent.

use crate::client::{Reply, Request};
use crate::shop::{Shop, until};
use std::collections::BTreeMap;
use std::net::SocketAddr;
use std::path::Path;

pub const BOSS: &str = "Meera";
pub const BOSS_PIN: &str = "8305";

/// A screen in the store.
#[derive(Debug, Clone)]
pub struct Screen {
    at: SocketAddr,
    pub cookies: BTreeMap<String, String>,
    /// The page that was last seen.
    pub page: String,
    pub more: Vec<(&'static str, String)>,
}

impl Shop {
    /// Where browsers reach its page.
    pub fn page(&self) -> SocketAddr {
        self.running().page().unwrap()
    }
}

impl Screen {
    pub fn new(shop: &Shop) -> Screen {
        let more = vec![("host", format!("localhost:{}", shop.page().port()))];
        Screen { at: shop.page(), cookies: BTreeMap::new(), page: String::new(), more }
    }

    /// The shop was started again, elsewhere.
    pub fn moved(&mut self, shop: &Shop) {
        self.at = shop.page();
        self.more = vec![("host", format!("localhost:{}", shop.page().port()))];
    }

    pub fn ask(&mut self, method: &str, path: &str, more: &[(&'static str, &str)], body: &str) -> Reply {
        let mut headers: Vec<(&str, String)> = self.more.clone();
        for (name, value) in more {
            headers.retain(|(known, _)| known != name);
            headers.push((name, (*value).to_owned()));
        }
        let cookies: Vec<String> =
            self.cookies.iter().map(|(name, value)| format!("{name}={value}")).collect();
        if !cookies.is_empty() {
            headers.push(("cookie", cookies.join("; ")));
        }
        let body = body.as_bytes().to_vec();
        let reply = Request { method, path, token: None, headers, body }.send(self.at);
        for (name, value) in &reply.headers {
            if name == "set-cookie" {
                let (cookie, rest) = value.split_once(';').unwrap();
                assert!(rest.contains("HttpOnly") && rest.contains("SameSite=Strict"), "{value}");
                let (name, value) = cookie.split_once('=').unwrap();
                self.cookies.insert(name.to_owned(), value.to_owned());
            }
        }
        self.cookies.retain(|_, value| !value.is_empty());
        reply
    }

    /// Looks at a page, following where it leads.
    pub fn get(&mut self, path: &str) -> Reply {
        let mut reply = self.ask("GET", path, &[], "");
        for _ in 0..5 {
            let Some(place) = reply.header("location").map(str::to_owned) else { break };
            reply = self.ask("GET", &place, &[], "");
        }
        self.page.clone_from(&reply.body);
        reply
    }

    /// Sends a form of the page last seen, as a browser without scripts does.
    pub fn post(&mut self, path: &str, fields: &[(&str, &str)]) -> Reply {
        let body = self.form(fields);
        self.ask("POST", path, &[("sec-fetch-site", "same-origin"), ("origin", "null")], &body)
    }

    /// As `post`, and then looks where it leads.
    pub fn does(&mut self, path: &str, fields: &[(&str, &str)]) -> Reply {
        let reply = self.post(path, fields);
        match reply.header("location").map(str::to_owned) {
            Some(place) => self.get(&place),
            None => {
                self.page.clone_from(&reply.body);
                reply
            }
        }
    }

    /// The fields with the token of the page last seen.
    pub fn form(&self, fields: &[(&str, &str)]) -> String {
        let token = self.token();
        let all = [("form", token.as_str())].into_iter().chain(fields.iter().copied());
        all.map(|(name, value)| format!("{name}={}", encoded(value))).collect::<Vec<_>>().join("&")
    }

    pub fn token(&self) -> String {
        value_after(&self.page, "name=\"form\" value=\"").unwrap_or_default()
    }

    /// What a hidden field of the page last seen holds.
    pub fn hidden(&self, name: &str) -> String {
        value_after(&self.page, &format!("name=\"{name}\" value=\""))
            .unwrap_or_else(|| panic!("no {name} in {}", self.page))
    }

    pub fn h1(&self) -> String {
        value_between(&self.page, "<h1>", "</h1>").unwrap_or_default()
    }

    pub fn sign_in(&mut self, name: &str, pin: &str) -> Reply {
        self.get("/sign-in");
        let link = self.page.split("<li>").find(|entry| entry.contains(&format!(">{name}<")));
        let person =
            value_between(link.unwrap_or_else(|| panic!("no {name} in {}", self.page)), "person=", "&")
                .unwrap();
        self.get(&format!("/sign-in?person={person}"));
        self.does("/sign-in", &[("person", &person), ("pin", pin)])
    }
}

fn encoded(text: &str) -> String {
    text.bytes()
        .map(
            |byte| {
                if byte.is_ascii_alphanumeric() {
                    char::from(byte).to_string()
                } else {
                    format!("%{byte:02X}")
                }
            },
        )
        .collect()
}

fn value_after(page: &str, mark: &str) -> Option<String> {
    value_between(page, mark, "\"")
}

pub fn value_between(page: &str, mark: &str, end: &str) -> Option<String> {
    let rest = &page[page.find(mark)? + mark.len()..];
    Some(rest[..rest.find(end)?].to_owned())
}

pub fn setup_code(folder: &Path) -> String {
    let file = folder.join("data/setup-code");
    until("the set-up code is there", || file.exists());
    std::fs::read_to_string(file).unwrap().trim().to_owned()
}

/// A screen on which the first manager has been set up and is signed in.
pub fn set_up(shop: &Shop) -> Screen {
    let mut screen = Screen::new(shop);
    screen.get("/");
    let code = setup_code(shop.folder.path());
    let fields = [
        ("code", code.as_str()),
        ("name", BOSS),
        ("pin", BOSS_PIN),
        ("pin_again", BOSS_PIN),
        ("device", "Office"),
    ];
    let reply = screen.does("/set-up", &fields);
    assert_eq!(reply.status, 200, "{}", reply.body);
    screen
}
