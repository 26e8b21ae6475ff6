//! A gate between a browser and a store's page: while it is shut, what is asked goes through and every answer waits before it. So a
//! test decides when an answer comes, and what happens meanwhile.

use std::io::{Read, Write};
use std::net::{Ipv4Addr, Shutdown, SocketAddr, TcpListener, TcpStream};
use std::sync::{Arc, Condvar, Mutex, MutexGuard, PoisonError};
use std::thread;

pub struct Gate {
    address: SocketAddr,
    state: Arc<State>,
}

#[derive(Default)]
struct State {
    now: Mutex<Now>,
    changed: Condvar,
}

#[derive(Default)]
struct Now {
    shut: bool,
    closed: bool,
    /// What stands before the gate, in pieces as they came.
    waiting: u32,
    /// What browsers have asked since the gate was shut, one text for each piece that came.
    asked: Vec<String>,
}

impl Gate {
    /// An open gate before whatever listens at `page`.
    pub fn before(page: SocketAddr) -> Gate {
        let listener = TcpListener::bind((Ipv4Addr::LOCALHOST, 0)).expect("a free port");
        let address = listener.local_addr().expect("a bound socket has an address");
        let state = Arc::new(State::default());
        let accepting = Arc::clone(&state);
        thread::spawn(move || {
            for browser in listener.incoming().map_while(Result::ok) {
                if accepting.now().closed {
                    break;
                }
                carry(&accepting, &browser, page);
            }
        });
        Gate { address, state }
    }

    pub fn address(&self) -> SocketAddr {
        self.address
    }

    pub fn shut(&self) {
        let mut now = self.state.now();
        now.shut = true;
        now.asked.clear();
    }

    pub fn open(&self) {
        self.state.now().shut = false;
        self.state.changed.notify_all();
    }

    /// How many requests of this kind have gone through since the gate was shut: `POST /count/enter`.
    pub fn asked(&self, what: &str) -> usize {
        self.state.now().asked.iter().filter(|piece| piece.starts_with(what)).count()
    }

    /// Whether an answer stands before it.
    pub fn holds_something(&self) -> Result<(), u32> {
        let waiting = self.state.now().waiting;
        if waiting > 0 { Ok(()) } else { Err(waiting) }
    }
}

impl Drop for Gate {
    fn drop(&mut self) {
        self.state.now().closed = true;
        self.state.changed.notify_all();
        // Wakes whoever waits for the next browser.
        let _ = TcpStream::connect(self.address);
    }
}

impl State {
    fn now(&self) -> MutexGuard<'_, Now> {
        self.now.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// Comes back when the gate is open; `false` when it is gone.
    fn pass(&self) -> bool {
        let mut now = self.now();
        now.waiting += 1;
        let mut now = self
            .changed
            .wait_while(now, |now| now.shut && !now.closed)
            .unwrap_or_else(PoisonError::into_inner);
        now.waiting -= 1;
        !now.closed
    }
}

fn carry(state: &Arc<State>, browser: &TcpStream, page: SocketAddr) {
    let Ok(server) = TcpStream::connect(page) else { return };
    let ends = || Some((browser.try_clone().ok()?, server.try_clone().ok()?));
    let (Some((browser_in, server_in)), Some((browser_out, server_out))) = (ends(), ends()) else { return };
    let (up, down) = (Arc::clone(state), Arc::clone(state));
    thread::spawn(move || {
        pump(browser_in, server_in, |piece| {
            up.now().asked.push(String::from_utf8_lossy(piece).into_owned());
            true
        });
    });
    thread::spawn(move || pump(server_out, browser_out, |_| down.pass()));
}

fn pump(mut from: TcpStream, mut to: TcpStream, mut passes: impl FnMut(&[u8]) -> bool) {
    let mut bytes = [0; 65_536];
    while let Ok(read) = from.read(&mut bytes) {
        if read == 0 || !passes(&bytes[..read]) || to.write_all(&bytes[..read]).is_err() {
            break;
        }
    }
    let _ = to.shutdown(Shutdown::Both);
    let _ = from.shutdown(Shutdown::Both);
}
