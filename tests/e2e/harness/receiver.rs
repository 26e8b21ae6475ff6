//! Somebody whom the hub tells things: a small HTTP server that keeps what it was sent, and answers as its script says.

use std::collections::VecDeque;
use std::io::{self, Read, Write};
use std::net::{SocketAddr, TcpListener, TcpStream};
use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::thread::{self, JoinHandle};

/// What becomes of a request.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Reaction {
    Answer(u16),
    /// Nothing, until the other side gives up.
    Silence,
}

/// A request as it came.
#[derive(Debug, Clone)]
pub struct Received {
    headers: Vec<(String, String)>,
    pub body: String,
    /// Whether it was answered 200.
    pub was_taken: bool,
}

impl Received {
    pub fn header(&self, name: &str) -> &str {
        let found = self.headers.iter().find(|(of, _)| of == name);
        found.map_or("", |(_, value)| value.as_str())
    }
}

#[derive(Default)]
struct Shared {
    script: Mutex<VecDeque<Reaction>>,
    /// Where the script has ended: 200, unless it is away.
    is_away: AtomicBool,
    received: Mutex<Vec<Received>>,
    is_over: AtomicBool,
}

pub struct Receiver {
    address: SocketAddr,
    shared: Arc<Shared>,
    listening: Option<JoinHandle<()>>,
}

impl Receiver {
    /// Answers as the script says, and 200 after its end.
    pub fn open(script: &[Reaction]) -> Receiver {
        let listener = TcpListener::bind("127.0.0.1:0").expect("a free port");
        let address = listener.local_addr().expect("a bound address");
        let shared =
            Arc::new(Shared { script: Mutex::new(script.iter().copied().collect()), ..Shared::default() });
        let of_thread = Arc::clone(&shared);
        let listening = thread::spawn(move || listen(&listener, &of_thread));
        Receiver { address, shared, listening: Some(listening) }
    }

    pub fn url(&self) -> String {
        format!("http://{}/told", self.address)
    }

    /// From now on nothing is answered, or everything again.
    pub fn is_away(&self, away: bool) {
        self.shared.is_away.store(away, Ordering::SeqCst);
    }

    pub fn received(&self) -> Vec<Received> {
        locked(&self.shared.received).clone()
    }
}

impl Drop for Receiver {
    fn drop(&mut self) {
        self.shared.is_over.store(true, Ordering::SeqCst);
        // Wakes the thread, which then looks whether it is over.
        let _ = TcpStream::connect(self.address);
        if let Some(listening) = self.listening.take() {
            let _ = listening.join();
        }
    }
}

fn locked<T>(mutex: &Mutex<T>) -> MutexGuard<'_, T> {
    mutex.lock().unwrap_or_else(PoisonError::into_inner)
}

fn listen(listener: &TcpListener, shared: &Arc<Shared>) {
    for stream in listener.incoming() {
        if shared.is_over.load(Ordering::SeqCst) {
            return;
        }
        let Ok(stream) = stream else { continue };
        let shared = Arc::clone(shared);
        thread::spawn(move || serve(stream, &shared));
    }
}

/// One connection, one request after the other. Whoever sends it may go away at any moment.
fn serve(mut stream: TcpStream, shared: &Shared) {
    while let Ok(request) = read(&mut stream) {
        let scripted = locked(&shared.script).pop_front();
        let usual =
            if shared.is_away.load(Ordering::SeqCst) { Reaction::Silence } else { Reaction::Answer(200) };
        let reaction = scripted.unwrap_or(usual);
        let was_taken = reaction == Reaction::Answer(200);
        locked(&shared.received).push(Received { was_taken, ..request });
        let written = match reaction {
            Reaction::Silence => {
                // Ends when the other side has given up.
                let _ = stream.read_to_end(&mut Vec::new());
                return;
            }
            Reaction::Answer(status) => {
                stream.write_all(format!("HTTP/1.1 {status} said\r\nContent-Length: 0\r\n\r\n").as_bytes())
            }
        };
        if written.is_err() {
            return;
        }
    }
}

fn read(stream: &mut TcpStream) -> io::Result<Received> {
    let broken = || io::Error::new(io::ErrorKind::UnexpectedEof, "the request stops in its middle");
    let mut bytes = Vec::new();
    let mut piece = [0; 4096];
    let end = loop {
        if let Some(end) = bytes.windows(4).position(|four| four == b"\r\n\r\n") {
            break end;
        }
        match stream.read(&mut piece)? {
            0 => return Err(broken()),
            read => bytes.extend_from_slice(&piece[..read]),
        }
    };
    let head = String::from_utf8_lossy(&bytes[..end]).into_owned();
    let header = |line: &str| {
        line.split_once(':').map(|(name, value)| (name.to_ascii_lowercase(), value.trim().to_owned()))
    };
    let headers: Vec<(String, String)> = head.lines().skip(1).filter_map(header).collect();
    let length = headers.iter().find(|(name, _)| name == "content-length");
    let length: usize = length.and_then(|(_, value)| value.parse().ok()).unwrap_or(0);
    let mut body = bytes.split_off(end + 4);
    while body.len() < length {
        match stream.read(&mut piece)? {
            0 => return Err(broken()),
            read => body.extend_from_slice(&piece[..read]),
        }
    }
    Ok(Received { headers, body: String::from_utf8_lossy(&body).into_owned(), was_taken: false })
}
