//! Small charts for where people would rather look than read.

/// Eight heights of a column.
const HEIGHTS: [char; 8] = ['▁', '▂', '▃', '▄', '▅', '▆', '▇', '█'];
/// Eight lengths of the end of a bar.
const ENDS: [char; 8] = ['▏', '▎', '▍', '▌', '▋', '▊', '▉', '█'];

/// A line of columns, one per value, the largest full height and 0 the lowest; a blank where there is
/// no value.
#[must_use]
pub fn spark(values: &[Option<f64>]) -> String {
    let most = values.iter().flatten().copied().fold(0.0, f64::max);
    let height = |value: f64| {
        let share = if most > 0.0 { (value / most).clamp(0.0, 1.0) } else { 0.0 };
        HEIGHTS[eighths(share, 7)]
    };
    values.iter().map(|value| value.map_or(' ', height)).collect()
}

/// A bar of at most `width` cells for a share of 0 to 1; something that is not nothing shows.
#[must_use]
pub fn bar(share: f64, width: usize) -> String {
    let share = if share.is_finite() { share.clamp(0.0, 1.0) } else { 0.0 };
    let mut cells = eighths(share, width * 8);
    if share > 0.0 {
        cells = cells.max(1);
    }
    let mut text: String = std::iter::repeat_n('█', cells / 8).collect();
    if let Some(rest) = (cells % 8).checked_sub(1) {
        text.push(ENDS[rest]);
    }
    text
}

#[expect(clippy::cast_possible_truncation, reason = "at most `most`")]
#[expect(clippy::cast_sign_loss, reason = "a share is not negative")]
#[expect(clippy::cast_precision_loss, reason = "a width")]
fn eighths(share: f64, most: usize) -> usize {
    (share * most as f64).round() as usize
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_largest_is_full_height_and_nothing_is_blank() {
        assert_eq!(spark(&[Some(0.0), Some(1.0), None, Some(7.0)]), "▁▂ █");
        assert_eq!(spark(&[Some(0.0), Some(0.0)]), "▁▁");
        assert_eq!(spark(&[]), "");
    }

    #[test]
    fn bars_end_in_eighths() {
        assert_eq!(bar(1.0, 4), "████");
        assert_eq!(bar(0.5, 4), "██");
        assert_eq!(bar(0.28, 4), "█▏");
        assert_eq!(bar(0.0001, 4), "▏");
        assert_eq!(bar(0.0, 4), "");
        assert_eq!(bar(f64::NAN, 4), "");
        assert_eq!(bar(7.0, 2), "██");
    }
}
