//! The one place that runs other programs: never through a shell, in a process group of their own,
//! with what they print kept up to a limit.
//!
//! A program that is started to [`Program::die_with_us`] begins as this very binary, which asks the
//! kernel for a signal at its parent's death and then becomes the program ([`become_program`]).
//! The signal reaches the program itself; what the program started on its own may live on.

use std::collections::VecDeque;
use std::ffi::{OsStr, OsString};
use std::io::{self, Read, Write};
use std::os::unix::fs::PermissionsExt as _;
use std::os::unix::process::{CommandExt as _, ExitStatusExt as _};
use std::path::{Path, PathBuf};
use std::process::{Child, Command, ExitCode, ExitStatus, Stdio};
use std::sync::mpsc::{Receiver, Sender, channel};
use std::sync::{Arc, Mutex, PoisonError};
use std::time::Duration;

use rustix::event::{PollFd, PollFlags, Timespec, poll};
use rustix::fd::OwnedFd;
use rustix::process::{
    Pid, PidfdFlags, Signal, getppid, kill_process, kill_process_group, pidfd_open,
    set_parent_process_death_signal,
};

use super::Clock;

/// How much of each stream is kept.
pub const KEPT: usize = 64 << 10;
/// The first argument of a start that will become another program.
pub const BECOME: &str = "__become";
/// How long to wait for the rest of the output once the program has ended: somebody it started may
/// hold the pipe for ever.
const REST: Duration = Duration::from_millis(500);

/// What a program's standard output and error become.
#[derive(Clone, Copy, Debug, Default, Eq, PartialEq)]
pub enum Streams {
    /// Ours: nothing is kept.
    Inherited,
    /// The last [`KEPT`] bytes of each are kept.
    #[default]
    Kept,
    /// Kept, and written to our standard error as well.
    Shown,
}

/// A program to be run.
#[derive(Clone, Debug)]
pub struct Program {
    argv: Vec<OsString>,
    set: Vec<(OsString, OsString)>,
    remove: Vec<OsString>,
    stdin: Option<Vec<u8>>,
    streams: Streams,
    own_group: bool,
    death: Option<Signal>,
    bare: bool,
    directory: Option<PathBuf>,
    kept: usize,
    tee: Option<Sender<Vec<u8>>>,
}

impl Program {
    /// The program and its arguments. Our standard input is handed on unless it is replaced.
    #[must_use]
    pub const fn new(argv: Vec<OsString>) -> Self {
        Self {
            argv,
            set: Vec::new(),
            remove: Vec::new(),
            stdin: None,
            streams: Streams::Kept,
            own_group: true,
            death: None,
            bare: false,
            directory: None,
            kept: KEPT,
            tee: None,
        }
    }

    /// Sets a variable of its environment.
    #[must_use]
    pub fn env(mut self, name: impl Into<OsString>, value: impl Into<OsString>) -> Self {
        self.set.push((name.into(), value.into()));
        self
    }

    /// Takes a variable out of its environment, whether it was handed on or set before.
    #[must_use]
    pub fn without(mut self, name: impl Into<OsString>) -> Self {
        let name = name.into();
        self.set.retain(|(set, _)| *set != name);
        self.remove.push(name);
        self
    }

    /// Starts it with nothing in its environment but what is set for it.
    #[must_use]
    pub const fn bare(mut self) -> Self {
        self.bare = true;
        self
    }

    /// Starts it in this directory.
    #[must_use]
    pub fn directory(mut self, directory: impl Into<PathBuf>) -> Self {
        self.directory = Some(directory.into());
        self
    }

    /// Keeps the last `bytes` of each stream instead of the last [`KEPT`].
    #[must_use]
    pub const fn keeping(mut self, bytes: usize) -> Self {
        self.kept = bytes;
        self
    }

    /// Sends each piece of its standard output to `to` as well, as it comes.
    #[must_use]
    pub fn tee(mut self, to: Sender<Vec<u8>>) -> Self {
        self.tee = Some(to);
        self
    }

    /// Gives it this on standard input.
    #[must_use]
    pub fn stdin(mut self, bytes: Vec<u8>) -> Self {
        self.stdin = Some(bytes);
        self
    }

    /// What its output becomes.
    #[must_use]
    pub const fn streams(mut self, streams: Streams) -> Self {
        self.streams = streams;
        self
    }

    /// Leaves it in our process group, so that it can read from our terminal.
    #[must_use]
    pub const fn in_our_group(mut self) -> Self {
        self.own_group = false;
        self
    }

    /// Sends it `signal` when this process dies, however it dies. The thread that starts it must
    /// live as long.
    #[must_use]
    pub const fn die_with_us(mut self, signal: Signal) -> Self {
        self.death = Some(signal);
        self
    }

    /// Its name for people.
    #[must_use]
    pub fn name(&self) -> String {
        self.argv.first().map(|p| p.to_string_lossy().into_owned()).unwrap_or_default()
    }

    /// Starts it.
    #[expect(clippy::disallowed_methods, reason = "the one place that runs programs")]
    pub fn start(self) -> io::Result<Running> {
        let (program, args) = self
            .argv
            .split_first()
            .ok_or_else(|| io::Error::new(io::ErrorKind::InvalidInput, "no program was named"))?;
        let mut command = if let Some(signal) = self.death {
            let mut command = Command::new("/proc/self/exe");
            command.arg0("coord").arg(BECOME).arg(std::process::id().to_string());
            command.arg(signal.as_raw().to_string()).arg(program);
            command
        } else {
            Command::new(program)
        };
        command.args(args);
        if self.bare {
            command.env_clear();
        }
        for name in &self.remove {
            command.env_remove(name);
        }
        command.envs(self.set.iter().map(|(name, value)| (name, value)));
        if let Some(directory) = &self.directory {
            command.current_dir(directory);
        }
        if self.own_group {
            command.process_group(0);
        }
        if self.stdin.is_some() {
            command.stdin(Stdio::piped());
        }
        if self.streams != Streams::Inherited {
            command.stdout(Stdio::piped()).stderr(Stdio::piped());
        }
        let mut child = command.spawn()?;
        if let (Some(bytes), Some(mut pipe)) = (self.stdin, child.stdin.take()) {
            // A program need not read its input; it must not hold us either.
            std::thread::Builder::new().name("stdin".into()).spawn(move || {
                let _ = pipe.write_all(&bytes);
            })?;
        }
        let show = self.streams == Streams::Shown;
        let (kept, mut tee) = (self.kept, self.tee);
        let out = child.stdout.take().map(|pipe| Tail::follow(pipe, show, kept, tee.take()));
        let err = child.stderr.take().map(|pipe| Tail::follow(pipe, show, kept, None));
        let (out, err) = (out.transpose()?, err.transpose()?);
        let pid = i32::try_from(child.id()).ok().and_then(Pid::from_raw);
        let watch = pid.and_then(|pid| pidfd_open(pid, PidfdFlags::empty()).ok());
        Ok(Running { child, pid, watch, own_group: self.own_group, out, err, ended: None })
    }
}

/// A program that was started. Dropping it neither ends it nor waits for it.
#[derive(Debug)]
pub struct Running {
    child: Child,
    pid: Option<Pid>,
    watch: Option<OwnedFd>,
    own_group: bool,
    out: Option<Tail>,
    err: Option<Tail>,
    ended: Option<Ended>,
}

/// How a program ended.
#[derive(Clone, Copy, Debug, Eq, PartialEq)]
pub struct Ended {
    /// Its exit code, if it ended by itself.
    pub code: Option<i32>,
    /// The signal that ended it.
    pub signal: Option<i32>,
}

impl Ended {
    fn new(status: ExitStatus) -> Self {
        Self { code: status.code(), signal: status.signal() }
    }

    /// Whether it said that all was well.
    #[must_use]
    pub fn is_success(self) -> bool {
        self.code == Some(0)
    }

    /// The exit code as a shell gives it: 128 and the signal for one that was killed.
    #[must_use]
    pub fn exit_code(self) -> u8 {
        let code = self.code.or_else(|| self.signal.map(|s| 128 + s)).unwrap_or(255);
        u8::try_from(code & 0xff).unwrap_or(255)
    }

    /// `exit code 3`, `signal 9`.
    #[must_use]
    pub fn words(self) -> String {
        match (self.code, self.signal) {
            (Some(code), _) => format!("exit code {code}"),
            (None, Some(signal)) => format!("signal {signal}"),
            (None, None) => "an unknown status".to_owned(),
        }
    }
}

/// What is left of a stream.
#[derive(Clone, Debug, Default, Eq, PartialEq)]
pub struct Output {
    /// Its end, at most [`KEPT`] bytes unless [`Program::keeping`] said otherwise, as text.
    pub text: String,
    /// How many bytes came before that.
    pub cut: u64,
}

impl Running {
    /// Its process id.
    #[must_use]
    pub fn id(&self) -> u32 {
        self.child.id()
    }

    /// Waits until it has ended or the time is over; a signal to us ends the wait early.
    pub fn wait(&mut self, clock: &dyn Clock, time: Duration) -> io::Result<Option<Ended>> {
        if let Some(ended) = self.look()? {
            return Ok(Some(ended));
        }
        let limit = Timespec {
            tv_sec: i64::try_from(time.as_secs()).unwrap_or(i64::MAX),
            tv_nsec: time.subsec_nanos().into(),
        };
        match &self.watch {
            Some(watch) => match poll(&mut [PollFd::new(watch, PollFlags::IN)], Some(&limit)) {
                Ok(_) | Err(rustix::io::Errno::INTR) => {}
                Err(e) => return Err(e.into()),
            },
            None => clock.sleep(time.min(Duration::from_millis(20))),
        }
        self.look()
    }

    /// Whether it has ended.
    pub fn look(&mut self) -> io::Result<Option<Ended>> {
        if self.ended.is_none() {
            self.ended = self.child.try_wait()?.map(Ended::new);
        }
        Ok(self.ended)
    }

    /// Sends a signal to it, and to what it started unless that left its group. One that has ended
    /// gets nothing.
    pub fn signal(&self, signal: Signal) {
        let (Some(pid), None) = (self.pid, self.ended) else { return };
        let _ = if self.own_group {
            kill_process_group(pid, signal)
        } else {
            kill_process(pid, signal)
        };
    }

    /// Sends a signal to it alone.
    pub fn signal_alone(&self, signal: Signal) {
        if let (Some(pid), None) = (self.pid, self.ended) {
            let _ = kill_process(pid, signal);
        }
    }

    /// Ends it: asks with SIGTERM, and after `grace`, or when `hurry` says so, insists with
    /// SIGKILL. What it left in its group is ended as well.
    pub fn stop(
        &mut self,
        clock: &dyn Clock,
        grace: Duration,
        hurry: &mut dyn FnMut() -> bool,
    ) -> io::Result<Ended> {
        let until = clock.monotonic() + grace;
        self.signal(Signal::TERM);
        loop {
            let left = until.saturating_sub(clock.monotonic());
            if let Some(ended) = self.wait(clock, left.min(Duration::from_millis(50)))? {
                self.sweep();
                return Ok(ended);
            }
            if left.is_zero() || hurry() {
                self.signal(Signal::KILL);
                let ended = Ended::new(self.child.wait()?);
                self.ended = Some(ended);
                self.sweep();
                return Ok(ended);
            }
        }
    }

    /// Ends what the program has left behind in its group.
    fn sweep(&self) {
        // The number of a group stays taken while somebody is in it; an empty one is gone for
        // good only until the kernel uses the number again, which takes a whole round of numbers.
        if let (Some(pid), true) = (self.pid, self.own_group) {
            let _ = kill_process_group(pid, Signal::KILL);
        }
    }

    /// What it printed, once it has ended: standard output and standard error.
    #[must_use]
    pub fn output(&self) -> (Output, Output) {
        let text = |tail: &Option<Tail>| tail.as_ref().map(Tail::text).unwrap_or_default();
        (text(&self.out), text(&self.err))
    }
}

/// The end of a stream, read by a thread of its own.
#[derive(Debug)]
struct Tail {
    kept: Arc<Mutex<(VecDeque<u8>, u64)>>,
    end: Receiver<()>,
}

impl Tail {
    fn follow(
        mut pipe: impl Read + Send + 'static,
        show: bool,
        most: usize,
        tee: Option<Sender<Vec<u8>>>,
    ) -> io::Result<Self> {
        let kept: Arc<Mutex<(VecDeque<u8>, u64)>> = Arc::default();
        let (tell, end) = channel();
        let into = Arc::clone(&kept);
        std::thread::Builder::new().name("output".into()).spawn(move || {
            let mut piece = [0u8; 8192];
            loop {
                let n = match pipe.read(&mut piece) {
                    Ok(0) => break,
                    Ok(n) => n,
                    Err(e) if e.kind() == io::ErrorKind::Interrupted => continue,
                    Err(_) => break,
                };
                if show {
                    let _ = io::stderr().write_all(&piece[..n]);
                }
                if let Some(tee) = &tee {
                    let _ = tee.send(piece[..n].to_vec());
                }
                let mut kept = into.lock().unwrap_or_else(PoisonError::into_inner);
                kept.0.extend(&piece[..n]);
                let over = kept.0.len().saturating_sub(most);
                kept.0.drain(..over);
                kept.1 += over as u64;
            }
            let _ = tell.send(());
        })?;
        Ok(Self { kept, end })
    }

    fn text(&self) -> Output {
        let _ = self.end.recv_timeout(REST);
        let kept = self.kept.lock().unwrap_or_else(PoisonError::into_inner);
        let bytes: Vec<u8> = kept.0.iter().copied().collect();
        Output { text: String::from_utf8_lossy(&bytes).into_owned(), cut: kept.1 }
    }
}

/// Finds a program as the system would: by its path, or in the directories of `path`.
#[must_use]
pub fn find(program: &OsStr, path: Option<&OsStr>) -> Option<PathBuf> {
    let runs = |file: &Path| {
        file.metadata().is_ok_and(|m| m.is_file() && m.permissions().mode() & 0o111 != 0)
    };
    if program.as_encoded_bytes().contains(&b'/') {
        return Some(PathBuf::from(program)).filter(|file| runs(file));
    }
    let path = path.unwrap_or(OsStr::new("/usr/local/bin:/usr/bin:/bin"));
    std::env::split_paths(path).map(|dir| dir.join(program)).find(|file| runs(file))
}

/// Becomes another program that gets a signal when its parent dies: `PARENT SIGNAL PROGRAM ARGS…`.
/// Returns only if that fails, with the exit code that shells use.
#[must_use]
#[expect(clippy::disallowed_methods, reason = "the one place that runs programs")]
pub fn become_program(args: &[OsString]) -> ExitCode {
    let number = |at: usize| args.get(at).and_then(|a| a.to_str()).and_then(|a| a.parse().ok());
    let (Some(parent), Some(signal), Some(program)) =
        (number(0), number(1).and_then(Signal::from_named_raw), args.get(2))
    else {
        return ExitCode::from(2);
    };
    let asked = set_parent_process_death_signal(Some(signal));
    // The parent may have died before the kernel was asked.
    if asked.is_ok() && getppid().is_none_or(|now| now.as_raw_nonzero().get() != parent) {
        return ExitCode::from(143);
    }
    let failed = Command::new(program).args(&args[3..]).exec();
    let _ = writeln!(io::stderr(), "cannot run `{}`: {failed}", program.to_string_lossy());
    ExitCode::from(if failed.kind() == io::ErrorKind::NotFound { 127 } else { 126 })
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::sys::SystemClock;

    const LONG: Duration = Duration::from_secs(20);

    fn sh(script: &str) -> Program {
        Program::new(["sh", "-c", script].map(OsString::from).to_vec())
    }

    fn end(running: &mut Running) -> Ended {
        let until = SystemClock.monotonic() + LONG;
        while SystemClock.monotonic() < until {
            if let Some(ended) = running.wait(&SystemClock, LONG).unwrap() {
                return ended;
            }
        }
        panic!("it does not end");
    }

    #[test]
    fn input_environment_output_and_exit_code() {
        let mut running = sh("cat; echo \"$A-${HOME-none}\" >&2; exit 3")
            .stdin(b"given".to_vec())
            .env("A", "x")
            .without("HOME")
            .start()
            .unwrap();
        let ended = end(&mut running);
        assert_eq!((ended.code, ended.exit_code(), ended.is_success()), (Some(3), 3, false));
        let (out, err) = running.output();
        assert_eq!((out.text.as_str(), err.text.as_str()), ("given", "x-none\n"));
    }

    #[test]
    fn only_the_end_of_much_output_is_kept() {
        let mut running = sh("head -c 300000 /dev/zero | tr '\\0' x; echo end").start().unwrap();
        assert!(end(&mut running).is_success());
        let (out, _) = running.output();
        assert_eq!((out.text.len(), out.cut), (KEPT, 300_004 - KEPT as u64));
        assert!(out.text.ends_with("xend\n"));
    }

    #[test]
    fn input_that_nobody_reads_and_output_that_nobody_ends_hold_nothing() {
        let mut running = sh("sleep 60 & echo $!").stdin(vec![b'x'; 1 << 20]).start().unwrap();
        assert!(end(&mut running).is_success());
        let left: i32 = running.output().0.text.trim().parse().unwrap();
        kill_process(Pid::from_raw(left).unwrap(), Signal::KILL).unwrap();
    }

    #[test]
    fn stopping_reaches_the_whole_group_and_insists() {
        let mut running = sh("trap '' TERM; sleep 60 & echo $!; wait; sleep 60").start().unwrap();
        while running.out.as_ref().unwrap().kept.lock().unwrap().0.is_empty() {
            SystemClock.sleep(Duration::from_millis(5));
        }
        let ended = running.stop(&SystemClock, Duration::from_millis(100), &mut || false).unwrap();
        assert_eq!((ended.signal, ended.exit_code()), (Some(9), 137));
        let child: i32 = running.output().0.text.trim().parse().unwrap();
        let gone = |pid| {
            let state = std::fs::read_to_string(format!("/proc/{pid}/stat")).unwrap_or_default();
            state.is_empty() || state.contains(") Z ")
        };
        for _ in 0..200 {
            if gone(child) {
                return;
            }
            SystemClock.sleep(Duration::from_millis(5));
        }
        panic!("{child} lives on");
    }

    #[test]
    fn programs_are_found_as_the_system_would() {
        assert!(find(OsStr::new("sh"), None).is_some());
        assert!(find(OsStr::new("/bin/sh"), None).is_some());
        assert!(find(OsStr::new("/etc/passwd"), None).is_none());
        assert!(find(OsStr::new("sh"), Some(OsStr::new("/nowhere"))).is_none());
    }
}
