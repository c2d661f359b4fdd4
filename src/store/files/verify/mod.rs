//! Checking everything against everything, and moving aside what cannot be read.

mod aside;
mod chain;
mod chapter;
mod descent;
mod life;
mod mend;
#[cfg(test)]
mod tests;
mod traces;
mod witness;

use super::head::{self, Loaded, look};
use super::log::{HISTORY, LIVE, Logs, NEXT, ends_in_checkpoint, sealed, sealed_name};
use super::rebuild::{self, FaultKind, describe};
use super::session::{HEAD, INDEX, Session};
use super::{FileStore, agents, compare, failure, locks, removed};
use crate::domain::work::Op;
use crate::store::imported::{Imported, Table};
use crate::store::{Error, Problem, ProblemKind, Result, Seen, Verified};
use crate::sys::fs::{Access, Dir};
use chapter::{Book, Sort};

/// Checks the store; with `repair`, mends what stops writing.
pub(super) fn run(store: &FileStore, repair: bool, op: &Op) -> Result<Verified> {
    if let Some((problem, sealed)) = lost_live(store)?
        && !(repair && sealed)
    {
        return Ok(Verified { problems: vec![problem], ..Verified::default() });
    }
    let (mut session, loaded) = Session::hold(store, op)?;
    session.logs.segment = session.logs.live_segment()?;
    let known = witness::all(&store.dir, session.head_file(), session.now().boot)?;
    let cut = removed::read(&store.dir)?;
    let history_cut = cut.as_ref().and_then(|r| Some(chain::Cut { upto: r.upto, end: r.end()? }));
    let mut book = read_book(&store.dir, &session.logs)?;
    let mut found = chain::examine(&book, &known, history_cut);
    let mut verified = Verified::default();
    // As long as something may be evidence nothing is touched.
    let of_the_log = |found: &chain::Found| found.problems.iter().any(|p| p.kind.is_of_the_log());
    let current = match &loaded {
        Loaded::Clean(head) => {
            look(&session.logs.live).is_ok_and(|seen| head.matches(seen) && head.damaged == 0)
        }
        _ => false,
    };
    let (mut whole, evidence) = (!of_the_log(&found), of_the_log(&found));
    if repair || whole || current {
        session.recover(loaded)?;
        if repair {
            verified.repaired = mend::run(store, &mut session, &book, &found)?;
            if evidence {
                witness::forget(&store.dir);
            }
        }
        // What recovery cut or noted is part of the log now.
        book = read_book(&store.dir, &session.logs)?;
        let known = witness::all(&store.dir, session.head_file(), session.now().boot)?;
        let notes = std::mem::take(&mut found.notes);
        found = chain::examine(&book, &known, history_cut);
        for note in notes {
            if !found.notes.contains(&note) {
                found.notes.push(note);
            }
        }
        whole = !of_the_log(&found);
    }
    let now = session.now();
    let rebuilt = rebuild::run(&session.logs, now.boot, now, true)?;
    let (merged, removed) = (!found.seams.is_empty(), cut.is_some());
    let how = life::How { merged, cut: rebuilt.cut, removed };
    let lives = life::read(&session.logs, how)?;
    verified.problems = found.problems;
    for fault in rebuilt.faults.iter().filter(|f| matches!(f.kind, FaultKind::Twin { .. })) {
        let what = describe(&session.logs, fault);
        let what = what.split_once(": ").map_or(what.as_str(), |(_, what)| what).to_owned();
        let file = session.logs.name(fault.place.segment);
        verified.problems.push(
            Problem::at(ProblemKind::Twin, &file, fault.line, what)
                .todo("`coord verify --repair` gives the second one an id of its own"),
        );
    }
    let twins = verified.problems.iter().any(|p| p.kind == ProblemKind::Twin);
    if (whole || current) && rebuilt.cut.is_none() {
        let differences =
            compare::differences(&session.index, &rebuilt.index).map_err(failure::index)?;
        if repair && !differences.is_empty() {
            session.rebuild()?;
            verified.repaired.push("made the index anew".to_owned());
        } else {
            verified.problems.extend(differences.into_iter().map(|what| {
                Problem::of_all(ProblemKind::Index, what)
                    .todo("`coord verify --repair` makes the index anew")
            }));
        }
        if !twins {
            verified.problems.extend(lives.count(&rebuilt.index.head));
        }
    }
    (verified.claims, verified.finishes, verified.imported) =
        (lives.claims, lives.finishes, lives.imported);
    verified.problems.extend(lives.problems);
    verified.problems.extend(beside(store)?);
    (verified.seams, verified.notes) = (found.seams, found.notes);
    let traces = traces::read(store, now.wall)?;
    verified.spans = traces.spans;
    verified.problems.extend(traces.problems);
    verified.notes.extend(traces.notes);
    let index_head = &rebuilt.index.head;
    verified.lines = book.count();
    verified.items = index_head.open() + index_head.done;
    verified.files = book.chapters.len() as u64;
    let link = book.last().map_or(0, |line| line.hash);
    (verified.n, verified.head) = (index_head.n, format!("{link:016x}"));
    session.finish()?;
    if verified.problems.is_empty() {
        witness::note(&store.dir, verified.n, link, now);
    }
    Ok(verified)
}

/// The live log is not there, and whether there are sealed logs that a writer would go on with. A check
/// never makes a log: where everything is gone, nothing would be found wrong with it.
fn lost_live(store: &FileStore) -> Result<Option<(Problem, bool)>> {
    let dir = &store.dir;
    if dir.has(LIVE) || dir.file(NEXT, Access::Read).is_ok_and(|next| ends_in_checkpoint(&next)) {
        return Ok(None);
    }
    let history = match dir.subdir(HISTORY, false) {
        Ok(history) => sealed(&history)?,
        Err(_) => Vec::new(),
    };
    let index = dir.subdir(INDEX, false).and_then(|index| index.file(HEAD, Access::Read));
    let known = index.ok().and_then(|file| head::known(&file).ok().flatten());
    let what = known.map_or_else(
        || "it is not there".to_owned(),
        |(n, ..)| format!("it is not there; the index knows write {n}"),
    );
    let todo = "take it from a backup; the next command that writes goes on without it";
    let problem = Problem::of_file(ProblemKind::Missing, LIVE, what).todo(todo);
    Ok(Some((problem, !history.is_empty())))
}

/// Reads all logs as the chain sees them.
fn read_book(state: &Dir, logs: &Logs) -> Result<Book> {
    let dir = state.path();
    let live = |book: &mut Book, number| {
        let read = book.read(&logs.live, (LIVE.to_owned(), number, true), u64::MAX);
        read.map_err(|e| failure::read(&dir.join(LIVE), e))
    };
    // The checkpoint knows which log this one is even if its header was changed.
    let mut alone = Book::default();
    live(&mut alone, logs.segment)?;
    let sealed = alone.chapters.first().and_then(|chapter| chapter.sealed);
    let segment = sealed.map_or(logs.segment, |number| number + 1);
    let mut book = Book::default();
    for number in logs.sealed_before(segment)? {
        let (file, name) =
            (logs.open_sealed(number)?, format!("{HISTORY}/{}", sealed_name(number)));
        let path = dir.join(&name);
        book.read(&file, (name, number, false), u64::MAX).map_err(|e| failure::read(&path, e))?;
    }
    live(&mut book, segment)?;
    if book.said.notes.iter().any(|note| !note.removed.is_empty()) {
        book.said.kept = aside::links(state)?;
    }
    Ok(book)
}

/// What lies beside the log: agents, named locks, what was taken over.
fn beside(store: &FileStore) -> Result<Vec<Problem>> {
    let mut problems = Vec::new();
    for (file, why) in agents::unreadable(store)? {
        let what = format!("it cannot be read: {why}");
        let todo = "`coord agent register` writes it anew; `coord verify --repair` moves it aside";
        problems.push(Problem::of_file(ProblemKind::Agent, &file, what).todo(todo));
    }
    for (file, why) in locks::unreadable(&store.dir)? {
        let what = format!("it cannot be read: {why}");
        let todo =
            "make sure that nobody holds the lock, then take the file from a backup or remove it";
        problems.push(Problem::of_file(ProblemKind::Lock, &file, what).todo(todo));
    }
    let (path, trusted) = (store.dir.path(), store.options.trust_dir);
    if let Some(imported) = Imported::open(path, trusted)? {
        for table in Table::ALL {
            let bad = imported.read(table, &mut |_| {})?;
            if bad > 0 {
                let what = if bad == 1 {
                    "1 line cannot be read".to_owned()
                } else {
                    format!("{bad} lines cannot be read")
                };
                let todo = "`coord import` again takes over what is missing";
                problems
                    .push(Problem::of_file(ProblemKind::Imported, table.path(), what).todo(todo));
            }
        }
    }
    Ok(problems)
}

/// The lines that record a write, and whether all that each rests on is still there.
pub(super) fn seen(store: &FileStore, n: u64) -> Result<Vec<Seen>> {
    let logs = match store.logs() {
        Err(Error::Missing { .. }) => return Ok(Vec::new()),
        other => other?,
    };
    let book = read_book(&store.dir, &logs)?;
    let places = book.places();
    let mut seen = Vec::new();
    for (at, chapter) in book.chapters.iter().enumerate() {
        for (line, about) in chapter.lines.iter().enumerate() {
            if about.n == n && matches!(about.sort, Sort::Write | Sort::Checkpoint) {
                let broken = descent::broken(&book, &places, (at, line)).map(|(at, line)| {
                    format!("what stood before `{}` line {}", book.chapters[at].name, line + 1)
                });
                seen.push(Seen { hash: format!("{:016x}", about.hash), broken });
            }
        }
    }
    Ok(seen)
}
