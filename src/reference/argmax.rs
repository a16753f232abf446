/// The place of the largest value; of equal values the first. `None` where there are no values.
///
/// The values are gone through once in order, the largest so far being replaced where another `>` it: TensorFlow
/// Lite's `ARG_MAX`. So a NaN is never chosen, unless it comes first: then nothing is greater, and the result is 0.
pub fn argmax<T: Copy + PartialOrd>(values: &[T]) -> Option<usize> {
    let mut largest = *values.first()?;
    let mut place = 0;
    for (i, &value) in values.iter().enumerate() {
        if value > largest {
            (largest, place) = (value, i);
        }
    }
    Some(place)
}

/// The places and values of the largest values, the largest first; of equal values the first comes first: TensorFlow
/// Lite's `TOPK_V2`. As many as `ranking` has room for, or as there are.
///
/// A NaN comes after every number, of several NaNs the first first.
///
/// Returns how many there are.
pub fn top_k<T: Copy + PartialOrd>(values: &[T], ranking: &mut [(usize, T)]) -> usize {
    for (i, &value) in values.iter().enumerate() {
        // A value's rank is the number of values that come before it.
        let before = |&(j, &other): &(usize, &T)| is_greater(other, value) || !is_greater(value, other) && j < i;
        let rank = values.iter().enumerate().filter(before).count();
        if let Some(place) = ranking.get_mut(rank) {
            *place = (i, value);
        }
    }
    values.len().min(ranking.len())
}

/// Whether `a` is greater than `b`, where every number is greater than a NaN.
#[inline(always)]
pub(crate) fn is_greater<T: PartialOrd>(a: T, b: T) -> bool {
    let is_nan = |x: &T| x.partial_cmp(x).is_none();
    a > b || is_nan(&b) && !is_nan(&a)
}
