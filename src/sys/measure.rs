//! What running another program costs: its time as its caller sees it, and its memory.

use std::ffi::OsString;
use std::fs::File;
use std::io::{self, Read};
use std::path::{Path, PathBuf};
use std::process::{Child, Command, Stdio};
use std::time::Duration;

use rustix::pipe::{fcntl_getpipe_size, fcntl_setpipe_size};

use super::Clock;

/// A program with all it is given; it sees no other environment.
#[derive(Clone, Debug)]
pub struct Program {
    /// Its file.
    pub path: PathBuf,
    /// Its arguments.
    pub args: Vec<OsString>,
    /// Its environment.
    pub env: Vec<(String, OsString)>,
    /// The file it reads; nothing to read without one.
    pub stdin: Option<PathBuf>,
    /// Whether what it says on standard error is shown to the user.
    pub shown: bool,
}

impl Program {
    /// A program without arguments in an empty environment.
    #[must_use]
    pub fn new(path: impl Into<PathBuf>) -> Self {
        let (args, env) = (Vec::new(), Vec::new());
        Self { path: path.into(), args, env, stdin: None, shown: false }
    }

    /// With these further arguments.
    #[must_use]
    pub fn args<T: Into<OsString>>(mut self, args: impl IntoIterator<Item = T>) -> Self {
        self.args.extend(args.into_iter().map(Into::into));
        self
    }

    /// With this variable.
    #[must_use]
    pub fn env(mut self, name: &str, value: impl Into<OsString>) -> Self {
        self.env.push((name.to_owned(), value.into()));
        self
    }

    /// With this file to read.
    #[must_use]
    pub fn stdin(mut self, file: impl Into<PathBuf>) -> Self {
        self.stdin = Some(file.into());
        self
    }

    /// With its standard error shown to the user.
    #[must_use]
    pub const fn shown(mut self) -> Self {
        self.shown = true;
        self
    }

    /// This program as the argument of another one, such as a tracer.
    #[must_use]
    pub fn under(&self, outer: Self) -> Self {
        let outer = outer.args([self.path.as_os_str()]).args(&self.args);
        self.env.iter().fold(outer, |outer, (name, value)| outer.env(name, value))
    }

    /// The words it was started with, for messages.
    #[must_use]
    pub fn words(&self) -> String {
        let words = std::iter::once(self.path.as_os_str()).chain(self.args.iter().map(|a| &**a));
        words.map(|w| w.to_string_lossy().into_owned()).collect::<Vec<_>>().join(" ")
    }

    /// Starts it, with its standard output for the caller to read.
    pub fn start(&self) -> io::Result<Child> {
        self.command()?.stdout(Stdio::piped()).spawn()
    }

    #[expect(clippy::disallowed_methods, reason = "programs are measured here, not run for work")]
    fn command(&self) -> io::Result<Command> {
        let mut command = Command::new(&self.path);
        command.args(&self.args).env_clear();
        command.envs(self.env.iter().map(|(name, value)| (name, value)));
        command.stdin(match &self.stdin {
            Some(file) => Stdio::from(File::open(file)?),
            None => Stdio::null(),
        });
        command.stderr(if self.shown { Stdio::inherit() } else { Stdio::null() });
        Ok(command)
    }
}

/// One run of a program.
#[derive(Clone, Debug)]
pub struct Run {
    /// From before its start until it was gone.
    pub time: Duration,
    /// Its exit code; nothing if a signal ended it.
    pub code: Option<i32>,
    /// What it wrote to its standard output.
    pub answer: String,
}

/// Runs a program and takes its time.
pub fn run(program: &Program, clock: &dyn Clock) -> io::Result<Run> {
    let mut command = program.command()?;
    command.stdout(Stdio::piped());
    let start = clock.monotonic();
    let mut child = command.spawn()?;
    let mut answer = Vec::new();
    if let Some(mut out) = child.stdout.take() {
        out.read_to_end(&mut answer)?;
    }
    let status = child.wait()?;
    let time = clock.monotonic().saturating_sub(start);
    let answer = String::from_utf8_lossy(&answer).into_owned();
    Ok(Run { time, code: status.code(), answer })
}

/// The most memory a program has had when it comes to write its answer, in bytes; nothing if it
/// wrote none or did not get there within `limit`.
///
/// What `wait4` tells of a child's memory counts this process's own as well, because the child
/// begins as its copy. So the answer goes into a full pipe, and while the program waits to get rid
/// of it the kernel's own record of its memory is read.
pub fn peak_memory(
    program: &Program,
    limit: Duration,
    clock: &dyn Clock,
) -> io::Result<Option<u64>> {
    let (mut reader, mut writer) = io::pipe()?;
    fcntl_setpipe_size(&writer, 4096)?;
    let room = fcntl_getpipe_size(&writer)?;
    io::Write::write_all(&mut writer, &vec![0; room])?;
    let mut command = program.command()?;
    command.stdout(Stdio::from(std::os::fd::OwnedFd::from(writer)));
    let mut child = command.spawn()?;
    // The command still holds the writing end: without this the reader would never see the end.
    drop(command);
    let peak = wait_until_it_writes(&mut child, limit, clock);
    if !matches!(peak, Ok(Some(_))) {
        let _ = child.kill();
    }
    io::copy(&mut reader, &mut io::sink())?;
    child.wait()?;
    peak
}

fn wait_until_it_writes(
    child: &mut Child,
    limit: Duration,
    clock: &dyn Clock,
) -> io::Result<Option<u64>> {
    let proc = PathBuf::from(format!("/proc/{}", child.id()));
    let end = clock.monotonic() + limit;
    let mut still = 0;
    let mut last = None;
    while clock.monotonic() < end {
        if child.try_wait()?.is_some() {
            return Ok(None);
        }
        let Some((state, ticks)) = stat(&proc) else { return Ok(None) };
        still = if state == 'S' && last == Some(ticks) { still + 1 } else { 0 };
        last = Some(ticks);
        // Asleep without having used the processor for so long: it waits for the reader.
        if still >= 10 {
            return status_kib(&proc, "VmHWM").map(|kib| kib.map(|k| k * 1024));
        }
        clock.sleep(Duration::from_millis(5));
    }
    Ok(None)
}

/// The kernel counts in hundredths of a second for programs, whatever it does inside.
const TICKS: u64 = 100;

/// Processor time that was used.
#[derive(Clone, Copy, Debug, Default)]
pub struct Spent {
    /// By this process.
    pub own: Duration,
    /// By programs that it started and that are gone.
    pub children: Duration,
}

/// The processor time used so far; nothing where the kernel does not tell.
#[must_use]
pub fn spent() -> Option<Spent> {
    let text = std::fs::read_to_string("/proc/self/stat").ok()?;
    let mut fields = text.rsplit_once(") ")?.1.split(' ').skip(11);
    let mut time = || -> Option<Duration> {
        let ticks: u64 = fields.next()?.parse().ok()?;
        Some(Duration::from_millis(ticks * 1000 / TICKS))
    };
    let own = time()? + time()?;
    Some(Spent { own, children: time()? + time()? })
}

/// The most memory that this process has had, in bytes.
#[must_use]
pub fn own_peak() -> Option<u64> {
    status_kib(Path::new("/proc/self"), "VmHWM").ok()?.map(|kib| kib * 1024)
}

/// The processes that `parent` started and that are not gone, zombies included.
#[must_use]
pub fn children(parent: u32) -> Vec<u32> {
    let Ok(all) = std::fs::read_dir("/proc") else { return Vec::new() };
    let pids = all.filter_map(|e| e.ok()?.file_name().to_str()?.parse::<u32>().ok());
    let of_parent = |pid: &u32| {
        let text = std::fs::read_to_string(format!("/proc/{pid}/stat")).ok();
        let fields = text.as_deref().and_then(|t| t.rsplit_once(") "));
        fields.and_then(|(_, rest)| rest.split(' ').nth(1)?.parse().ok()) == Some(parent)
    };
    pids.filter(of_parent).collect()
}

/// Waits until everything written so far is on the disk: what was prepared shall not be paid for by
/// what is measured.
pub fn settle() {
    rustix::fs::sync();
}

/// The kind of file system a path lies on, such as `ext4`; its magic number if it is a rare one.
pub fn file_system(path: &Path) -> io::Result<String> {
    let kind = rustix::fs::statfs(path)?.f_type;
    Ok(match kind {
        0xef53 => "ext4".to_owned(),
        0x5846_5342 => "xfs".to_owned(),
        0x9123_683e => "btrfs".to_owned(),
        0x0102_1994 => "tmpfs".to_owned(),
        0x794c_7630 => "overlay".to_owned(),
        0x2fc1_2fc1 => "zfs".to_owned(),
        other => format!("{other:#x}"),
    })
}

/// How many processes were ready to run on average over the last minute.
#[must_use]
pub fn load() -> Option<f64> {
    std::fs::read_to_string("/proc/loadavg").ok()?.split(' ').next()?.parse().ok()
}

/// The kernel's release.
#[must_use]
pub fn kernel() -> String {
    rustix::system::uname().release().to_string_lossy().into_owned()
}

/// The state of a process and the processor time it has used.
fn stat(proc: &Path) -> Option<(char, u64)> {
    let text = std::fs::read_to_string(proc.join("stat")).ok()?;
    let mut fields = text.rsplit_once(") ")?.1.split(' ');
    let state = fields.next()?.chars().next()?;
    let user: u64 = fields.nth(10)?.parse().ok()?;
    let system: u64 = fields.next()?.parse().ok()?;
    Some((state, user + system))
}

fn status_kib(proc: &Path, key: &str) -> io::Result<Option<u64>> {
    let mut text = String::new();
    File::open(proc.join("status"))?.read_to_string(&mut text)?;
    let line = text.lines().find_map(|l| l.strip_prefix(key)?.strip_prefix(':'));
    Ok(line.and_then(|l| l.trim().trim_end_matches(" kB").parse().ok()))
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::sys::SystemClock;

    #[test]
    fn tells_code_answer_and_time() {
        let program = Program::new("/bin/sh").args(["-c", "sleep 0.05; echo $X; exit 3"]);
        let run = run(&program.env("X", "here"), &SystemClock).unwrap();
        assert_eq!((run.code, run.answer.as_str()), (Some(3), "here\n"));
        assert!(run.time >= Duration::from_millis(50));
    }

    #[test]
    fn memory_is_the_program_s_own() {
        let ballast = vec![1u8; 64 << 20];
        let small = Program::new("/bin/sh").args(["-c", "echo done"]);
        let peak = peak_memory(&small, Duration::from_secs(10), &SystemClock).unwrap().unwrap();
        assert!((100_000..16 << 20).contains(&peak), "{peak} with {} here", ballast.len());
        let large = Program::new("/bin/sh")
            .args(["-c", "x=$(head -c 20000000 /dev/zero | tr '\\0' x); echo ${#x}"]);
        let peak = peak_memory(&large, Duration::from_secs(20), &SystemClock).unwrap().unwrap();
        assert!(peak > 20_000_000, "{peak}");
    }

    #[test]
    fn processor_time_of_programs_is_counted_once_they_are_gone() {
        let before = spent().unwrap().children;
        let busy = Program::new("/bin/sh")
            .args(["-c", "i=0; while [ $i -lt 300000 ]; do i=$((i+1)); done"]);
        run(&busy, &SystemClock).unwrap();
        assert!(spent().unwrap().children > before);
        assert!(own_peak().unwrap() > 100_000);
    }

    #[test]
    fn a_program_without_an_answer_has_no_peak() {
        let silent = Program::new("/bin/true");
        let peak = peak_memory(&silent, Duration::from_secs(10), &SystemClock).unwrap();
        assert_eq!(peak, None);
    }
}
