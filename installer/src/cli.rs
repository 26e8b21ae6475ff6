//! The command line: what can be asked, and how it is answered.

use crate::answers::Answers;
use crate::commands::trial::Terms;
use crate::commands::{
    Report, Site, backup, diag, doctor, install, renew, restore, status, uninstall, upgrade,
};
use crate::console;
use crate::fault::{Exit, Fault};
use crate::habits::Window;
use crate::layout::Layout;
use crate::plan::Points;
use crate::service::Manager;
use clap::{Args, Parser, Subcommand};
use serde_json::json;
use std::path::PathBuf;
use std::process::ExitCode;
use std::time::Duration;

#[derive(Parser)]
#[command(
    name = "storectl",
    version,
    about = "Puts a store-agent on a store server, enrols it with the hub, and looks after it.",
    after_help = "Ends with 0: done; 1: failed; 2: an answer is missing or wrong; 3: --dry-run, and something would change; \
                  4: looked at, and not well; 5: refused until told explicitly."
)]
struct Cli {
    #[command(flatten)]
    place: Place,
    #[command(subcommand)]
    command: Command,
}

#[derive(Args)]
struct Place {
    /// Works below this folder as if it were `/`: for images, containers and tests.
    #[arg(long, global = true, value_name = "DIR", default_value = "/")]
    root: PathBuf,
    /// Who runs the agent.
    #[arg(long, global = true, value_enum, default_value = "systemd")]
    service_manager: Manager,
    /// Shows what would change and changes nothing.
    #[arg(long, global = true)]
    dry_run: bool,
    /// Answers as one JSON object.
    #[arg(long, global = true)]
    json: bool,
    /// Never asks; a missing answer is an error.
    #[arg(long, global = true)]
    non_interactive: bool,
    #[command(flatten)]
    points: PointsAsked,
}

/// For the tests of interruptions; not in release builds.
#[cfg(debug_assertions)]
#[derive(Args)]
struct PointsAsked {
    #[arg(long, global = true, hide = true)]
    stop_at: Option<String>,
    #[arg(long, global = true, hide = true)]
    fail_at: Option<String>,
}

#[cfg(not(debug_assertions))]
#[derive(Args)]
struct PointsAsked {}

impl PointsAsked {
    #[cfg(debug_assertions)]
    fn points(self) -> Points {
        Points { stop_at: self.stop_at, fail_at: self.fail_at }
    }

    #[cfg(not(debug_assertions))]
    fn points(self) -> Points {
        Points::default()
    }
}

#[derive(Subcommand)]
enum Command {
    /// Looks at machine, way to the hub and agent, and says what is wrong and what to do.
    Doctor {
        /// Only what matters before anything is installed.
        #[arg(long)]
        pre_install: bool,
        #[command(flatten)]
        given: Box<Given>,
    },
    /// Makes this machine a store, or mends what is not as it should be.
    Install(Box<Given>),
    /// Gets the store's certificate for a token, on a machine that is installed.
    Enroll {
        /// A new certificate, although there is one.
        #[arg(long)]
        anew: bool,
        #[command(flatten)]
        given: Box<Given>,
    },
    /// Renews the certificate when it is time; for a timer.
    Renew {
        /// Not only when it is time.
        #[arg(long)]
        now: bool,
    },
    /// Says how the agent is.
    Status {
        /// Waits until it is healthy, so many seconds at most.
        #[arg(long, value_name = "SECONDS", num_args = 0..=1, default_missing_value = "30")]
        wait_healthy: Option<u64>,
    },
    /// Writes a file for support, without secrets.
    Diag {
        #[arg(long, value_name = "FILE")]
        out: PathBuf,
    },
    /// Copies everything of this store into one file, while it runs.
    Backup {
        #[arg(long, value_name = "FILE")]
        out: PathBuf,
    },
    /// Puts a backup in place.
    Restore {
        #[arg(long, value_name = "FILE")]
        from: PathBuf,
        /// Although there is data; it is moved aside.
        #[arg(long)]
        replace: bool,
    },
    /// Puts a signed release in the place of the programs that are here, and goes back by itself when it is not well.
    Upgrade {
        /// The release: a folder, a bundle of one, or a folder on a web server (https://…).
        #[arg(long, value_name = "PLACE", conflicts_with = "resume")]
        from: Option<String>,
        /// Asks head office which release it shall be; for a timer. Nothing wished, or nobody reached, is no failure.
        #[arg(long, conflicts_with_all = ["from", "resume", "one_way"])]
        auto: bool,
        /// Only brings to its end what was interrupted.
        #[arg(long)]
        resume: bool,
        /// Also outside of the window, and while somebody is at work on an order or a count.
        #[arg(long)]
        now: bool,
        /// Also where the version that is here could not go on with the databases afterwards.
        #[arg(long)]
        one_way: bool,
        /// The authorities that count for a web server, in PEM, in the place of the system's.
        #[arg(long, value_name = "FILE")]
        ca: Option<PathBuf>,
        /// When the agent may be started anew, as in 01:00-05:00, in this machine's time.
        #[arg(long, value_name = "HH:MM-HH:MM")]
        window: Option<Window>,
        #[command(flatten)]
        trial: TrialAsked,
    },
    /// Goes back to the version before the last upgrade.
    Rollback {
        #[command(flatten)]
        trial: TrialAsked,
    },
    /// Takes the agent away and keeps the store's data.
    Uninstall {
        /// Data, configuration and keys go too.
        #[arg(long)]
        purge: bool,
        /// Yes, they shall go.
        #[arg(long)]
        yes: bool,
        /// Also what has not reached the hub.
        #[arg(long)]
        even_unsent: bool,
    },
}

#[derive(Args)]
struct TrialAsked {
    /// So long the agent may take to be well after its start.
    #[arg(long, value_name = "SECONDS", default_value = "30")]
    healthy_within: u64,
    /// So long it has to stay well.
    #[arg(long, value_name = "SECONDS", default_value = "30")]
    trial: u64,
    /// Starts the agent anew where no service manager does: run by `sh`.
    #[arg(long, value_name = "COMMAND")]
    restart_with: Option<String>,
}

impl TrialAsked {
    fn asked(self) -> upgrade::Asked {
        let terms = Terms {
            healthy_within: Duration::from_secs(self.healthy_within),
            stays_for: Duration::from_secs(self.trial),
        };
        upgrade::Asked {
            from: None,
            sequence: None,
            resume: false,
            now: false,
            one_way: false,
            ca: None,
            window: None,
            restart_with: self.restart_with,
            terms,
        }
    }
}

#[derive(Args)]
struct Given {
    /// A TOML file with answers; flags count more.
    #[arg(long, value_name = "FILE")]
    answers: Option<PathBuf>,
    #[command(flatten)]
    flags: Answers,
}

impl Given {
    fn answers(self) -> Result<Answers, Fault> {
        match self.answers {
            Some(file) => Ok(self.flags.or(Answers::read(&file)?)),
            None => Ok(self.flags),
        }
    }
}

/// Does what the arguments ask.
#[must_use]
pub fn main() -> ExitCode {
    let Cli { place, command } = Cli::parse();
    let as_json = place.json;
    let site = Site {
        layout: Layout::at(&std::path::absolute(&place.root).unwrap_or(place.root)),
        manager: place.service_manager,
        points: place.points.points(),
        dry_run: place.dry_run,
        non_interactive: place.non_interactive,
    };
    let exit = match run(&site, command) {
        Ok(Report { exit, text, json }) => {
            if as_json {
                console::show(&json.to_string())
            } else {
                console::show(&text)
            }
            exit
        }
        Err(fault) => told(&fault, as_json),
    };
    ExitCode::from(exit.code())
}

fn run(site: &Site, command: Command) -> Result<Report, Fault> {
    match command {
        Command::Doctor { pre_install, given } => doctor::run(site, given.answers()?, pre_install),
        Command::Install(given) => install::run(site, given.answers()?, install::Asked::default()),
        Command::Enroll { anew, given } => {
            install::run(site, given.answers()?.enrolling(), install::Asked { anew, installed_only: true })
        }
        Command::Renew { now } => renew::run(site, now),
        Command::Status { wait_healthy } => {
            status::run(site, wait_healthy.map(|seconds| status::Patience(Duration::from_secs(seconds))))
        }
        Command::Diag { out } => diag::run(site, &out),
        Command::Backup { out } => backup::run(site, &out),
        Command::Restore { from, replace } => restore::run(site, &from, replace),
        Command::Upgrade { from, auto, resume, now, one_way, ca, window, trial } => {
            let asked = upgrade::Asked { from, resume, now, one_way, ca, window, ..trial.asked() };
            if auto { upgrade::following::run(site, &asked) } else { upgrade::run(site, &asked) }
        }
        Command::Rollback { trial } => upgrade::back(site, &trial.asked()),
        Command::Uninstall { purge, yes, even_unsent } => {
            uninstall::run(site, uninstall::Asked { purge, yes, even_unsent })
        }
    }
}

fn told(fault: &Fault, as_json: bool) -> Exit {
    console::say(&format!("storectl: {fault}"));
    if as_json {
        let (code, todo) = (fault.code.name(), fault.code.todo());
        let error = json!({ "code": code, "means": fault.code.title(), "says": fault.story(), "todo": todo });
        console::show(&json!({ "error": error }).to_string());
    }
    fault.code.exit()
}
