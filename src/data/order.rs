//! Brings records that came in any order into the right one, in place: a data set never exists twice.

/// Moves record `order[i]` to place i, for all i, with room for one record besides.
pub(super) fn permute(records: &mut [u8], bytes: usize, mut order: Vec<usize>) {
    let mut first = vec![0; bytes];
    for start in 0..order.len() {
        if order[start] == start {
            continue;
        }
        first.copy_from_slice(&records[start * bytes..(start + 1) * bytes]);
        let mut place = start;
        loop {
            let from = std::mem::replace(&mut order[place], place);
            if from == start {
                records[place * bytes..(place + 1) * bytes].copy_from_slice(&first);
                break;
            }
            records.copy_within(from * bytes..(from + 1) * bytes, place * bytes);
            place = from;
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn records_go_where_the_order_says() {
        // Two cycles and a fixed record.
        let order = vec![2, 0, 1, 3, 5, 4];
        let mut records: Vec<u8> = (0..12).collect();
        permute(&mut records, 2, order.clone());
        let expected: Vec<u8> = order.iter().flat_map(|index| [2 * *index as u8, 2 * *index as u8 + 1]).collect();
        assert_eq!(records, expected);
    }
}
