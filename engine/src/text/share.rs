//! Who of a pair gives way where both do not fit: the longer one first, as in transformers.

/// How many of `first` and of `second` tokens are kept where `room` are left for both. Of a length
/// beyond the room no more needs to be known, but where both are, and an odd token goes to the
/// longer one, who that is.
pub(super) fn shares(
    first: usize,
    second: usize,
    room: usize,
    first_is_longer: bool,
) -> (usize, usize) {
    if first + second <= room {
        return (first, second);
    }
    let shorter = first.min(second);
    let (short, long) = match room.checked_sub(shorter) {
        Some(left) if left >= shorter => (shorter, left),
        _ => (room / 2, room - room / 2),
    };
    if first_is_longer { (long, short) } else { (short, long) }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_longer_one_gives_way_first() {
        let odd = |first, second| shares(first, second, 9, first > second);
        assert_eq!(odd(4, 5), (4, 5));
        assert_eq!(odd(2, 100), (2, 7));
        assert_eq!(odd(100, 2), (7, 2));
        assert_eq!(odd(6, 6), (4, 5));
        assert_eq!(odd(7, 6), (5, 4));
        assert_eq!(odd(101, 100), (5, 4));
        assert_eq!(odd(100, 100), (4, 5));
        assert_eq!(odd(0, 100), (0, 9));
        assert_eq!(shares(3, 4, 0, false), (0, 0));
    }
}
