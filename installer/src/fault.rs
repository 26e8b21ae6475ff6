//! The catalogue of what can go wrong: each code with what it means, what to do, and what the program ends with.
//!
//! Promises: a code is never used for something else later; `docs/operating/storectl.md` lists the same codes with the same words
//! (a test holds the two together); a fault names the act and the thing, and ends in what to do.

use std::error::Error;
use std::fmt;

/// What `storectl` ends with.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Exit {
    Done = 0,
    Failed = 1,
    /// What was asked can't be understood, or an answer is missing.
    Usage = 2,
    /// `--dry-run`: something would change.
    WouldChange = 3,
    /// It was looked at, and is not well.
    NotWell = 4,
    /// It would lose something, and was not told so explicitly.
    Refused = 5,
}

impl Exit {
    #[must_use]
    pub fn code(self) -> u8 {
        self as u8
    }
}

macro_rules! catalogue {
    ($($code:ident $exit:ident $title:literal, $todo:literal;)*) => {
        /// One thing that can go wrong.
        #[derive(Debug, Clone, Copy, PartialEq, Eq)]
        pub enum Code { $($code),* }

        impl Code {
            #[cfg(test)]
            pub const ALL: &'static [Code] = &[$(Code::$code),*];

            #[must_use]
            pub fn name(self) -> &'static str {
                match self { $(Code::$code => stringify!($code)),* }
            }

            /// What it means, for the catalogue.
            #[must_use]
            pub fn title(self) -> &'static str {
                match self { $(Code::$code => $title),* }
            }

            #[must_use]
            pub fn todo(self) -> &'static str {
                match self { $(Code::$code => $todo),* }
            }

            #[must_use]
            pub fn exit(self) -> Exit {
                match self { $(Code::$code => Exit::$exit),* }
            }
        }
    };
}

catalogue! {
    E101 Usage "an answer is missing", "give it as a flag, in the answers file, or run without --non-interactive";
    E102 Usage "an answer is not valid", "correct it where it was given";
    E103 Usage "the answers file can't be used", "correct the line that is named";
    E104 Usage "there is no enrolment token, and the store has no certificate yet", "make one at the hub and give it by --token-file, standard input or SHOPSMART_TOKEN";
    E105 Usage "the enrolment token is not one", "copy it again, whole; it is one line";
    E106 Usage "the enrolment token is for another store", "make a token for this store at the hub, or correct the store";
    E107 Usage "the CA pin and the token name different authorities", "ask head office which hub this store belongs to; do not go on before";
    E201 Failed "this needs rights that you do not have", "run it as root, with sudo";
    E202 Failed "a file or folder can't be read or written", "look at the reason; a full or failing disk, or rights";
    E203 NotWell "little room is left on the disk", "make room, or put the data on a larger disk";
    E204 NotWell "a port is taken by another program", "stop that program, or choose another address with --listen or --page-listen";
    E205 NotWell "the clock is wrong", "switch on time synchronisation (timedatectl set-ntp true), or set the clock";
    E206 NotWell "little memory is free", "stop what is not needed; the agent needs some 100 MB";
    E207 NotWell "the disk takes long to write durably", "each sale waits for it; use a local SSD";
    E208 NotWell "a file's owner or mode is not as it should be", "run `storectl install` again: it mends that";
    E209 Failed "another storectl is at work on this store", "wait until it has ended";
    E210 NotWell "this disk has been in another machine, or the system was set up anew", "if the other machine still runs with the same disk, stop one of the two; then run `storectl install` here";
    E301 NotWell "the hub's name can't be looked up", "check the name and the DNS servers (/etc/resolv.conf)";
    E302 NotWell "no TCP connection to the hub", "open the port towards the hub in the firewall, or name the proxy";
    E303 NotWell "no UDP to the hub", "open UDP towards the hub's port; until then the agent uses MQTT over TCP";
    E304 NotWell "the proxy does not let us through", "let the proxy allow CONNECT to the hub's address and port";
    E305 NotWell "somebody on the way opens the encryption, or this is another hub", "have the hub's address excepted from TLS inspection; the issuer says who does it";
    E306 Failed "the hub gave no answer, or one that can't be understood", "try again; if it stays, compare the versions of storectl and hub";
    E401 Failed "the hub refuses", "do what its words say";
    E402 NotWell "head office has to let this store in first", "tell head office the registration, then run the same command again";
    E501 Failed "the agent's program is missing or does not run", "install the package, or give the file with --agent";
    E502 Failed "the agent does not accept the configuration", "correct what it names; the old configuration is still in force";
    E503 Failed "the service manager refused", "look at its words, and at `journalctl -u store-agent`";
    E504 NotWell "the agent is not healthy", "look at its log: `journalctl -u store-agent`";
    E505 Refused "the agent is running", "stop it first";
    E506 NotWell "the agent's database is damaged", "keep the file for us, move it away and start the agent: it takes over from the hub's copy";
    E507 NotWell "changes wait to be sent", "nothing is lost; look at the way to the hub";
    E508 Refused "changes of this store have not reached the hub and would be lost", "let the agent send them, or say --even-unsent";
    E509 Failed "nothing is installed here", "run `storectl install`";
    E510 Refused "this would remove the store's data", "say --yes beside --purge";
    E601 NotWell "the store's certificate ends soon and was not renewed", "run `storectl renew`";
    E602 NotWell "the store's certificate has ended", "run `storectl renew`: it uses the store's second key";
    E603 Failed "the store's key and certificate do not go together", "enrol the store again with a new token: `storectl enroll --anew`";
    E701 Usage "this is no backup that storectl can use", "give the file that `storectl backup` wrote";
    E702 Refused "the backup is of another store", "give this store's own backup";
    E703 Refused "there is data here already", "say --replace: what is there is moved aside, not removed";
    E801 Usage "this is no release that storectl can use", "give the folder, the bundle or the address that head office names; copy it again, whole";
    E802 Failed "the release is not signed by a key that counts here", "do not use it; ask head office which keys sign its releases";
    E803 Failed "a file of the release is not the one that was signed", "copy or download the release again";
    E804 Failed "the release or its keys are out of date", "get a newer one; if this one is new, look at the clock";
    E805 Refused "the release is not newer than what is here", "nothing has to be done; `storectl rollback` goes back to the version before";
    E806 Refused "a package looks after the agent's program here", "upgrade the package";
    E807 Refused "this is not the time for it", "try again later, or say --now";
    E808 Refused "there would be no way back from this release", "make a backup, then say --one-way";
    E809 Failed "the new version did not stand its trial, and the one before is back", "the store runs as before; send `storectl diag` to head office";
    E810 NotWell "an upgrade has ended in between", "look at `journalctl -u store-agent`, mend what it names, then run `storectl upgrade --resume`: it judges anew";
    E811 Failed "there is no version to go back to", "upgrade to the version that is wanted";
    E812 Failed "no key is known here that may sign releases", "put head office's root key into /etc/shopsmart/release-roots.pub";
    E813 Failed "the release can't be downloaded", "look at the reason; name its authority with --ca, or bring the release on a stick";
    E814 Failed "what lies at the address is not the release that head office wishes", "tell head office: `cloud-hub rollout start` and the release have to name the same number";
    E901 Failed "storectl itself has a fault", "report it with the words that are shown";
}

/// Something that went wrong: its code, what was attempted on what, and the cause.
#[derive(Debug)]
pub struct Fault {
    pub code: Code,
    says: String,
    source: Option<Box<dyn Error + Send + Sync>>,
}

impl Fault {
    pub fn new(code: Code, says: impl Into<String>) -> Fault {
        Fault { code, says: says.into(), source: None }
    }

    pub fn caused(
        code: Code,
        says: impl Into<String>,
        source: impl Into<Box<dyn Error + Send + Sync>>,
    ) -> Fault {
        Fault { code, says: says.into(), source: Some(source.into()) }
    }

    /// What happened, with its causes.
    #[must_use]
    pub fn story(&self) -> String {
        let mut story = self.says.clone();
        let mut cause = self.source();
        while let Some(error) = cause {
            story.push_str(": ");
            story.push_str(&error.to_string());
            cause = error.source();
        }
        story
    }
}

impl fmt::Display for Fault {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}: {}\n  what to do: {}", self.code.name(), self.story(), self.code.todo())
    }
}

impl Error for Fault {
    fn source(&self) -> Option<&(dyn Error + 'static)> {
        self.source.as_ref().map(|source| &**source as &(dyn Error + 'static))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_fault_says_its_code_the_story_and_what_to_do() {
        let cause = std::io::Error::other("disk full");
        let said = Fault::caused(Code::E202, "cannot write `/x`", cause).to_string();
        assert_eq!(
            said,
            "E202: cannot write `/x`: disk full\n  what to do: look at the reason; a full or failing disk, or rights"
        );
    }

    #[test]
    fn the_page_lists_the_same_codes_with_the_same_words() {
        let page = include_str!("../../docs/operating/storectl.md");
        let rows: Vec<&str> = page.lines().filter(|line| line.starts_with("| E")).collect();
        let wanted: Vec<String> = Code::ALL
            .iter()
            .map(|code| {
                format!("| {} | {} | {} | {} |", code.name(), code.exit().code(), code.title(), code.todo())
            })
            .collect();
        assert_eq!(rows, wanted);
    }
}
