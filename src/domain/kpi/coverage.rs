//! Test coverage from the reports that tools write.

use serde_json::Value;
use thiserror::Error;

/// Lines that could run, and those that tests ran.
#[derive(Clone, Copy, Debug, Eq, PartialEq)]
pub struct Coverage {
    /// Lines that tests ran.
    pub covered: u64,
    /// Lines that could run.
    pub lines: u64,
}

/// Why a text tells of no coverage.
#[derive(Clone, Debug, Eq, Error, PartialEq)]
pub enum CoverageError {
    /// It is neither lcov nor JSON.
    #[error("it is neither an lcov tracefile nor JSON")]
    Form,
    /// It is JSON of a tool that is not known.
    #[error("it is JSON without the totals of llvm-cov, coverage.py, Istanbul or Cobertura")]
    Unknown,
    /// It tells of more covered lines than lines, or its numbers make no sense.
    #[error("its numbers make no sense: {0}")]
    Numbers(String),
    /// It tells of no line.
    #[error("it tells of no line")]
    Empty,
}

impl Coverage {
    /// The share of lines that tests ran, in percent.
    #[must_use]
    #[expect(clippy::cast_precision_loss, reason = "counts far below 2^52")]
    pub fn percent(self) -> f64 {
        100.0 * self.covered as f64 / self.lines as f64
    }

    /// Reads a report: an lcov tracefile, or the JSON of `llvm-cov export`, of coverage.py, of
    /// Istanbul's summary, or of a Cobertura report turned into JSON.
    pub fn read(text: &str) -> Result<Self, CoverageError> {
        let trimmed = text.trim_start_matches('\u{feff}').trim_start();
        let (covered, lines) = if trimmed.starts_with(['{', '[']) {
            let value: Value = serde_json::from_str(trimmed).map_err(|_| CoverageError::Form)?;
            json(&value).ok_or(CoverageError::Unknown)?
        } else {
            lcov(trimmed)?
        };
        if covered > lines {
            return Err(CoverageError::Numbers(format!("{covered} of {lines} lines are covered")));
        }
        if lines == 0 { Err(CoverageError::Empty) } else { Ok(Self { covered, lines }) }
    }
}

/// A file's lines may stand in several records of one tracefile; those with numbers of their own
/// (`DA`) are merged by file, and the sums (`LF`, `LH`) count where there are none.
fn lcov(text: &str) -> Result<(u64, u64), CoverageError> {
    use std::collections::BTreeMap;
    let mut files: BTreeMap<&str, BTreeMap<u64, bool>> = BTreeMap::new();
    let (mut covered, mut lines) = (0u64, 0u64);
    let (mut file, mut sums, mut single, mut any) = ("", (0, 0), false, false);
    let bad = |line: &str| CoverageError::Numbers(line.chars().take(60).collect());
    for line in text.lines().map(str::trim) {
        let (tag, rest) = line.split_once(':').unwrap_or((line, ""));
        match tag {
            "SF" => (file, sums, single, any) = (rest, (0, 0), false, true),
            "DA" => {
                let mut parts = rest.split(',');
                let number = parts.next().and_then(|n| n.trim().parse().ok());
                // A count below zero is one that overflowed, and no zero.
                let count = parts.next().and_then(|n| n.trim().parse::<i128>().ok());
                let (Some(number), Some(count)) = (number, count) else { return Err(bad(line)) };
                *files.entry(file).or_default().entry(number).or_default() |= count != 0;
                single = true;
            }
            "LF" => sums.1 = rest.trim().parse().map_err(|_| bad(line))?,
            "LH" => sums.0 = rest.trim().parse().map_err(|_| bad(line))?,
            "end_of_record" if !single => {
                covered = covered.saturating_add(sums.0);
                lines = lines.saturating_add(sums.1);
            }
            _ => {}
        }
    }
    if !any {
        return Err(CoverageError::Form);
    }
    for ran in files.values().flat_map(BTreeMap::values) {
        lines = lines.saturating_add(1);
        covered = covered.saturating_add(u64::from(*ran));
    }
    Ok((covered, lines))
}

fn json(value: &Value) -> Option<(u64, u64)> {
    let number = |value: &Value| match value {
        Value::String(text) => text.trim().parse().ok(),
        other => other.as_u64(),
    };
    let pair = |value: &Value, covered: &str, lines: &str| {
        Some((number(value.get(covered)?)?, number(value.get(lines)?)?))
    };
    let llvm = || {
        let parts = value.get("data")?.as_array()?;
        parts.iter().try_fold((0, 0), |sum: (u64, u64), part| {
            let (covered, lines) = pair(part.get("totals")?.get("lines")?, "covered", "count")?;
            Some((sum.0.checked_add(covered)?, sum.1.checked_add(lines)?))
        })
    };
    let python = || pair(value.get("totals")?, "covered_lines", "num_statements");
    let istanbul = || pair(value.get("total")?.get("lines")?, "covered", "total");
    let cobertura = || {
        let top = value.get("coverage").unwrap_or(value);
        let top = top.get("$").or_else(|| top.get("@attributes")).unwrap_or(top);
        pair(top, "lines-covered", "lines-valid")
            .or_else(|| pair(top, "@lines-covered", "@lines-valid"))
    };
    llvm().or_else(python).or_else(istanbul).or_else(cobertura)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn every_tool_is_read() {
        let is = |text: &str| Coverage::read(text).map(|c| (c.covered, c.lines));
        for text in [
            "TN:\nSF:a\nDA:1,5\nDA:2,0\nDA:3,1\nLF:9\nLH:9\nend_of_record\nSF:a\nDA:2,1\nDA:4,0\nend_of_record\n",
            "SF:a\nLF:3\nLH:3\nend_of_record\nSF:b\nLF:1\nLH:0\nend_of_record\n",
            r#"{"data":[{"totals":{"lines":{"count":4,"covered":3,"percent":75}}}],"type":"llvm.coverage.json.export"}"#,
            r#"{"totals":{"covered_lines":3,"num_statements":4}}"#,
            r#"{"total":{"lines":{"total":4,"covered":3}}}"#,
            r#"{"coverage":{"@lines-covered":"3","@lines-valid":"4","@line-rate":"0.75"}}"#,
            r#"{"lines-covered":3,"lines-valid":4}"#,
        ] {
            assert_eq!(is(text), Ok((3, 4)), "{text}");
        }
        assert!(
            (Coverage::read("SF:a\nLF:4\nLH:3\nend_of_record").unwrap().percent() - 75.0).abs()
                < 1e-12
        );
    }

    #[test]
    fn what_tells_nothing_is_refused() {
        use CoverageError::{Empty, Form, Unknown};
        for (text, error) in [
            ("", Form),
            ("<coverage line-rate=\"1\"/>", Form),
            ("{", Form),
            ("{}", Unknown),
            ("SF:a\nend_of_record\n", Empty),
            (r#"{"data":[]}"#, Empty),
        ] {
            assert_eq!(Coverage::read(text), Err(error), "{text}");
        }
        for text in ["SF:a\nDA:x,1\n", "SF:a\nLF:1\nLH:2\nend_of_record"] {
            assert!(matches!(Coverage::read(text), Err(CoverageError::Numbers(_))), "{text}");
        }
    }
}
