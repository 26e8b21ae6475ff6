//! Mosquitto between the stores and the hub, set up by the very files that docs/operating/brokers.md hands out.

use crate::fleet::daemon::Daemon;
use crate::fleet::hub::Hub;
use crate::plain::servers::{MOSQUITTO, free_port, wait_until};
use anyhow::{Context, Result, ensure};
use std::fs;
use std::net::{SocketAddr, TcpStream};
use std::path::Path;

const CONFIGURATION: &str = include_str!("../../../docs/operating/brokers/mosquitto.conf");
const RULES: &str = include_str!("../../../docs/operating/brokers/mosquitto.acl");

/// A running broker.
pub struct Broker {
    daemon: Daemon,
    pub address: SocketAddr,
}

/// Where the broker will listen, and what the hub's configuration says of it.
pub fn place() -> Result<(SocketAddr, String)> {
    let address = free_port()?;
    let table = format!("[broker]\naddress = \"{}:{}\"\n", crate::fleet::hub::SERVER_NAME, address.port());
    Ok((address, table))
}

/// The program, where it is installed.
#[must_use]
pub fn program() -> Option<&'static Path> {
    MOSQUITTO.iter().map(Path::new).find(|program| program.is_file())
}

impl Broker {
    /// Starts it with a certificate of the hub's authority.
    pub async fn start(folder: &Path, address: SocketAddr, hub: &Hub) -> Result<Self> {
        let program = program().context("there is no mosquitto: `apt-get install mosquitto`")?;
        hub.issue_for_broker(folder).await?;
        let config = folder.join("mosquitto.conf");
        fs::write(&config, configured(folder, address)?).context("writing mosquitto's configuration")?;
        fs::write(folder.join("mosquitto.acl"), RULES).context("writing mosquitto's rules")?;
        let arguments = ["-c", &config.to_string_lossy()];
        let mut daemon = Daemon::spawn("mosquitto", program, &arguments, &folder.join("mosquitto.log"))?;
        wait_until(&mut daemon, || TcpStream::connect(address).is_ok()).await?;
        Ok(Self { daemon, address })
    }

    #[must_use]
    pub fn pid(&self) -> u32 {
        self.daemon.pid()
    }

    pub async fn stop(self) -> Result<()> {
        self.daemon.stop().await
    }
}

/// The documented configuration with another port, other paths, and no change of user.
fn configured(folder: &Path, address: SocketAddr) -> Result<String> {
    let listener = format!("\nlistener {} {}\n", address.port(), address.ip());
    let folder = folder.to_string_lossy();
    let changes = [
        ("\nlistener 8883\n", listener.as_str()),
        ("\nuser mosquitto\n", "\nuser root\n"),
        ("/etc/mosquitto/shopsmart", folder.as_ref()),
    ];
    let mut text = CONFIGURATION.to_owned();
    for (documented, ours) in changes {
        ensure!(text.contains(documented), "mosquitto.conf has no `{}` any more", documented.trim());
        text = text.replace(documented, ours);
    }
    Ok(text)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_documented_configuration_moves_to_another_place() {
        let text = configured(Path::new("/tmp/here"), "127.0.0.1:1234".parse().unwrap()).unwrap();
        assert!(
            text.contains("\nlistener 1234 127.0.0.1\n")
                && text.contains("\nacl_file /tmp/here/mosquitto.acl\n")
        );
        assert!(!text.contains("/etc/mosquitto/shopsmart"));
    }
}
