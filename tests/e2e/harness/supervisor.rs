//! Who runs a store's agent where systemd does not: starts the program that the link leads to, and starts it again whenever it ends.

use super::wait::pause;
use std::fs::{self, OpenOptions};
use std::path::{Path, PathBuf};
use std::process::{Child, Command, Stdio};
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::thread::JoinHandle;

/// Ends its program with itself.
pub struct Supervisor {
    pid_file: PathBuf,
    closing: Arc<AtomicBool>,
    thread: Option<JoinHandle<()>>,
}

impl Supervisor {
    /// Runs `program args…`, its talk in `log`, its process id in a file beside that.
    pub fn start(program: &Path, args: &[&str], log: &Path) -> Supervisor {
        let (program, log) = (program.to_owned(), log.to_owned());
        let args: Vec<String> = args.iter().map(|&arg| arg.to_owned()).collect();
        let pid_file = log.with_extension("pid");
        let closing = Arc::new(AtomicBool::new(false));
        let (told, pids) = (Arc::clone(&closing), pid_file.clone());
        let folder = log.parent().expect("a log lies in a folder").to_owned();
        let thread = std::thread::spawn(move || {
            while !told.load(Ordering::Relaxed) {
                let open = || {
                    OpenOptions::new().create(true).append(true).open(&log).expect("the log can be opened")
                };
                // A shell opens a script once more by the path it was started with: through a link it may find another program there.
                let started = fs::canonicalize(&program).and_then(|program| {
                    Command::new(program)
                        .args(&args)
                        .current_dir(&folder)
                        .stdin(Stdio::null())
                        .stdout(open())
                        .stderr(open())
                        .spawn()
                });
                if let Ok(child) = started {
                    fs::write(&pids, child.id().to_string()).expect("a file can be written");
                    until_it_ends(child, &told);
                }
                pause(50);
            }
        });
        Supervisor { pid_file, closing, thread: Some(thread) }
    }

    /// What a shell runs to have the program started anew. Like a service manager it is done when the old one has ended.
    pub fn restart_command(&self) -> String {
        let file = self.pid_file.display();
        format!("pid=$(cat {file}); kill -TERM $pid; while kill -0 $pid; do sleep 0.05; done; true")
    }
}

fn until_it_ends(mut child: Child, told: &AtomicBool) {
    while child.try_wait().expect("a child can be asked").is_none() {
        if told.load(Ordering::Relaxed) {
            child.kill().expect("a child can be killed");
            child.wait().expect("a killed child ends");
            return;
        }
        pause(10);
    }
}

impl Drop for Supervisor {
    fn drop(&mut self) {
        self.closing.store(true, Ordering::Relaxed);
        if let Some(thread) = self.thread.take() {
            let _ = thread.join();
        }
    }
}
