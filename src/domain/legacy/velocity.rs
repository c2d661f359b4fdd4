//! `velocity_log.txt`: a line for each time that a team was credited with points.
//!
//! `2025-06-15T16:16:18Z: Team core_team +8 velocity points`

use chrono::{DateTime, Utc};

use super::fields::short;
use super::{Parsed, Place, time};
use crate::domain::name::Team;
use crate::domain::work::Limits;

/// Points that a team was credited with.
#[derive(Clone, Debug, PartialEq)]
pub struct Points {
    /// When.
    pub at: DateTime<Utc>,
    /// The team.
    pub team: Team,
    /// How many.
    pub points: u32,
}

pub(super) fn read(bytes: &[u8]) -> Parsed<Points> {
    let mut parsed = Parsed::<Points>::default();
    let mut offset = 0;
    for (index, raw) in bytes.split_inclusive(|c| *c == b'\n').enumerate() {
        let place = Place::line(index + 1, offset);
        offset += raw.len();
        let Ok(line) = std::str::from_utf8(raw) else {
            parsed.report.refused(&place, None, "it is not UTF-8");
            continue;
        };
        let line = line.trim_start_matches('\u{feff}').trim();
        if line.is_empty() {
            continue;
        }
        match row(line) {
            Ok((row, mended)) => {
                if let Some(mended) = mended {
                    parsed.report.mended(&place, None, mended);
                }
                parsed.push(place, row);
            }
            Err(why) => parsed.report.refused(&place, None, format!("{why}: `{}`", short(line))),
        }
    }
    if bytes.iter().all(u8::is_ascii_whitespace) {
        parsed.report.refused(&Place::default(), None, "the file is empty");
    }
    parsed
}

fn row(line: &str) -> Result<(Points, Option<&'static str>), &'static str> {
    let (at, rest) = line.split_once(": ").ok_or("it does not begin with a time")?;
    let (at, mended) = time::read_text(at).ok_or("it does not begin with a time")?;
    let rest = rest.trim().strip_prefix("Team ").ok_or("it names no team")?;
    let (team, rest) = rest.trim().split_once(char::is_whitespace).ok_or("it names no points")?;
    let team = team.parse().map_err(|_| "the team is no name")?;
    let (points, unit) = rest.trim().split_once(char::is_whitespace).unwrap_or((rest.trim(), ""));
    if !matches!(unit.trim(), "velocity points" | "velocity point" | "points" | "") {
        return Err("something follows the points");
    }
    let points = points.strip_prefix('+').ok_or("the points do not begin with `+`")?;
    let points = points.parse().ok().filter(|p| *p <= Limits::NUMBER);
    Ok((
        Points { at, team, points: points.ok_or("the points are no number up to 1000000")? },
        mended,
    ))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn each_line_stands_for_itself() {
        let text = b"2025-06-15T16:16:18Z: Team core_team +8 velocity points\n\n\
            2025-06-15T16:16:18Z: Team core_team +8 velocity points\r\n\
            2025-06-15T16:16:18Z: the session is over\n\
            \xff\xfe\n\
            2025-06-15T16:16:18Z: Team core_team -3 velocity points\n\
            2025-06-15T16:16:18Z: Team ../x +3 velocity points\n\
            2025-06-15T16:16:18Z: Team a +3 story apples\n\
            2025-06-15T16:16:18Z: Team a +99999999999999999999 velocity points\n\
            2025-06-15T16:16:18.3NZ: Team web +13 velocity points";
        let parsed = read(text);
        let points: Vec<_> = parsed.records.iter().map(|r| r.value.points).collect();
        assert_eq!(points, [8, 8, 13]);
        assert_eq!(parsed.report.mended.len(), 1);
        let refused: Vec<_> = parsed.report.refused.iter().map(|n| n.place.line.unwrap()).collect();
        assert_eq!(refused, [4, 5, 6, 7, 8, 9]);
        assert_eq!(
            parsed.report.refused[0].reason,
            "it names no team: `2025-06-15T16:16:18Z: the session is over`"
        );
        assert_eq!(read(b" \n").report.refused.len(), 1);
    }
}
