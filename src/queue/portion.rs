//! Splitting what waits into what can travel at once: queues and origins take so many things and so many bytes.

/// Portions of at most `count_max` things and `bytes_max` bytes, in order. A thing that is too large alone goes alone: who
/// refuses it is asked.
pub fn portions<T>(things: Vec<T>, count_max: usize, bytes_max: usize, bytes_of: impl Fn(&T) -> usize) -> Vec<Vec<T>> {
    let mut portions: Vec<Vec<T>> = Vec::new();
    let mut bytes: usize = 0;
    for thing in things {
        let more = bytes_of(&thing);
        match portions.last_mut() {
            Some(last) if last.len() < count_max && bytes.saturating_add(more) <= bytes_max => {
                bytes = bytes.saturating_add(more);
                last.push(thing);
            }
            Some(_) | None => {
                bytes = more;
                portions.push(vec![thing]);
            }
        }
    }
    portions
}

#[cfg(test)]
mod tests {
    use super::portions;

    #[test]
    fn portions_are_within_both_limits_and_keep_the_order() {
        let sizes = |things: Vec<usize>| {
            portions(things, 100, 200_000, |bytes| *bytes).iter().map(Vec::len).collect::<Vec<_>>()
        };
        assert_eq!(sizes(vec![10; 250]), [100, 100, 50]);
        assert_eq!(sizes(vec![90_000; 5]), [2, 2, 1]);
        assert_eq!(sizes(vec![500_000, 1]), [1, 1]);
        assert_eq!(sizes(vec![]), [0_usize; 0]);
        assert_eq!(portions(vec![1, 2, 3], 2, 9, |_| 1), [vec![1, 2], vec![3]]);
    }
}
