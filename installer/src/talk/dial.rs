//! A TCP connection to the hub, straight or by HTTP CONNECT.

use crate::fault::{Code, Fault};
use std::net::SocketAddr;
use std::time::Duration;
use sync_protocol::enrolment::Address;
use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::{TcpStream, lookup_host};
use tokio::time::timeout;

const LOOK_UP_WITHIN: Duration = Duration::from_secs(10);
const CONNECT_WITHIN: Duration = Duration::from_secs(10);
const PROXY_ANSWERS_WITHIN: Duration = Duration::from_secs(15);
/// What a proxy may say before the connection is through.
const PROXY_HEAD_BYTES_MAX: usize = 16 << 10;

/// The addresses of a name.
pub async fn look_up(at: &Address) -> Result<Vec<SocketAddr>, Fault> {
    let host = at.host();
    let found = timeout(LOOK_UP_WITHIN, lookup_host((host, at.port()))).await;
    let failed = |why: String| Fault::new(Code::E301, format!("`{host}` can't be looked up: {why}"));
    let found: Vec<SocketAddr> = found
        .map_err(|_| failed("no answer".to_owned()))?
        .map_err(|error| failed(error.to_string()))?
        .collect();
    if found.is_empty() { Err(failed("it has no address".to_owned())) } else { Ok(found) }
}

/// Connects to `to`; through `proxy`, if there is one, which then looks the name up.
pub async fn dial(to: &Address, proxy: Option<&Address>) -> Result<TcpStream, Fault> {
    let Some(proxy) = proxy else { return straight(to).await };
    let stream = straight(proxy).await.map_err(|fault| {
        Fault::caused(Code::E304, format!("the proxy {proxy} can't be reached"), fault.story())
    })?;
    let asked = timeout(PROXY_ANSWERS_WITHIN, ask_through(stream, to)).await;
    asked.unwrap_or_else(|_| Err("it does not answer".to_owned())).map_err(|why| {
        Fault::new(Code::E304, format!("the proxy {proxy} does not connect us to {to}: {why}"))
    })
}

async fn straight(to: &Address) -> Result<TcpStream, Fault> {
    let mut last = String::new();
    for address in look_up(to).await? {
        match timeout(CONNECT_WITHIN, TcpStream::connect(address)).await {
            Ok(Ok(stream)) => {
                // Small requests, each waited for.
                let _ = stream.set_nodelay(true);
                return Ok(stream);
            }
            Ok(Err(error)) => last = error.to_string(),
            Err(_) => last = "no answer".to_owned(),
        }
    }
    Err(Fault::new(Code::E302, format!("{to} can't be reached over TCP: {last}")))
}

async fn ask_through(mut stream: TcpStream, to: &Address) -> Result<TcpStream, String> {
    let request = format!("CONNECT {to} HTTP/1.1\r\nHost: {to}\r\n\r\n");
    stream.write_all(request.as_bytes()).await.map_err(|error| error.to_string())?;
    let mut head = Vec::new();
    // Byte by byte: what follows the head belongs to the one behind the proxy.
    while !head.ends_with(b"\r\n\r\n") {
        if head.len() >= PROXY_HEAD_BYTES_MAX {
            return Err("its answer does not end".to_owned());
        }
        head.push(stream.read_u8().await.map_err(|error| error.to_string())?);
    }
    let first = String::from_utf8_lossy(&head).lines().next().unwrap_or_default().to_owned();
    match first.split(' ').nth(1) {
        Some(status) if status.len() == 3 && status.starts_with('2') => Ok(stream),
        _ => Err(format!("it answers `{}`", first.escape_debug())),
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::talk::wait_for;
    use tokio::net::TcpListener;

    /// Answers every request head with `answer`, and says what it was asked.
    async fn proxy(answer: &'static str) -> (Address, tokio::task::JoinHandle<String>) {
        let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
        let address = listener.local_addr().unwrap().to_string().parse().unwrap();
        let served = tokio::spawn(async move {
            let (mut stream, _) = listener.accept().await.unwrap();
            let mut head = Vec::new();
            while !head.ends_with(b"\r\n\r\n") {
                head.push(stream.read_u8().await.unwrap());
            }
            stream.write_all(answer.as_bytes()).await.unwrap();
            String::from_utf8(head).unwrap()
        });
        (address, served)
    }

    #[test]
    fn a_proxy_is_asked_to_connect_and_what_follows_is_ours() {
        let said = wait_for(async {
            let (proxy, served) = proxy("HTTP/1.1 200 Connection established\r\nVia: x\r\n\r\nhello").await;
            let mut stream = dial(&"hub.example:7445".parse().unwrap(), Some(&proxy)).await?;
            let mut said = String::new();
            stream.read_to_string(&mut said).await.unwrap();
            assert!(
                served
                    .await
                    .unwrap()
                    .starts_with("CONNECT hub.example:7445 HTTP/1.1\r\nHost: hub.example:7445")
            );
            Ok(said)
        });
        assert_eq!(said.unwrap(), "hello");
    }

    #[test]
    fn a_proxy_that_refuses_is_quoted() {
        let fault = wait_for(async {
            let (proxy, _served) = proxy("HTTP/1.1 403 Forbidden by policy\r\n\r\n").await;
            dial(&"hub.example:7445".parse().unwrap(), Some(&proxy)).await
        });
        let fault = fault.unwrap_err();
        assert_eq!(fault.code, Code::E304);
        assert!(fault.to_string().contains("403 Forbidden by policy"), "{fault}");
    }

    #[test]
    fn nobody_there_and_no_such_name_are_told_apart() {
        let nobody = wait_for(async {
            let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
            let address = listener.local_addr().unwrap();
            drop(listener);
            dial(&address.to_string().parse().unwrap(), None).await
        });
        assert_eq!(nobody.unwrap_err().code, Code::E302);
        let no_name = wait_for(async { dial(&"no-such-host.invalid:1".parse().unwrap(), None).await });
        assert_eq!(no_name.unwrap_err().code, Code::E301);
    }
}
