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
