//! From a line back to the beginning, link by link: whether all that it rests on is still there.

use std::collections::HashMap;

use super::chapter::{Book, Note, Sort, Spot};

/// The first line on the way back from `from` whose own predecessor is not there any more, unless a
/// repair that was noted by then says why. What a merge has put in between does not matter.
pub(super) fn broken(book: &Book, places: &HashMap<u64, Spot>, from: Spot) -> Option<Spot> {
    let notes: HashMap<Spot, &Note> =
        book.said.notes.iter().map(|note| (note.spot, note)).collect();
    let (mut spot, mut met) = (from, Vec::<&Note>::new());
    loop {
        let chapter = &book.chapters[spot.0];
        let about = chapter.lines.get(spot.1)?;
        met.extend(notes.get(&spot));
        let first = about.sort == Sort::Header || spot.1 == 0;
        let link = if first { chapter.sealed_end } else { about.prev };
        // The first log of all, or the first that was not removed on purpose.
        let Some(link) = link.filter(|_| !first || spot.0 > 0) else {
            return if first { None } else { Some(spot) };
        };
        if let Some(before) = places.get(&link).filter(|before| **before < spot) {
            spot = *before;
            continue;
        }
        let missing =
            |note: &Note| note.gaps.iter().any(|(_, last)| last.checked_add(1) == Some(about.n));
        let said = book.said.explain(met.iter().copied(), link);
        if !said && (first || !met.iter().any(|note| missing(note))) {
            return Some(spot);
        }
        // On with what stands there now.
        spot = if first {
            (spot.0 - 1, book.chapters[spot.0 - 1].lines.len().checked_sub(1)?)
        } else {
            (spot.0, spot.1 - 1)
        };
    }
}
