//! Numbers as people read them: in the terminal and on the page.

/// `77754` as `77,754`.
pub fn thousands(number: u64) -> String {
    let digits = number.to_string();
    let mut text = String::new();
    for (index, digit) in digits.chars().enumerate() {
        if index > 0 && (digits.len() - index).is_multiple_of(3) {
            text.push(',');
        }
        text.push(digit);
    }
    text
}

/// `1 epoch`, `3 epochs`. `what` is a noun whose plural ends in s.
pub fn counted(count: usize, what: &str) -> String {
    let plural = match (count, what.ends_with('s')) {
        (1, _) => "",
        (_, true) => "es",
        (_, false) => "s",
    };
    format!("{} {what}{plural}", thousands(count as u64))
}

/// A time in its two largest units: `42 s`, `12 min 5 s`, `4 h 34 min`, `3 d 2 h`.
pub fn duration(seconds: f64) -> String {
    let seconds = seconds.max(0.0).round() as u64;
    let (large, small, units) = match seconds {
        0..60 => return format!("{seconds} s"),
        60..3600 => (seconds / 60, seconds % 60, ("min", "s")),
        // To whole minutes, of which there may be 60: an hour more.
        3600..86_370 => ((seconds + 30) / 3600, (seconds + 30) % 3600 / 60, ("h", "min")),
        _ => ((seconds + 1800) / 86_400, (seconds + 1800) % 86_400 / 3600, ("d", "h")),
    };
    match small {
        0 => format!("{large} {}", units.0),
        _ => format!("{large} {} {small} {}", units.0, units.1),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn numbers_have_separators_and_nouns_agree_with_them() {
        for (number, text) in [(0, "0"), (999, "999"), (1000, "1,000"), (83_892, "83,892"), (1_234_567, "1,234,567")] {
            assert_eq!(thousands(number), text);
        }
        let said = [counted(1, "epoch"), counted(0, "epoch"), counted(1, "class"), counted(1200, "class")];
        assert_eq!(said, ["1 epoch", "0 epochs", "1 class", "1,200 classes"]);
    }

    #[test]
    fn times_have_two_units() {
        for (seconds, text) in [
            (0.4, "0 s"),
            (59.4, "59 s"),
            (59.6, "1 min"),
            (725.0, "12 min 5 s"),
            (3599.7, "1 h"),
            (16_420.0, "4 h 34 min"),
            (86_369.0, "23 h 59 min"),
            (86_370.0, "1 d"),
            (266_400.0, "3 d 2 h"),
        ] {
            assert_eq!(duration(seconds), text, "{seconds}");
        }
    }
}
